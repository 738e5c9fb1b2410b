"""Entity tags without a house: which of several states counts."""

import pytest

from keyhouse.domain.precondition import NamedState, Precondition, matches_none, parse_if_match, parse_if_none_match


def test_the_newest_state_named_is_of_this_provider_or_of_all() -> None:
    named = parse_if_match('"anthropic-9.ab", "openai-3.ab", "openai-2.ab"')
    assert named.newest_state("openai") == NamedState("openai", 3)
    assert named.newest_state("groq") is None
    assert parse_if_match('"openai-3.ab", "5.ab"').newest_state("openai") == NamedState(None, 5)


def test_of_what_must_not_match_a_write_minds_the_asterisk_alone() -> None:
    assert parse_if_none_match(" * ") == Precondition(must_exist=False)
    assert [parse_if_none_match(named) for named in ("", '"5.ab"', '"openai-3.ab", *')] == [None, None, None]


@pytest.mark.parametrize(
    ("named", "matches"), [("*", True), (" * ", True), ('"4.a", W/"5.ab"', True), ('"5.a"', False), ("5.ab", False), ("", False)]
)
def test_what_a_reader_has_is_compared_weakly(named: str, matches: bool) -> None:
    assert matches_none(named, '"5.ab"') == matches
