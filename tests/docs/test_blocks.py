"""Every block that names its language is of that language: what is copied from a page can be read where it is pasted."""

import json
import re
import subprocess
import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parent.parent.parent
PAGES = [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("bench/*.md")]
BLOCKS = [
    (f"{page.relative_to(ROOT)}-{number}", language, text)
    for page in sorted(PAGES)
    for number, (language, text) in enumerate(
        re.findall(r"^```(\w+)\n(.*?)^```", page.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE), 1
    )
]


def _shell(text: str) -> None:
    checked = subprocess.run(["bash", "-n"], input=text, capture_output=True, text=True, check=False)
    assert (checked.returncode, checked.stderr) == (0, "")


READ: dict[str, Callable[[str], object]] = {
    "python": lambda text: compile(text, "block", "exec"),
    "json": json.loads,
    "toml": tomllib.loads,
    "yaml": lambda text: list(yaml.safe_load_all(text)),
    "sh": _shell,
}


@pytest.mark.parametrize(("language", "text"), [pytest.param(*block, id=name) for name, *block in BLOCKS if block[0] in READ])
def test_a_block_is_of_its_language(language: str, text: str) -> None:
    READ[language](text)


def test_languages_are_known() -> None:
    assert {language for _, language, _ in BLOCKS} - READ.keys() == {"caddyfile", "console", "haproxy", "ini", "js", "nginx"}
