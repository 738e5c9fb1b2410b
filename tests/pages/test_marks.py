"""A provider's mark: its logo, drawn from one file, or its initials."""

from xml.etree import ElementTree

import pytest

from keyhouse.catalog.catalog import load_catalog
from keyhouse.web.pages.marks import LOGOS, initials, logo_sheet, mark

_SVG = "{http://www.w3.org/2000/svg}"
PROVIDERS = load_catalog().providers


def _symbols() -> dict[str, ElementTree.Element]:
    return {symbol.attrib["id"]: symbol for symbol in ElementTree.fromstring(logo_sheet().body()).iter(f"{_SVG}symbol")}


@pytest.mark.parametrize("provider", PROVIDERS)
def test_every_named_logo_is_drawn(provider: str) -> None:
    spec = PROVIDERS[provider]
    drawn = str(mark(spec))
    if not spec.logo:
        assert f">{initials(spec.name)}</text>" in drawn
        return
    assert f'href="{logo_sheet().path}#{spec.logo}"' in drawn
    symbol = _symbols()[spec.logo]
    assert symbol.attrib["viewBox"] == "0 0 24 24"
    assert len(symbol.findall(f"{_SVG}path")) >= 1


def test_only_what_any_operator_names_has_no_logo() -> None:
    assert [provider for provider, spec in PROVIDERS.items() if not spec.logo] == ["custom"]


def test_no_logo_is_kept_for_nobody() -> None:
    assert {path.stem for path in LOGOS.glob("*.svg")} == {spec.logo for spec in PROVIDERS.values() if spec.logo}


def test_the_sheet_runs_and_fetches_nothing() -> None:
    names = {element.tag.removeprefix(_SVG) for element in ElementTree.fromstring(logo_sheet().body()).iter()}
    assert names <= {"svg", "symbol", "path", "g", "rect", "circle", "defs", "clipPath"}
