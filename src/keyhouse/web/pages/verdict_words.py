"""A connection test's verdict as the pages show it: a word or two, and a tone that a colour and an icon stand for."""

from typing import Literal

import msgspec

from keyhouse.domain.verdict import Verdict

Tone = Literal["good", "warn", "bad", "plain"]


class VerdictWords(msgspec.Struct, frozen=True):
    """The heading of a verdict, and its tone. The sentence below it is the verdict's own."""

    title: str
    tone: Tone


VERDICT_WORDS: dict[Verdict, VerdictWords] = {
    Verdict.VERIFIED: VerdictWords("Works", "good"),
    Verdict.KEY_REFUSED: VerdictWords("Credentials refused", "bad"),
    Verdict.MODEL_MISSING: VerdictWords("Model missing", "warn"),
    Verdict.WRONG_ENDPOINT: VerdictWords("Wrong address", "bad"),
    Verdict.UNREACHABLE: VerdictWords("Not reached", "bad"),
    Verdict.TLS_ERROR: VerdictWords("Certificate not accepted", "bad"),
    Verdict.RATE_LIMITED: VerdictWords("Asked too often", "warn"),
    Verdict.BLOCKED: VerdictWords("Blocked by Keyhouse", "bad"),
    Verdict.UNCHECKED: VerdictWords("Cannot be tested for free", "plain"),
}
