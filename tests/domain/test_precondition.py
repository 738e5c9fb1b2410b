"""Entity tags without a house: which of several states counts."""

from keyhouse.domain.precondition import NamedState, parse_if_match


def test_the_newest_state_named_is_of_this_provider_or_of_all() -> None:
    named = parse_if_match('"anthropic-9.ab", "openai-3.ab", "openai-2.ab"')
    assert named.newest_state("openai") == NamedState("openai", 3)
    assert named.newest_state("groq") is None
    assert parse_if_match('"openai-3.ab", "5.ab"').newest_state("openai") == NamedState(None, 5)
