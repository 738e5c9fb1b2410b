"""Takes messages out of the binary framing `application/vnd.amazon.eventstream`. Knows no event of any API.

https://docs.aws.amazon.com/lexv2/latest/dg/event-stream-encoding.html, looked up on 23 November 2026; the types of header values from
https://smithy.io/2.0/aws/amazon-eventstream.html, the same day.
"""

import struct
import zlib
from collections.abc import Iterator

import msgspec

from keyhouse.domain.errors import Code, Error

HeaderValue = str | bytes | int | bool

PRELUDE_BYTES = 12
FRAMING_BYTES = 16
"""Prelude with its checksum, and the checksum of the message."""
MAXIMUM_HEADER_BYTES = 128 * 1024
MAXIMUM_MESSAGE_BYTES = 24 * 1024 * 1024
"""The limits that the description of the format sets."""

_PRELUDE = struct.Struct(">III")
_FIXED_SIZE_VALUES = {
    2: struct.Struct(">b"),
    3: struct.Struct(">h"),
    4: struct.Struct(">i"),
    5: struct.Struct(">q"),
    8: struct.Struct(">q"),
}
_UUID_BYTES = 16


class EventStreamMessage(msgspec.Struct, frozen=True):
    """One message: its headers and its payload."""

    headers: dict[str, HeaderValue]
    payload: bytes

    @property
    def event_name(self) -> str:
        """What happened: the event's type, the exception's type, or the code of an error that no exception models, ending in `Error`."""
        kind = self.headers.get(":message-type", "event")
        if kind == "error":
            return f"{self._text(':error-code')}Error"
        return self._text(":exception-type" if kind == "exception" else ":event-type")

    @property
    def event_data(self) -> bytes:
        """The payload; for such an error, which has none, `{"message": "..."}`."""
        if self.headers.get(":message-type") == "error":
            return msgspec.json.encode({"message": self._text(":error-message")})
        return self.payload

    def _text(self, name: str) -> str:
        value = self.headers.get(name)
        return value if isinstance(value, str) else ""


class EventStreamDecoder:
    """Decodes one stream that arrives in pieces, split anywhere. Holds at most one unfinished message."""

    def __init__(self, maximum_message_bytes: int = MAXIMUM_MESSAGE_BYTES) -> None:
        self._maximum = maximum_message_bytes
        self._buffer = bytearray()
        self._total = 0
        self._header_bytes = 0

    def feed(self, data: bytes) -> Iterator[EventStreamMessage]:
        """The messages that are whole now. Raises Error (`upstream_invalid_answer`) for a wrong checksum, length or header."""
        self._buffer += data
        return self._messages()

    def _messages(self) -> Iterator[EventStreamMessage]:
        while True:
            if not self._total and len(self._buffer) >= PRELUDE_BYTES:
                self._read_prelude()
            if not self._total or len(self._buffer) < self._total:
                return
            message = bytes(self._buffer[: self._total])
            del self._buffer[: self._total]
            self._total = 0
            yield _decoded(message, self._header_bytes)

    def _read_prelude(self) -> None:
        total, header_bytes, checksum = _PRELUDE.unpack_from(self._buffer)
        if zlib.crc32(self._buffer[:8]) != checksum:
            raise _broken("the checksum of a prelude is wrong")
        if total > self._maximum or header_bytes > MAXIMUM_HEADER_BYTES:
            raise _broken("a message is too large")
        if total < FRAMING_BYTES + header_bytes:
            raise _broken("a message is shorter than its headers")
        self._total, self._header_bytes = total, header_bytes


def _decoded(message: bytes, header_bytes: int) -> EventStreamMessage:
    if zlib.crc32(memoryview(message)[:-4]) != int.from_bytes(message[-4:], "big"):
        raise _broken("the checksum of a message is wrong")
    end = PRELUDE_BYTES + header_bytes
    try:
        headers = dict(_headers(message, PRELUDE_BYTES, end))
    except (struct.error, IndexError, UnicodeDecodeError) as error:
        raise _broken("a header is malformed") from error
    return EventStreamMessage(headers, message[end:-4])


def _headers(message: bytes, start: int, end: int) -> Iterator[tuple[str, HeaderValue]]:
    view = message[:end]
    while start < end:
        name_end = start + 1 + view[start]
        name = view[start + 1 : name_end].decode("utf-8")
        value, start = _value(view, view[name_end], name_end + 1)
        yield name, value


def _value(view: bytes, kind: int, start: int) -> tuple[HeaderValue, int]:
    """A header's value, and where the next header begins."""
    if kind in (0, 1):
        return kind == 0, start
    if kind in _FIXED_SIZE_VALUES:
        form = _FIXED_SIZE_VALUES[kind]
        number: int = form.unpack_from(view, start)[0]
        return number, start + form.size
    if kind == 9:
        return _taken(view, start, _UUID_BYTES), start + _UUID_BYTES
    if kind not in (6, 7):
        raise _broken("a header has a value of an unknown type")
    (length,) = struct.unpack_from(">H", view, start)
    data = _taken(view, start + 2, length)
    return (data if kind == 6 else data.decode("utf-8")), start + 2 + length


def _taken(view: bytes, start: int, length: int) -> bytes:
    data = view[start : start + length]
    if len(data) != length:
        raise IndexError("a header ends too early")
    return data


def _broken(what: str) -> Error:
    return Error(Code.UPSTREAM_INVALID_ANSWER, f"The upstream's event stream is broken: {what}.")
