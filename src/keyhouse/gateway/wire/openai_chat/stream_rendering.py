"""Renders a stream of chat completion chunks as server-sent events."""

from collections.abc import Iterator

import msgspec

from keyhouse.gateway.wire.answer import (
    AnswerDefaults,
    ApiError,
    ArgumentsDelta,
    Cited,
    Failed,
    Finished,
    PartEnded,
    Ping,
    RedactedThinking,
    SignatureDelta,
    Started,
    Stopped,
    StreamEvent,
    TextDelta,
    ThinkingDelta,
    ThinkingStarted,
    ToolCallStarted,
    Usage,
    UsageCounted,
)
from keyhouse.gateway.wire.citations import in_chat, render_citation
from keyhouse.gateway.wire.conversation import Citation, RedactedThinkingPart, ThinkingPart
from keyhouse.gateway.wire.fields import JsonObject
from keyhouse.gateway.wire.markers import render_thinking_block
from keyhouse.gateway.wire.openai_chat.errors import render_error
from keyhouse.gateway.wire.openai_chat.response import FINISH_REASONS
from keyhouse.gateway.wire.usage import render_openai_usage


class StreamRenderer:
    """One stream of chunks, ending in `data: [DONE]`; after an error nothing follows, not even that."""

    def __init__(self, defaults: AnswerDefaults) -> None:
        self._head: JsonObject = _head(defaults, Started())
        self._defaults = defaults
        self._usage: Usage | None = None
        self._thought: list[str] | None = None
        self._signature = ""
        self._thinking_blocks = 0
        self._calls = 0
        self._has_started = False
        self._said = self._said_before = 0
        self._citations: dict[Citation, None] = {}
        self._call_is_open = self._call_has_arguments = False

    def render(self, event: StreamEvent) -> Iterator[bytes]:
        """The bytes of one event, as whole server-sent events."""
        match event:
            case TextDelta(text=text):
                self._said += len(text)
                yield self._chunk({"content": text})
            case ThinkingDelta(text=text):
                if self._thought is not None:
                    self._thought.append(text)
                yield self._chunk({"reasoning_content": text})
            case ArgumentsDelta(json_text=text):
                self._call_has_arguments = True
                yield self._call_chunk({"function": {"arguments": text}})
            case Started():
                self._head, self._has_started = _head(self._defaults, event), True
                yield self._chunk({"role": "assistant", "content": None, "refusal": None})
            case ToolCallStarted():
                yield self._call_started(event)
            case ThinkingStarted():
                self._thought, self._signature = [], ""
            case SignatureDelta(signature=signature):
                self._signature = signature
            case RedactedThinking(data=data):
                yield self._thinking_block(RedactedThinkingPart(data))
            case Cited(citation=citation):
                self._citations[citation] = None
            case PartEnded():
                yield from self._part_ended()
            case _:
                yield from self._ending(event)

    def _ending(self, event: StreamEvent) -> Iterator[bytes]:
        match event:
            case UsageCounted(usage=usage):
                self._usage = usage
            case Stopped():
                delta = {} if event.refusal is None else {"refusal": event.refusal}
                yield self._chunk(delta, FINISH_REASONS[event.stop])
            case Finished():
                if self._defaults.include_usage:
                    yield _frame({**self._head, "choices": [], "usage": render_openai_usage(self._usage or Usage())})
                yield b"data: [DONE]\n\n"
            case Failed(error=error):
                yield self.render_failure(error)
            case Ping() if self._has_started:
                # Chat Completions has no event for a sign of life, and not every client reads comments: azure-ai-inference 1.0 raises.
                yield self._chunk({})

    def render_failure(self, error: ApiError) -> bytes:
        """The error chunk. The official client raises at its member `error`."""
        return _frame(render_error(error))

    def _chunk(self, delta: JsonObject, finish_reason: str | None = None) -> bytes:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish_reason}
        chunk = {**self._head, "choices": [choice]}
        if self._defaults.include_usage:
            chunk["usage"] = None
        return _frame(chunk)

    def _call_started(self, event: ToolCallStarted) -> bytes:
        self._calls += 1
        self._call_is_open, self._call_has_arguments = True, False
        return self._call_chunk({"id": event.id, "type": "function", "function": {"name": event.name, "arguments": ""}})

    def _call_chunk(self, call: JsonObject) -> bytes:
        return self._chunk({"tool_calls": [{"index": self._calls - 1, **call}]})

    def _part_ended(self) -> Iterator[bytes]:
        if self._call_is_open and not self._call_has_arguments:
            # A call without arguments streams none in other formats; here they must be JSON.
            yield self._call_chunk({"function": {"arguments": "{}"}})
        if self._thought is not None and self._signature:
            yield self._thinking_block(ThinkingPart("".join(self._thought), self._signature))
        if self._citations:
            cited = [render_citation(citation, self._said_before, self._said) for citation in self._citations]
            yield self._chunk({"annotations": list(map(in_chat, cited))})
        self._thought, self._call_is_open = None, False
        self._citations, self._said_before = {}, self._said

    def _thinking_block(self, part: ThinkingPart | RedactedThinkingPart) -> bytes:
        """A whole block at once, with the index by which the official client joins lists."""
        index = self._thinking_blocks
        self._thinking_blocks += 1
        return self._chunk({"thinking_blocks": [{"index": index, **render_thinking_block(part)}]})


def _head(defaults: AnswerDefaults, started: Started) -> JsonObject:
    return {
        "id": started.id or defaults.id,
        "object": "chat.completion.chunk",
        "created": defaults.created if started.created is None else started.created,
        "model": started.model or defaults.model,
    }


def _frame(data: JsonObject) -> bytes:
    return b"data: " + msgspec.json.encode(data) + b"\n\n"
