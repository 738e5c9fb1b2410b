"""A provider's mark on the pages: its logo, or its initials where it has none, white on a quiet colour made from its name."""

import re
from functools import cache
from pathlib import Path

from markupsafe import Markup

from keyhouse.domain.provider_spec import ProviderSpec
from keyhouse.web.pages.documents import Document, kept_text

LOGOS = Path(__file__).parent / "static" / "logos"
_TONES = 8
_DRAWING = re.compile(r"<svg (?P<head>[^>]*)>(?:<title>[^<]*</title>)?(?P<body>.*)</svg>\s*", re.DOTALL)
_KEPT = re.compile(r'(?:fill|fill-rule|viewBox)="[^"]*"')


@cache
def logo_sheet() -> Document:
    """Every logo as a symbol of one file, so that a page names it and a browser fetches all of them once."""
    symbols = "".join(_symbol(path) for path in sorted(LOGOS.glob("*.svg")))
    return kept_text(f'<svg xmlns="http://www.w3.org/2000/svg">{symbols}</svg>', "/static/logos", ".svg")


def _symbol(path: Path) -> str:
    found = _DRAWING.fullmatch(path.read_text(encoding="utf-8"))
    if found is None:
        raise ValueError(f"{path.name} is no drawing as its maker ships them")
    return f'<symbol id="{path.stem}" {" ".join(_KEPT.findall(found["head"]))}>{found["body"]}</symbol>'


def mark(spec: ProviderSpec) -> Markup:
    """A small SVG. It says nothing that the name beside it does not say, so screen readers pass it over."""
    return Markup(
        '<svg class="mark tone-{}" viewBox="0 0 40 40" aria-hidden="true" focusable="false"><rect width="40" height="40" rx="10"/>{}</svg>'
    ).format(sum(map(ord, spec.name)) % _TONES, _logo(spec.logo) if spec.logo else _monogram(spec.name))


def _logo(name: str) -> Markup:
    return Markup('<use href="{}#{}" x="9" y="9" width="22" height="22"/>').format(logo_sheet().path, name)


def _monogram(name: str) -> Markup:
    return Markup('<text x="20" y="25.5" text-anchor="middle">{}</text>').format(initials(name))


def initials(name: str) -> str:
    """Two letters: the first of two words, else the first two of one."""
    words = [word for word in "".join(letter if letter.isalnum() else " " for letter in name).split() if word]
    if len(words) > 1:
        return (words[0][0] + words[1][0]).upper()
    capitals = [letter for letter in name if letter.isupper()]
    return "".join(capitals[:2]) if len(capitals) > 1 else name[:2].capitalize()
