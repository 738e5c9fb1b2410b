"""Renders a stream of Responses as server-sent events."""

from collections.abc import Iterator

import msgspec

from keyhouse.gateway.wire.answer import (
    AnswerDefaults,
    AnswerPart,
    ApiError,
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
    StopReason,
    StreamEvent,
    TextDelta,
    TextStarted,
    ThinkingDelta,
    ThinkingStarted,
    ToolCallStarted,
    Usage,
    UsageCounted,
)
from keyhouse.gateway.wire.conversation import Citation, RedactedThinkingPart, SearchPart, TextPart, ThinkingPart, ToolCallPart
from keyhouse.gateway.wire.fields import JsonObject
from keyhouse.gateway.wire.openai_chat.errors import render_error
from keyhouse.gateway.wire.openai_responses.response_rendering import (
    ToldPart,
    is_cut,
    item_id,
    render_envelope,
    render_item,
    render_words,
    told_stop,
    unfinished,
)
from keyhouse.gateway.wire.overflows import CODE, is_overflow

PING = b": ping\n\n"
_FAILURES = {400: "invalid_prompt", 429: "rate_limit_exceeded"}
"""What the reference calls a failure of this status."""


_KINDS: dict[type[AnswerPart], str] = {TextPart: "msg", ToolCallPart: "fc", SearchPart: "ws"}


