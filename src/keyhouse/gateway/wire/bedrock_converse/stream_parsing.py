"""Parses the events of ConverseStream, which the event stream decoder has taken out of their frames. The final event is `metadata`.

https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_ConverseStream.html, looked up on 23 November 2026.
"""

import base64
from collections.abc import Iterator, Sequence

from keyhouse.domain.errors import Code, Error
from keyhouse.gateway.wire.answer import (
    ArgumentsDelta,
    Failed,
    Finished,
    PartEnded,
    RedactedThinking,
    SignatureDelta,
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
from keyhouse.gateway.wire.bedrock_converse.errors import parse_error_member
from keyhouse.gateway.wire.bedrock_converse.response import parse_stop
from keyhouse.gateway.wire.decoding import decoded
from keyhouse.gateway.wire.fields import Fields
from keyhouse.gateway.wire.usage import parse_converse_usage


class StreamParser:
    """One stream of events."""

    def __init__(self) -> None:
        self._started = False
        self._stopped = False
        self._open_index: int | None = None
        self._open_kind = ""
        self._hidden: list[str] = []
        self._has_calls = False

    def parse(self, name: str | None, data: bytes) -> Iterator[StreamEvent]:
        """The events that one event amounts to: `name` as in `contentBlockDelta`, `data` its JSON. Raises Error."""
        event = decoded(data)
        if name is not None and name.endswith(("Exception", "Error")):
            yield Failed(parse_error_member(event.raw, name))
        elif name == "messageStart":
            self._started = True
            yield Started()
        elif not self._started:
            raise Error(Code.UPSTREAM_INVALID_ANSWER, "The upstream's stream does not begin with messageStart.")
        else:
            yield from self._content(name, event)

    def _content(self, name: str | None, event: Fields) -> Iterator[StreamEvent]:
        match name:
            case "contentBlockStart":
                yield from self._block_start(event)
            case "contentBlockDelta":
                yield from self._block_delta(event)
            case "contentBlockStop":
                yield from self._closed()
            case "messageStop":
                yield from self._closed()
                self._stopped = True
                yield Stopped(parse_stop(event, has_calls=self._has_calls))
            case "metadata":
                yield from self._metadata(event)

    def _closed(self) -> Iterator[StreamEvent]:
        kind, self._open_kind, self._open_index = self._open_kind, "", None
        if kind in ("text", "thinking", "call"):
            yield PartEnded()
        elif kind == "redacted":
            hidden, self._hidden = self._hidden, []
            yield RedactedThinking(_joined(hidden))

    def _block_start(self, event: Fields) -> Iterator[StreamEvent]:
        yield from self._closed()
        call = event.object("start").object_or_none("toolUse")
        if call is not None:
            self._open_index, self._open_kind = event.integer("contentBlockIndex"), "call"
            self._has_calls = True
            yield ToolCallStarted(call.text("toolUseId"), call.text("name"))

    def _block_delta(self, event: Fields) -> Iterator[StreamEvent]:
        delta, index = event.object("delta"), event.integer("contentBlockIndex")
        if delta.has("text"):
            if delta.text("text"):
                yield from self._opened(index, "text")
                yield TextDelta(delta.text("text"))
        elif delta.has("toolUse"):
            if (self._open_index, self._open_kind) != (index, "call"):
                raise Error(Code.UPSTREAM_INVALID_ANSWER, "The upstream went on with a tool call that is not open.")
            arguments = delta.object("toolUse").text("input")
            if arguments:
                yield ArgumentsDelta(arguments)
        elif delta.has("reasoningContent"):
            yield from self._reasoning(index, delta.object("reasoningContent"))

    def _reasoning(self, index: int, content: Fields) -> Iterator[StreamEvent]:
        if content.has("redactedContent"):
            if (self._open_index, self._open_kind) != (index, "redacted"):
                yield from self._closed()
                self._open_index, self._open_kind = index, "redacted"
            self._hidden.append(content.text("redactedContent"))
            return
        yield from self._opened(index, "thinking")
        if content.has("signature"):
            yield SignatureDelta(content.text("signature"))
        else:
            yield ThinkingDelta(content.text("text"))

    def _opened(self, index: int, kind: str) -> Iterator[StreamEvent]:
        """A part of text or thinking begins with its first delta: contentBlockStart comes for tool calls only."""
        if (self._open_index, self._open_kind) != (index, kind):
            yield from self._closed()
            self._open_index, self._open_kind = index, kind
            yield TextStarted() if kind == "text" else ThinkingStarted()

    def _metadata(self, event: Fields) -> Iterator[StreamEvent]:
        if not self._stopped:
            raise Error(Code.UPSTREAM_STREAM_INCOMPLETE, "The upstream ended the stream before the model had stopped.")
        usage = event.object_or_none("usage")
        if usage is not None:
            yield UsageCounted(parse_converse_usage(usage))
        yield Finished()


def _joined(pieces: Sequence[str]) -> str:
    """The pieces of a hidden thought, each of them bytes in base64, as one."""
    if len(pieces) == 1:
        return pieces[0]
    try:
        return base64.b64encode(b"".join(base64.b64decode(piece, validate=True) for piece in pieces)).decode()
    except ValueError as error:
        raise Error(Code.UPSTREAM_INVALID_ANSWER, "The upstream hid a thought in what is no base64.") from error
