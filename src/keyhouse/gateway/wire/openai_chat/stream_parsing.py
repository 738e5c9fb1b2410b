"""Parses a stream of chat completion chunks, event by event. The final event is `data: [DONE]`."""

from collections.abc import Iterator
from typing import Literal

from keyhouse.domain.errors import Code, Error
from keyhouse.gateway.wire.answer import (
    Failed,
    Finished,
    PartEnded,
    RedactedThinking,
    Started,
    Stopped,
    StreamEvent,
    TextDelta,
    TextStarted,
    ThinkingDelta,
    ThinkingStarted,
    ToolCallStarted,
    UsageCounted,
)
from keyhouse.gateway.wire.call_signatures import parse_call_signature
from keyhouse.gateway.wire.conversation import ThinkingPart
from keyhouse.gateway.wire.decoding import decoded
from keyhouse.gateway.wire.fields import Fields
from keyhouse.gateway.wire.openai_chat.call_order import CallOrder
from keyhouse.gateway.wire.openai_chat.errors import parse_error_member
from keyhouse.gateway.wire.openai_chat.response import made_call_id, parse_arguments, parse_said, parse_stop
from keyhouse.gateway.wire.usage import parse_openai_usage

DONE = b"[DONE]"
_Said = Literal["text", "refusal", "thinking"]


class StreamParser:
    """One stream of chunks; only the first choice is read."""

    def __init__(self) -> None:
        self._started = False
        self._open: _Said | None = None
        self._held: list[tuple[_Said, str]] = []
        self._calls = CallOrder()
        self._refusal: list[str] = []
        self._finish_reason: str | None = None

    def parse(self, name: str | None, data: bytes) -> Iterator[StreamEvent]:
        """The events that one server-sent event amounts to. Raises Error (`upstream_invalid_answer`)."""
        if data.strip() == DONE:
            yield from self._end()
            return
        chunk = decoded(data)
        if chunk.has("error"):
            yield Failed(parse_error_member(chunk.raw))
            return
        if not self._started:
            self._started = True
            yield Started(chunk.text_or_none("id"), chunk.text_or_none("model"), chunk.integer_or_none("created"))
        for choice in chunk.objects_or_none("choices"):
            if not choice.integer_or_none("index"):
                yield from self._choice(choice)
        usage = chunk.object_or_none("usage")
        if usage is not None:
            yield UsageCounted(parse_openai_usage(usage))

    def _choice(self, choice: Fields) -> Iterator[StreamEvent]:
        delta = choice.object_or_none("delta")
        if delta is not None:
            yield from self._delta(delta)
        self._finish_reason = choice.text_or_none("finish_reason") or self._finish_reason

    def _delta(self, delta: Fields) -> Iterator[StreamEvent]:
        for part in parse_said(delta):
            yield from self._said("thinking" if isinstance(part, ThinkingPart) else "text", part.text)
        refusal = delta.text_or_none("refusal") or ""
        if refusal:
            self._refusal.append(refusal)
            yield from self._said("refusal", refusal)
        for call in delta.objects_or_none("tool_calls"):
            yield from self._call(call)

    def _said(self, kind: _Said, text: str) -> Iterator[StreamEvent]:
        """What was said, behind the calls whose pieces it came between: other formats want one block after the other."""
        if text and self._calls.is_unfinished:
            self._held.append((kind, text))
        elif text:
            yield from self._released()
            yield from self._told(kind, text)

    def _released(self) -> Iterator[StreamEvent]:
        """What was held."""
        held, self._held = self._held, []
        for kind, text in held:
            yield from self._told(kind, text)

    def _told(self, kind: _Said, text: str) -> Iterator[StreamEvent]:
        yield from self._opened(kind)
        yield ThinkingDelta(text) if kind == "thinking" else TextDelta(text)

    def _opened(self, kind: _Said) -> Iterator[StreamEvent]:
        if self._open != kind:
            yield from self._closed()
            self._open = kind
            yield ThinkingStarted() if kind == "thinking" else TextStarted(is_refusal=kind == "refusal")

    def _closed(self) -> Iterator[StreamEvent]:
        yield from self._calls.ended()
        if self._open is not None:
            self._open = None
            yield PartEnded()

    def _call(self, call: Fields) -> Iterator[StreamEvent]:
        ids = self._calls.ids
        # Some upstreams send each call whole and leave the index out.
        index = call.integer("index") if call.has("index") else len(ids)
        function = call.object_or_none("function")
        is_another = index in ids and self._is_another(call, function, index)
        if index not in ids or is_another:
            if function is None:
                raise call.wrong("function", "an object where the call begins")
            if is_another or self._open is not None:
                yield from self._closed()
            call_id = call.text_or_none("id") or made_call_id()
            signature = parse_call_signature(call)
            signed = () if signature is None else (RedactedThinking(signature.data),)
            yield from self._calls.begun(index, call_id, *signed, ToolCallStarted(call_id, function.text("name")))
        yield from self._calls.more(index, parse_arguments(function) if function is not None else "")

    def _is_another(self, call: Fields, function: Fields | None, index: int) -> bool:
        """Whether a call begins under the index of the one before it: Gemini's OpenAI endpoint counts all as 0, each with an id of its own:
        https://github.com/NousResearch/hermes-agent/issues/62940 (2026-07-12)."""
        call_id = call.text_or_none("id") or self._calls.ids[index]
        return call_id != self._calls.ids[index] and function is not None and bool(function.text_or_none("name"))

    def _end(self) -> Iterator[StreamEvent]:
        yield from self._released()
        yield from self._closed()
        if not self._started or self._finish_reason is None:
            raise Error(Code.UPSTREAM_STREAM_INCOMPLETE, "The upstream ended the stream before the model had stopped.")
        refusal = "".join(self._refusal) or None
        stop = parse_stop(self._finish_reason, has_calls=bool(self._calls.ids), has_refusal=refusal is not None)
        yield Stopped(stop, refusal=refusal)
        yield Finished()
