"""Renders a stream of Messages events as server-sent events."""

from collections.abc import Iterator

import msgspec

from keyhouse.gateway.wire.answer import (
    AnswerDefaults,
    ApiError,
    ArgumentsDelta,
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
from keyhouse.gateway.wire.anthropic_messages.errors import render_error
from keyhouse.gateway.wire.anthropic_messages.response import render_envelope, render_stop
from keyhouse.gateway.wire.anthropic_messages.searches import render_search
from keyhouse.gateway.wire.conversation import SearchPart
from keyhouse.gateway.wire.fields import JsonObject
from keyhouse.gateway.wire.usage import render_anthropic_usage


class StreamRenderer:
    """One stream from `message_start` to `message_stop`; after an `error` nothing follows."""

    def __init__(self, defaults: AnswerDefaults) -> None:
        self._defaults = defaults
        self._index = -1
        self._stopped = Stopped("end")
        self._usage = Usage()

    def render(self, event: StreamEvent) -> Iterator[bytes]:
        """The bytes of one event, as whole server-sent events."""
        match event:
            case TextDelta(text=text):
                yield self._delta({"type": "text_delta", "text": text})
            case ThinkingDelta(text=text):
                yield self._delta({"type": "thinking_delta", "thinking": text})
            case ArgumentsDelta(json_text=text):
                yield self._delta({"type": "input_json_delta", "partial_json": text})
            case SignatureDelta(signature=signature):
                yield self._delta({"type": "signature_delta", "signature": signature})
            case TextStarted():
                yield self._block({"type": "text", "text": ""})
            case ThinkingStarted():
                yield self._block({"type": "thinking", "thinking": "", "signature": ""})
            case ToolCallStarted():
                yield self._block({"type": "tool_use", "id": event.id, "name": event.name, "input": {}})
            case RedactedThinking(data=data):
                yield self._block({"type": "redacted_thinking", "data": data})
                yield self._block_stop()
            case Searched(search=search):
                yield from self._search(search)
            case PartEnded():
                yield self._block_stop()
            case _:
                yield from self._around(event)

    def _around(self, event: StreamEvent) -> Iterator[bytes]:
        match event:
            case Started():
                yield self._message_start(event)
                yield _frame({"type": "ping"})
            case UsageCounted(usage=usage):
                self._usage = usage
            case Stopped():
                self._stopped = event
            case Finished():
                yield self._message_delta()
                yield _frame({"type": "message_stop"})
            case Failed(error=error):
                yield self.render_failure(error)
            case Ping():
                yield _frame({"type": "ping"})

    def render_failure(self, error: ApiError) -> bytes:
        """The `error` event."""
        return _frame(render_error(error))

    def _message_start(self, event: Started) -> bytes:
        message = {
            **render_envelope(event.id or self._defaults.id, event.model or self._defaults.model),
            "content": [],
            "stop_reason": None,
            "stop_sequence": None,
            "usage": render_anthropic_usage(event.usage or Usage()),
        }
        return _frame({"type": "message_start", "message": message})

    def _message_delta(self) -> bytes:
        stop = render_stop(self._stopped.stop, self._stopped.stop_sequence, self._stopped.refusal)
        return _frame({"type": "message_delta", "delta": stop, "usage": render_anthropic_usage(self._usage)})

    def _block(self, block: JsonObject) -> bytes:
        self._index += 1
        return _frame({"type": "content_block_start", "index": self._index, "content_block": block})

    def _search(self, search: SearchPart) -> Iterator[bytes]:
        asked, found = render_search(search)
        yield self._block({**asked, "input": {}})
        yield self._delta({"type": "input_json_delta", "partial_json": msgspec.json.encode(asked["input"]).decode()})
        yield self._block_stop()
        yield self._block(found)
        yield self._block_stop()

    def _delta(self, delta: JsonObject) -> bytes:
        return _frame({"type": "content_block_delta", "index": self._index, "delta": delta})

    def _block_stop(self) -> bytes:
        return _frame({"type": "content_block_stop", "index": self._index})


def _frame(data: JsonObject) -> bytes:
    name: str = data["type"]
    return b"event: " + name.encode() + b"\ndata: " + msgspec.json.encode(data) + b"\n\n"
