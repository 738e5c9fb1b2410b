"""Parses a stream of Responses, event by event. The final event is `response.completed`, `response.incomplete` or `response.failed`.

https://developers.openai.com/api/reference/resources/responses/streaming-events, 29 November 2026. Its items follow each other.
"""

from collections.abc import Iterator
from typing import Literal

from keyhouse.domain.errors import Code, Error
from keyhouse.gateway.wire.answer import (
    ApiError,
    ArgumentsDelta,
    Cited,
    Failed,
    Finished,
    PartEnded,
    Ping,
    RedactedThinking,
    Searched,
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
from keyhouse.gateway.wire.call_signatures import parse_item_signature
from keyhouse.gateway.wire.decoding import decoded
from keyhouse.gateway.wire.fields import Fields
from keyhouse.gateway.wire.openai_chat.errors import parse_error_member
from keyhouse.gateway.wire.openai_responses.response import BETWEEN_SUMMARIES, parse_stop, said_of
from keyhouse.gateway.wire.openai_responses.searches import parse_search
from keyhouse.gateway.wire.openai_responses.sources import Sources
from keyhouse.gateway.wire.reasoning_items import parse_reasoning_item
from keyhouse.gateway.wire.usage import parse_responses_usage

_THOUGHTS = ("response.reasoning_summary_text.delta", "response.reasoning_text.delta")
_KEPT_ALIVE = ("keepalive", "response.in_progress")
_FAILED = ("error", "response.failed", "response.cancelled")
_SIGNS_OF_LIFE = ("response.web_search_call.", "response.reasoning.")
"""How events begin that tell of a search while it lasts."""


class StreamParser:
    """One stream of events."""

    def __init__(self) -> None:
        self._started = False
        self._open: Literal["text", "thinking", "call"] | None = None
        self._calls = 0
        self._searches = 0
        self._has_arguments = False
        self._has_words = False
        self._held: dict[str, Fields] = {}
        self._refusal: list[str] = []
        self._sources = Sources()

    def parse(self, name: str | None, data: bytes) -> Iterator[StreamEvent]:
        """The events that one server-sent event amounts to. Raises Error (`upstream_invalid_answer`)."""
        event = decoded(data)
        kind = event.text("type")
        if kind in _FAILED:
            response = event.object_or_none("response")
            yield Failed(_failure(event if response is None or event.object_or_none("error") is not None else response))
        elif kind == "response.created":
            yield self._begun(event.object("response"))
        elif kind in _KEPT_ALIVE:
            yield Ping()
        elif kind.startswith("response."):
            if not self._started:
                raise Error(Code.UPSTREAM_INVALID_ANSWER, "The upstream's stream does not begin with response.created.")
            yield from self._content(kind, event)

    def _begun(self, response: Fields) -> Started:
        self._started = True
        return Started(response.text_or_none("id"), response.text_or_none("model"), response.integer_or_none("created_at"))

    def _content(self, kind: str, event: Fields) -> Iterator[StreamEvent]:
        match kind:
            case "response.output_text.delta" | "response.refusal.delta":
                yield from self._said(event.text("delta"), is_refusal=kind == "response.refusal.delta")
            case "response.function_call_arguments.delta":
                yield from self._more(event.text("delta"))
            case "response.reasoning_summary_part.added":
                yield from self._thought(BETWEEN_SUMMARIES if self._open == "thinking" else "")
            case "response.output_item.added":
                yield from self._item_begun(event.object("item"))
            case "response.output_item.done":
                yield from self._item_done(event.object("item"))
            case "response.completed" | "response.incomplete":
                yield from self._end(event.object("response"))
            case _ if kind in _THOUGHTS:
                yield from self._thought(event.text("delta"))
            case _ if kind.startswith(_SIGNS_OF_LIFE):
                yield Ping()

    def _said(self, text: str, *, is_refusal: bool) -> Iterator[StreamEvent]:
        if is_refusal:
            self._refusal.append(text)
        if text:
            self._has_words = True
            yield from self._opened("text")
            yield TextDelta(text)

    def _thought(self, text: str) -> Iterator[StreamEvent]:
        if text:
            yield from self._opened("thinking")
            yield ThinkingDelta(text)

    def _more(self, arguments: str) -> Iterator[StreamEvent]:
        if self._open != "call" and self._held:
            yield from self._called(self._held.popitem()[1])
        if self._open != "call":
            raise Error(Code.UPSTREAM_INVALID_ANSWER, "The upstream went on with a tool call that is not open.")
        if arguments:
            self._has_arguments = True
            yield ArgumentsDelta(arguments)

    def _item_begun(self, item: Fields) -> Iterator[StreamEvent]:
        yield from self._closed()
        self._has_words = False
        if item.text("type") == "function_call":
            if item.text_or_none("arguments"):
                # Whole at once: it may be the server's own call, of which another item tells once it is done.
                self._held[item.text("call_id")] = item
            else:
                yield from self._called(item)

    def _called(self, item: Fields) -> Iterator[StreamEvent]:
        self._open, self._has_arguments = "call", False
        self._calls += 1
        signature = parse_item_signature(item)
        if signature is not None:
            yield RedactedThinking(signature.data)
        yield ToolCallStarted(item.text("call_id"), item.text("name"))

    def _item_done(self, item: Fields) -> Iterator[StreamEvent]:
        if item.text("type") == "function_call" and self._held.pop(item.text("call_id"), None) is not None:
            yield from self._called(item)
        if self._open == "call" and not self._has_arguments:
            # Some servers send the arguments whole, at the end.
            yield from self._more(item.text_or_none("arguments") or "")
        self._sources.note(item)
        if not self._has_words:
            # Now and then words come at the end alone: https://github.com/vercel/ai/pull/18991 (2026-09-26).
            for content in said_of(item):
                yield from self._said(content.text_or_none("text") or "", is_refusal=False)
        if self._open == "text":
            yield from (Cited(page) for content in said_of(item) for page in self._sources.cited(content))
        yield from self._closed()
        kept = parse_reasoning_item(item) if item.text("type") == "reasoning" else None
        if kept is not None:
            yield RedactedThinking(kept.data)
        search = parse_search(item)
        if search is not None:
            self._searches += 1
            yield Searched(search)

    def _opened(self, kind: Literal["text", "thinking"]) -> Iterator[StreamEvent]:
        if self._open != kind:
            yield from self._closed()
            self._open = kind
            yield TextStarted() if kind == "text" else ThinkingStarted()

    def _closed(self) -> Iterator[StreamEvent]:
        if self._open is not None:
            self._open = None
            yield PartEnded()

    def _end(self, response: Fields) -> Iterator[StreamEvent]:
        yield from self._closed()
        usage = response.object_or_none("usage")
        if usage is not None:
            yield UsageCounted(parse_responses_usage(usage, self._searches))
        refusal = "".join(self._refusal) or None
        yield Stopped(parse_stop(response, has_calls=bool(self._calls), has_refusal=refusal is not None), refusal=refusal)
        yield Finished()


def _failure(stated: Fields) -> ApiError:
    """The error of a failed response, or of an event of its own, whose members stand at the top."""
    error = stated.raw.get("error")
    return parse_error_member({"error": error if isinstance(error, dict) else {**stated.raw, "type": None}})
