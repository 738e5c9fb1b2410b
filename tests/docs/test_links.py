"""Links between the documents lead somewhere, and every page of `docs/` is found from the README."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent
DOCUMENTS = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("bench/*.md")])


def _anchors(document: Path) -> set[str]:
    """The anchors that a forge makes of headings."""
    headings = re.findall(r"^#+ (.+)$", document.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-") for heading in headings}


def _links(document: Path) -> list[tuple[Path, str]]:
    """The files and anchors that a document links to, other hosts left out."""
    targets = re.findall(r"\]\((?!https?:)([^)\s]+)\)", document.read_text(encoding="utf-8"))
    pairs = [target.partition("#")[::2] for target in targets]
    return [((document.parent / path).resolve() if path else document, anchor) for path, anchor in pairs]


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_link_leads_somewhere(document: Path) -> None:
    links = _links(document)
    assert [str(path) for path, _ in links if not path.exists()] == []
    assert [(path.name, anchor) for path, anchor in links if anchor and anchor not in _anchors(path)] == []


def test_every_page_is_found_from_the_readme() -> None:
    found = {path for path, _ in _links(ROOT / "README.md")}
    assert [page.name for page in sorted((ROOT / "docs").glob("*.md")) if page not in found] == []
    assert ROOT / "docs" / "running.md" in found
