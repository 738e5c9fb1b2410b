"""docs/settings-pages.md says what the pages say."""

import re
from pathlib import Path

from keyhouse.services.connection_test import TESTS_A_MINUTE
from keyhouse.services.sessions import LIFETIME_S
from keyhouse.web.pages.sign_in import ATTEMPTS_A_MINUTE
from keyhouse.web.pages.verdict_words import VERDICT_WORDS

DOCS = Path(__file__).parents[2] / "docs"
PAGE = (DOCS / "settings-pages.md").read_text(encoding="utf-8")


def test_every_verdict_is_named_as_the_card_names_it() -> None:
    told = re.findall(r"^\| ([^|`]+) \| `(\w+)` \|$", PAGE, re.MULTILINE)
    assert told == [(words.title, verdict.value) for verdict, words in VERDICT_WORDS.items()]


def test_the_limits_are_those_of_the_code() -> None:
    assert (TESTS_A_MINUTE, ATTEMPTS_A_MINUTE, LIFETIME_S) == (20, 20, 8 * 3600)
    assert "Twenty tests a minute" in PAGE
    assert "Twenty attempts a minute" in PAGE
    assert "after eight hours" in PAGE


def test_its_pictures_and_pages_are_there() -> None:
    named = re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", PAGE)
    assert named
    assert [name for name in named if not (DOCS / name).is_file()] == []
