"""What an answer says of itself: its id, its model, why it ended. Read from kept bytes, only where spans are wanted. Never its words."""

from collections.abc import Iterable, Iterator
from typing import Protocol

import msgspec

from keyhouse.gateway.wire.answer import Usage
from keyhouse.gateway.wire.json_text import UNREADABLE

_LARGEST_BYTES = 1024 * 1024
"""Of a whole answer that is looked into: what is larger takes too long."""
_LONGEST = 256
_DATA = b"data:"


class AnswerFacts(msgspec.Struct, frozen=True):
    """What is None, or empty, was not told, or not found. `finish_reasons` has one of each choice, in the words of `convention_of`."""

    id: str | None = None
    model: str | None = None
    finish_reasons: tuple[str, ...] = ()


NO_FACTS = AnswerFacts()
_CONVENTIONS = {
    **dict.fromkeys(("end", "end_turn", "stop_sequence", "completed"), "stop"),
    **dict.fromkeys(("max_tokens", "max_output_tokens", "context_window", "model_context_window_exceeded"), "length"),
    **dict.fromkeys(("tool_use", "tool_calls", "function_call"), "tool_call"),
    **dict.fromkeys(("refusal", "content_filtered", "guardrail_intervened"), "content_filter"),
    "failed": "error",
}


def convention_of(reason: str) -> str:
    """The word of OpenTelemetry's conventions for why an answer ended, whatever its format calls it; of one that has none there, its own.

    https://github.com/open-telemetry/semantic-conventions-genai/blob/main/model/gen-ai/gen-ai-output-messages.json (2026-11-29).
    """
    return _CONVENTIONS.get(reason, reason)


class AnswerRead(Protocol):
    """What was read of an answer on its way. Asked at the end."""

    def usage(self) -> Usage | None:
        """The tokens counted; None where no count came."""

    def facts(self) -> AnswerFacts:
        """What it said of itself. Takes longer."""


class NothingRead:
    """Of an answer that nobody reads."""

    def usage(self) -> None:
        """See AnswerRead."""

    def facts(self) -> AnswerFacts:
        """See AnswerRead."""
        return NO_FACTS


NOTHING_READ = NothingRead()


class _Choice(msgspec.Struct, gc=False):
    index: int = 0
    finish_reason: str | None = None


class _Reason(msgspec.Struct, gc=False):
    reason: str | None = None
    stop_reason: str | None = None


class _Told(msgspec.Struct, gc=False):
    """The members of all shapes. Events of Messages hold the answer in `message` and its end in `delta`, those of Responses it in
    `response`."""

    object: str | None = None
    id: str | None = None
    model: str | None = None
    choices: list[_Choice] = []
    stop_reason: str | None = None
    converse_reason: str | None = msgspec.field(default=None, name="stopReason")
    status: str | None = None
    incomplete_details: _Reason | None = None
    message: "_Told | None" = None
    response: "_Told | None" = None

    def reasons(self) -> Iterator[tuple[int, str | None]]:
        """Why it ended, by the number of the choice."""
        yield from ((choice.index, choice.finish_reason) for choice in self.choices)
        yield 0, self.stop_reason or self.converse_reason
        if self.object == "response" and self.status in ("completed", "incomplete", "failed"):
            yield 0, (self.incomplete_details and self.incomplete_details.reason) or self.status


class _Event(_Told, gc=False):
    delta: _Reason | None = None

    def reasons(self) -> Iterator[tuple[int, str | None]]:
        """See `_Told`."""
        yield from super().reasons()
        if self.delta is not None:
            yield 0, self.delta.stop_reason


_decode_whole = msgspec.json.Decoder(_Told).decode
_decode_event = msgspec.json.Decoder(_Event).decode


def facts_of(*kept: bytes) -> AnswerFacts:
    """The facts of an answer, whole JSON or server-sent events, of which these pieces were kept, the first from its beginning."""
    if kept[0].lstrip()[:1] != b"{":
        return _merged(_events(kept))
    if len(kept) > 1 or len(kept[0]) > _LARGEST_BYTES:
        return NO_FACTS
    try:
        return _merged((_decode_whole(kept[0]),))
    except UNREADABLE:
        return NO_FACTS


def _events(kept: Iterable[bytes]) -> Iterator[_Told]:
    for piece in kept:
        for line in piece.splitlines():
            if line.startswith(_DATA):
                try:
                    event = _decode_event(line[len(_DATA) :])
                except UNREADABLE:
                    continue
                yield event.message or event.response or event
                yield event


def _merged(told: Iterable[_Told]) -> AnswerFacts:
    answer_id = model = None
    reasons: dict[int, str] = {}
    for each in told:
        answer_id, model = answer_id or _short(each.id), model or _short(each.model)
        reasons.update((number, reason) for number, reason in each.reasons() if _short(reason) and reason is not None)
    return AnswerFacts(answer_id, model, tuple(convention_of(reason) for _, reason in sorted(reasons.items())))


def _short(text: str | None) -> str | None:
    return text if text and len(text) <= _LONGEST else None
