"""What the run of power cuts takes for told: a change that a kill left without an answer may be there, and the one behind it under way."""

from pathlib import Path

from bench.power_loss.ledger import Ledger


def test_the_next_answered_change_may_be_two_further_on() -> None:
    ledger = Ledger(Path("said"), {1: ("gemini", 1), 2: ("groq", 1), 5: ("gemini", 3)})
    assert [ledger.next_answered("gemini", number) for number in (0, 1, 3)] == [1, 3, 4]
    assert ledger.next_answered("groq", 1) == 2
