"""Answers of another format than the caller's on their way back: whole, as an error, and as a stream, event by event."""

from collections.abc import Callable, Iterator
from typing import Protocol

import msgspec

from keyhouse.domain.errors import Code, Error
from keyhouse.gateway.answer_facts import AnswerFacts, convention_of
from keyhouse.gateway.failures import failure_of, status_of
from keyhouse.gateway.passing import PassedBody, Take
from keyhouse.gateway.sse import SseParser
from keyhouse.gateway.upstream_error import UpstreamError
from keyhouse.gateway.wire.answer import AnswerDefaults, Started, Usage
from keyhouse.gateway.wire.aws_event_stream import EventStreamDecoder
from keyhouse.gateway.wire.parameters import CallerFormat, UpstreamFormat
from keyhouse.gateway.wire.translation import StreamTranslation, render_caller_error, render_caller_response

JSON_TYPE = b"application/json"
EVENTS_TYPE = b"text/event-stream; charset=utf-8"

MAX_TRANSLATED_BYTES = 64 * 1024 * 1024
"""A whole answer that is translated has to be held; what is larger is cut off, and then is no answer."""

_CODES = frozenset(Code)
_BLANK_LINE = b"\n\n"

EventReader = Callable[[bytes], Iterator[tuple[str | None, bytes]]]
"""From a piece of an upstream's stream to the names and data of the events that it completes. Raises Error."""


class AnswerTranslation(Protocol):
    """How the answers to one request become the caller's. What can not be one raises Error `upstream_invalid_answer`."""

    @property
    def keeps_answers(self) -> bool:
        """Whether good answers pass as they are, and errors alone are translated."""

    def whole(self, body: bytes) -> tuple[bytes, bytes]:
        """The content type and the body of a whole answer."""

    def error(self, status: int, body: bytes, error_type: str | None) -> bytes:
        """The body of an error; `error_type` is the header `x-amzn-errortype`."""

    def stream(self, body: PassedBody) -> "TranslatedEvents | None":
        """The caller's events; None where this answer is never a stream."""


class ChatTranslation:
    """Between the chat formats."""

    keeps_answers = False

    def __init__(self, caller: CallerFormat, upstream: UpstreamFormat, defaults: AnswerDefaults, *, is_whole: bool = False) -> None:
        self._caller: CallerFormat = caller
        self._upstream: UpstreamFormat = upstream
        self._defaults = defaults
        self._is_whole = is_whole

    def whole(self, body: bytes) -> tuple[bytes, bytes]:
        """See AnswerTranslation."""
        return JSON_TYPE, msgspec.json.encode(render_caller_response(body, self._caller, self._upstream, self._defaults))

    def error(self, status: int, body: bytes, error_type: str | None) -> bytes:
        """See AnswerTranslation."""
        return msgspec.json.encode(render_caller_error(status, body, self._caller, self._upstream, error_type))

    def stream(self, body: PassedBody) -> "TranslatedEvents":
        """See AnswerTranslation."""
        translation = StreamTranslation(self._caller, self._upstream, self._defaults, is_whole=self._is_whole)
        if self._is_whole:
            return TranslatedEvents(body, whole_reader(), translation, closing=b"")
        if self._upstream == "bedrock_converse":
            return TranslatedEvents(body, event_stream_reader(), translation)
        return TranslatedEvents(body, sse_reader(), translation, closing=_BLANK_LINE)


class TranslatedEvents:
    """Passes a stream on, translated. It ends as soon as the upstream's final event, or an error, has been passed on.

    `closing` is read behind the end of the body, and ends an event that it left open: official clients take it.
    """

    def __init__(self, body: PassedBody, read: EventReader, translation: StreamTranslation, *, closing: bytes | None = None) -> None:
        self._body = body
        self._read = read
        self._translation = translation
        self._closing = closing
        self._take: Take

    async def pass_to(self, take: Take) -> bool:
        """See PassedBody. Never raises UpstreamError."""
        self._take = take
        translation = self._translation
        try:
            is_all = await self._body.pass_to(self._pass)
            if is_all and self._closing is not None:
                self._pass(self._closing)
            last = translation.end() if is_all else b""
        except Error as error:
            last = translation.fail(error.message, error.code)
        except UpstreamError as error:
            failure = failure_of(error)
            last = translation.fail(failure.message, failure.code, status_of(failure))
        if last:
            take(last)
        return translation.has_ended

    def usage(self) -> Usage | None:
        """What was counted so far."""
        return self._translation.usage

    def facts(self) -> AnswerFacts:
        """See AnswerRead."""
        started, stop = self._translation.started or Started(), self._translation.stop
        return AnswerFacts(started.id, started.model, () if stop is None else (convention_of(stop),))

    @property
    def has_ended_well(self) -> bool:
        """Whether the upstream's final event has come."""
        return self._translation.has_ended and self._translation.error is None

    @property
    def error_code(self) -> str:
        """The code of the error that the stream ended in; empty where it ended well, or goes on. An upstream's own words are no code:
        this one goes into the log."""
        error = self._translation.error
        if error is None:
            return ""
        return error.code if error.code in _CODES else Code.UPSTREAM_BROKEN.value

    def _pass(self, piece: bytes) -> bool:
        """Pass on what a piece of the upstream's stream amounts to. False also after the final event: no more is wanted."""
        translation = self._translation
        rendered = bytearray()
        try:
            for name, data in self._read(piece):
                rendered += translation.feed(name, data)
        except Error as error:
            rendered += translation.fail(error.message, error.code)
        goes_on = not rendered or self._take(bytes(rendered))
        return goes_on and not translation.has_ended


def sse_reader() -> EventReader:
    """Reads server-sent events."""
    parser = SseParser()
    return lambda piece: ((event.event, event.data) for event in parser.feed(piece))


def event_stream_reader() -> EventReader:
    """Reads an AWS event stream."""
    decoder = EventStreamDecoder()
    return lambda piece: ((message.event_name, message.event_data) for message in decoder.feed(piece))


def whole_reader() -> EventReader:
    """Reads a whole answer as one event, which comes with the end of the body: an empty piece."""
    whole = bytearray()

    def read(piece: bytes) -> Iterator[tuple[str | None, bytes]]:
        whole.extend(piece)
        if len(whole) > MAX_TRANSLATED_BYTES:
            raise Error(Code.UPSTREAM_INVALID_ANSWER, "The upstream's answer is too large to be translated.")
        return iter(()) if piece else iter([(None, bytes(whole))])

    return read