class StreamRenderer:
    """One stream from `response.created` to `response.completed`, `response.incomplete` or, behind an `error`, `response.failed`.

    An item is told to be done once the next begins or the answer ends: until then nobody knows whether it breaks off. Words that follow
    each other are one message: clients take the last one alone for the answer.
    """

    def __init__(self, defaults: AnswerDefaults) -> None:
        self._defaults = defaults
        self._model: str | None = None
        self._sequence = 0
        self._items: list[JsonObject] = []
        self._ended_item: JsonObject | None = None
        self._open: AnswerPart | None = None
        self._refuses = self._has_refused = False
        self._pieces: list[str] = []
        self._citations: dict[Citation, None] = {}
        self._texts: list[TextPart] = []
        self._may_go_on = False
        self._signature = ""
        self._usage = Usage()
        self._stopped = Stopped("end")

    def render(self, event: StreamEvent) -> Iterator[bytes]:
        """The bytes of one event, as whole server-sent events."""
        if self._may_go_on and not isinstance(event, Ping | UsageCounted | Stopped):
            self._may_go_on = False
            if event == TextStarted():
                return
            yield from self._said()
        yield from self._rendered(event)

    def _rendered(self, event: StreamEvent) -> Iterator[bytes]:
        match event:
            case TextDelta(text=text) if self._refuses:
                yield self._more("response.refusal.delta", text, content_index=0)
            case TextDelta(text=text):
                yield self._more("response.output_text.delta", text, content_index=0, logprobs=[])
            case ThinkingDelta(text=text):
                yield from self._thought(text)
            case ArgumentsDelta(json_text=text):
                yield self._more("response.function_call_arguments.delta", text)
            case TextStarted() | ThinkingStarted() | ToolCallStarted():
                yield from self._begun(event)
            case SignatureDelta(signature=signature):
                self._signature = signature
            case RedactedThinking(data=data):
                yield from self._done()
                self._open = RedactedThinkingPart(data)
                yield self._added({**render_item(self._open, self._defaults, len(self._items)), "encrypted_content": None})
                self._close(self._open)
            case Cited(citation=citation):
                self._citations[citation] = None
            case Searched(search=search):
                yield from self._searched(search)
            case PartEnded():
                yield from self._ended()
            case _:
                yield from self._around(event)

    def _around(self, event: StreamEvent) -> Iterator[bytes]:
        match event:
            case Started():
                self._model = event.model
                for kind in ("response.created", "response.in_progress"):
                    yield self._frame(kind, response=render_envelope(self._defaults, self._model, None, [], None))
            case UsageCounted(usage=usage):
                self._usage = usage
            case Stopped():
                self._stopped = event
            case Finished():
                yield from self._finished()
            case Failed(error=error):
                yield self.render_failure(error)
            case Ping():
                yield PING

    def render_failure(self, error: ApiError) -> bytes:
        """The `error` event, with the member at which the official client raises, and `response.failed`, which Codex reads instead."""
        stated = render_error(error)["error"]
        done = b"".join((*(self._said() if self._may_go_on else ()), *self._done()))
        self._may_go_on = False
        told = self._frame("error", code=stated["code"], message=stated["message"], param=stated["param"], error=stated)
        envelope = render_envelope(self._defaults, self._model, None, self._items, None)
        code = CODE if is_overflow(error) else _FAILURES.get(error.status, "server_error")
        failure = {"code": code, "message": error.message}
        return done + told + self._frame("response.failed", response={**envelope, "status": "failed", "error": failure})

    def _begun(self, event: TextStarted | ThinkingStarted | ToolCallStarted) -> Iterator[bytes]:
        yield from self._done()
        self._pieces, self._signature, self._citations, self._texts = [], "", {}, []
        number = len(self._items)
        match event:
            case TextStarted(is_refusal=refuses):
                self._open, self._refuses = TextPart(""), refuses
                item = render_item(self._open, self._defaults, number)
                yield self._added({**item, "status": "in_progress", "content": []})
                part = render_words((self._open,), is_refusal=refuses)
                yield self._frame("response.content_part.added", **self._place(), content_index=0, part=part)
            case ThinkingStarted():
                self._open = ThinkingPart("")
                yield self._added(render_item(self._open, self._defaults, number))
            case ToolCallStarted():
                self._open = ToolCallPart(event.id, event.name, {})
                item = render_item(self._open, self._defaults, number, arguments="")
                yield self._added({**item, "status": "in_progress"})

    def _thought(self, text: str) -> Iterator[bytes]:
        if not self._pieces:
            part = {"type": "summary_text", "text": ""}
            yield self._frame("response.reasoning_summary_part.added", **self._place(), summary_index=0, part=part)
        yield self._more("response.reasoning_summary_text.delta", text, summary_index=0)

    def _more(self, kind: str, text: str, **members: object) -> bytes:
        self._pieces.append(text)
        return self._frame(kind, **self._place(), **members, delta=text)

    def _ended(self) -> Iterator[bytes]:
        text = "".join(self._pieces)
        match self._open:
            case TextPart():
                self._texts.append(TextPart(text, citations=tuple(self._citations)))
                self._pieces, self._citations = [], {}
                self._may_go_on = not self._refuses
                if self._refuses:
                    yield from self._said()
            case ThinkingPart():
                if text:
                    told = {"type": "summary_text", "text": text}
                    yield self._frame("response.reasoning_summary_text.done", **self._place(), summary_index=0, text=text)
                    yield self._frame("response.reasoning_summary_part.done", **self._place(), summary_index=0, part=told)
                self._close(ThinkingPart(text, self._signature or None))
            case ToolCallPart() as call:
                yield self._frame("response.function_call_arguments.done", **self._place(), name=call.name, arguments=text or "{}")
                self._close(call, arguments=text or "{}")

    def _said(self) -> Iterator[bytes]:
        """The end of a message, once no more words follow."""
        texts = tuple(self._texts)
        part, place = render_words(texts, is_refusal=self._refuses), {**self._place(), "content_index": 0}
        if self._refuses:
            self._has_refused = True
            yield self._frame("response.refusal.done", **place, refusal=part["refusal"])
        else:
            for index, annotation in enumerate(part["annotations"]):
                yield self._frame("response.output_text.annotation.added", **place, annotation_index=index, annotation=annotation)
            yield self._frame("response.output_text.done", **place, text=part["text"], logprobs=[])
        yield self._frame("response.content_part.done", **place, part=part)
        self._close(texts)

    def _searched(self, search: SearchPart) -> Iterator[bytes]:
        """A whole search at once: its states have passed when it is told."""
        yield from self._done()
        self._open = search
        item, place = render_item(search, self._defaults, len(self._items)), self._place()
        yield self._added({**item, "status": "in_progress"})
        for state in ("in_progress", "searching", "completed"):
            yield self._frame(f"response.web_search_call.{state}", **place)
        self._close(search)

    def _added(self, item: JsonObject) -> bytes:
        return self._frame("response.output_item.added", output_index=len(self._items), item=item)

    def _close(self, part: ToldPart, arguments: str | None = None) -> None:
        self._ended_item = render_item(part, self._defaults, len(self._items), arguments=arguments, is_refusal=self._refuses)
        self._open, self._refuses = None, False

    def _done(self, stop: StopReason | None = None) -> Iterator[bytes]:
        """The end of the item that ended last, once; `stop` where the answer ends with it."""
        item, self._ended_item = self._ended_item, None
        if item is not None:
            self._items.append(unfinished(item) if stop is not None and is_cut(stop) else item)
            yield self._frame("response.output_item.done", output_index=len(self._items) - 1, item=self._items[-1])

    def _finished(self) -> Iterator[bytes]:
        stop, words = self._stopped.stop, self._stopped.refusal
        yield from self._done(stop)
        has_refused = self._has_refused
        if words and not has_refused:
            for event in (TextStarted(is_refusal=True), TextDelta(words), PartEnded()):
                yield from self.render(event)
            yield from self._done()
        told = told_stop(stop, has_refused=has_refused)
        response = render_envelope(self._defaults, self._model, told, self._items, self._usage)
        yield self._frame(f"response.{response['status']}", response=response)

    def _place(self) -> JsonObject:
        kind = next((kind for of, kind in _KINDS.items() if isinstance(self._open, of)), "rs")
        return {"item_id": item_id(kind, self._defaults, len(self._items)), "output_index": len(self._items)}

    def _frame(self, kind: str, **members: object) -> bytes:
        data = msgspec.json.encode({"type": kind, "sequence_number": self._sequence, **members})
        self._sequence += 1
        return b"event: " + kind.encode() + b"\ndata: " + data + b"\n\n"
