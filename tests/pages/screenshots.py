"""Takes the pictures under docs/images: `uv run python -m tests.pages.screenshots`. They are looked at, not compared."""

import shutil
import sys
import tempfile
from pathlib import Path

from playwright.sync_api import sync_playwright

from tests.conftest import _serving
from tests.pages.browsing import new_visitor
from tests.pages.conftest import ARGUMENTS
from tests.pages.demo import demo_upstream
from tests.pages.tour import furnish, stops

IMAGES = Path(__file__).parents[2] / "docs" / "images"
WIDTHS = {"phone": (360, 740), "tablet": (820, 1100), "desktop": (1440, 900)}


def main(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    with demo_upstream() as demo, tempfile.TemporaryDirectory() as data, _serving(Path(data)) as serve:
        house = serve()
        furnish(house, demo)
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=ARGUMENTS)
            for theme in ("light", "dark"):
                for size, (width, height) in WIDTHS.items():
                    options = {"color_scheme": theme, "viewport": {"width": width, "height": height}, "reduced_motion": "reduce"}
                    visitor = new_visitor(browser, house, **options)
                    visitor.go("/sign-in")
                    visitor.page.screenshot(path=folder / f"sign-in-{size}-{theme}.png")
                    visitor.sign_in(house.keys.admin_key)
                    for stop in stops(visitor):
                        visitor.go(stop.path)
                        stop.then(visitor.page)
                        visitor.page.wait_for_load_state("networkidle")
                        visitor.page.screenshot(path=folder / f"{stop.name}-{size}-{theme}.png")
                    visitor.context.close()
            browser.close()


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else IMAGES)
