"""Parses a stream of Messages events, event by event. The final event is `message_stop`.

https://platform.claude.com/docs/en/build-with-claude/streaming, looked up on 23 November 2026: events of unknown types are to be ignored.
"""

from collections.abc import Callable, Iterator

from keyhouse.domain.errors import Code, Error
from keyhouse.gateway.wire.answer import (
    ArgumentsDelta,
    Cited,
    Failed,
    Finished,
    PartEnded,
    Ping,
    RedactedThinking,
    Searched,
    SignatureDelta,
    Started,
    Stopped,
    StreamEvent,
    TextDelta,
    TextStarted,
    ThinkingDelta,
    ThinkingStarted,
    ToolCallStarted,
    Usage,
    UsageCounted,
)
from keyhouse.gateway.wire.anthropic_messages.errors import parse_error_member
from keyhouse.gateway.wire.anthropic_messages.response import STOP_REASONS, parse_refusal
from keyhouse.gateway.wire.anthropic_messages.searches import SearchReader, parse_citation
from keyhouse.gateway.wire.decoding import decoded
from keyhouse.gateway.wire.fields import Fields
from keyhouse.gateway.wire.usage import parse_anthropic_usage

_DELTAS: dict[str, tuple[str, str, Callable[[str], StreamEvent]]] = {
    "text_delta": ("text", "text", TextDelta),
    "thinking_delta": ("thinking", "thinking", ThinkingDelta),
    "signature_delta": ("thinking", "signature", SignatureDelta),
    "input_json_delta": ("tool_use", "partial_json", ArgumentsDelta),
}


class StreamParser:
    """One stream of events."""

    def __init__(self) -> None:
        self._usage: Usage | None = None
        self._started = False
        self._stopped = False
        self._open_index: int | None = None
        self._open_kind = ""
        self._searches = SearchReader()
        self._asked: tuple[Fields, list[str]] | None = None

    def parse(self, name: str | None, data: bytes) -> Iterator[StreamEvent]:
        """The events that one server-sent event amounts to. Raises Error (`upstream_invalid_answer`)."""
        event = decoded(data)
        kind = event.text("type")
        if kind == "ping":
            yield Ping()
        elif kind == "error":
            yield Failed(parse_error_member(event.raw))
        elif kind == "message_start":
            yield self._message_start(event.object("message"))
        elif kind.startswith(("content_block_", "message_")):
            if not self._started:
                raise Error(Code.UPSTREAM_INVALID_ANSWER, "The upstream's stream does not begin with message_start.")
            yield from self._content(kind, event)

    def _content(self, kind: str, event: Fields) -> Iterator[StreamEvent]:
        match kind:
            case "content_block_start":
                yield from self._block_start(event)
            case "content_block_delta":
                yield from self._block_delta(event)
            case "content_block_stop":
                yield from self._block_stop(event)
            case "message_delta":
                yield from self._message_delta(event)
            case "message_stop":
                yield from self._message_stop()

    def _message_start(self, message: Fields) -> Started:
        if self._started:
            raise Error(Code.UPSTREAM_INVALID_ANSWER, "The upstream began its message twice.")
        self._started = True
        usage = message.object_or_none("usage")
        self._usage = None if usage is None else parse_anthropic_usage(usage)
        return Started(message.text_or_none("id"), message.text_or_none("model"), usage=self._usage)

    def _block_start(self, event: Fields) -> Iterator[StreamEvent]:
        if self._open_index is not None:
            raise Error(Code.UPSTREAM_INVALID_ANSWER, "The upstream began a block inside another.")
        block = event.object("content_block")
        self._open_index, self._open_kind = event.integer("index"), block.text("type")
        match self._open_kind:
            case "text":
                yield TextStarted()
                if block.text_or_none("text"):
                    yield TextDelta(block.text("text"))
            case "thinking":
                yield ThinkingStarted()
                if block.text_or_none("thinking"):
                    yield ThinkingDelta(block.text("thinking"))
            case "redacted_thinking":
                yield RedactedThinking(block.text("data"))
            case "tool_use":
                yield ToolCallStarted(block.text("id"), block.text("name"))
            case "server_tool_use":
                self._asked = block, []
            case "web_search_tool_result":
                yield Searched(self._searches.found(block))

    def _block_delta(self, event: Fields) -> Iterator[StreamEvent]:
        self._check_open(event)
        delta = event.object("delta")
        if self._asked is not None:
            self._asked[1].append(delta.text_or_none("partial_json") or "")
        elif delta.text("type") == "citations_delta":
            cited = parse_citation(delta.object("citation"))
            if cited is not None and self._open_kind == "text":
                yield Cited(cited)
        known = _DELTAS.get(delta.text("type"))
        if known is not None and known[0] == self._open_kind:
            _, member, build = known
            value = delta.text(member)
            if value:
                yield build(value)

    def _block_stop(self, event: Fields) -> Iterator[StreamEvent]:
        self._check_open(event)
        kind, self._open_kind, self._open_index = self._open_kind, "", None
        if self._asked is not None:
            block, pieces = self._asked
            self._asked = None
            self._searches.asked(block, decoded("".join(pieces).encode() or b"{}"))
        if kind in ("text", "thinking", "tool_use"):
            yield PartEnded()

    def _check_open(self, event: Fields) -> None:
        if event.integer("index") != self._open_index:
            raise Error(Code.UPSTREAM_INVALID_ANSWER, "The upstream went on with a block that is not open.")

    def _message_delta(self, event: Fields) -> Iterator[StreamEvent]:
        usage = event.object_or_none("usage")
        if usage is not None:
            self._usage = parse_anthropic_usage(usage, self._usage)
            yield UsageCounted(self._usage)
        delta = event.object("delta")
        reason = delta.text_or_none("stop_reason")
        if reason is not None and not self._stopped:
            if self._open_index is not None:
                raise Error(Code.UPSTREAM_INVALID_ANSWER, "The upstream stopped inside a block.")
            self._stopped = True
            yield Stopped(STOP_REASONS.get(reason, "end"), delta.text_or_none("stop_sequence"), parse_refusal(delta))

    def _message_stop(self) -> Iterator[StreamEvent]:
        if not self._stopped:
            raise Error(Code.UPSTREAM_STREAM_INCOMPLETE, "The upstream ended the stream before the model had stopped.")
        yield Finished()
