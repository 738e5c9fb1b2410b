"""docs/connection-test.md says what the code does."""

import re
from pathlib import Path

from keyhouse.domain.verdict import Verdict
from keyhouse.gateway.connection_check import BUDGET_S
from keyhouse.services.connection_test import TESTS_A_MINUTE

PAGE = (Path(__file__).parents[2] / "docs" / "connection-test.md").read_text(encoding="utf-8")


def test_every_verdict_is_explained_once() -> None:
    assert re.findall(r"^\| `(\w+)` \|", PAGE, re.MULTILINE) == [verdict.value for verdict in Verdict]


def test_the_limits_are_those_of_the_code() -> None:
    assert f"within {BUDGET_S:g} seconds" in PAGE
    assert f"At most {TESTS_A_MINUTE} tests a minute" in PAGE
