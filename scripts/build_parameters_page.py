"""Writes the tables of docs/parameters.md from src/keyhouse/gateway/wire/parameters.toml. The text around them is written by hand.

`--check` writes nothing and fails when the committed page is not what would be written.
"""

import argparse
import re
import sys
from pathlib import Path

from keyhouse.gateway.wire.parameters import TABLE, CallerFormat, Row, UpstreamFormat

PAGE = Path(__file__).resolve().parent.parent / "docs" / "parameters.md"
TITLES: dict[UpstreamFormat, str] = {
    "openai_chat": "Chat Completions",
    "openai_responses": "Responses",
    "anthropic_messages": "Messages",
    "bedrock_converse": "Converse",
}


def rendered_table(caller: CallerFormat) -> str:
    """The Markdown table of one caller's format."""
    rows = TABLE[caller]
    upstreams = list(rows[0].actions)
    head = ["Parameter", *(TITLES[upstream] for upstream in upstreams), ""]
    lines = [_line(head), _line(["---"] * len(head)), *(_line(_cells(row, upstreams)) for row in rows)]
    return "\n".join(lines)


def _line(cells: list[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def _cells(row: Row, upstreams: list[UpstreamFormat]) -> list[str]:
    return [f"`{row.name}`", *(_cell(row, upstream) for upstream in upstreams), row.note.replace("|", "\\|")]


def _cell(row: Row, upstream: UpstreamFormat) -> str:
    action, place = row.actions[upstream], row.places.get(upstream)
    if action == "mapped":
        return f"`{re.sub(r'[.][0-9]+', '[]', place or '')}`"
    if action == "gateway":
        return "in the URL" if place else "the gateway's own"
    return f"**{action}**"


def rendered_page(page: str) -> str:
    """The page with its tables replaced."""
    for caller in TABLE:
        begin, end = f"<!-- table {caller} -->", "<!-- end -->"
        start = page.index(begin) + len(begin)
        page = page[:start] + "\n" + rendered_table(caller) + "\n" + page[page.index(end, start) :]
    return page


def main() -> int:
    """Write the page, or check it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; fail when the page is out of date")
    check = parser.parse_args().check
    page = PAGE.read_text(encoding="utf-8")
    rendered = rendered_page(page)
    if check:
        if rendered != page:
            print("docs/parameters.md is out of date: run scripts/build_parameters_page.py", file=sys.stderr)
        return int(rendered != page)
    PAGE.write_text(rendered, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
