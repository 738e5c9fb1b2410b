"""An answer's bytes on the wire: its head, and the framing of its body. Nothing is sent here."""

import time
from email.utils import formatdate
from http import HTTPStatus

from keyhouse.gateway.request import Headers

STATUS_LINES = {status: b"HTTP/1.1 %d \r\n" % status for status in range(200, 600)} | {
    status.value: b"HTTP/1.1 %d %b\r\n" % (status.value, status.phrase.encode("ascii")) for status in HTTPStatus
}
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
CHUNKED = b"transfer-encoding: chunked\r\n"
CLOSE = b"connection: close\r\n"
LAST_CHUNK = b"0\r\n\r\n"
BODILESS = frozenset({204, 304})
"""Statuses whose answers have no body, nor a length of one."""

_REFUSAL = b"HTTP/1.1 %b\r\ncontent-type: text/plain; charset=utf-8\r\ncontent-length: %d\r\nconnection: close\r\n\r\n%b"


def head(status: int, headers: Headers, own: bytes) -> bytes:
    """The head of an answer; `own` are whole lines of the server's. Raises ValueError where a header holds a line break or NUL."""
    return b"%b%b%b\r\n" % (STATUS_LINES[status], lines_of(headers), own) if headers else b"%b%b\r\n" % (STATUS_LINES[status], own)


def lines_of(headers: Headers) -> bytes:
    """Headers as lines, each ended; of at least one. Raises ValueError where one holds a line break or NUL."""
    lines = b"\r\n".join(map(b": ".join, headers)) + b"\r\n"
    if not lines.count(b"\n") == lines.count(b"\r") == len(headers) or b"\0" in lines:
        raise ValueError("A header of the answer is not legal HTTP.")
    return lines


def chunk(data: bytes) -> bytes:
    """A piece of a body, framed."""
    return b"%x\r\n%b\r\n" % (len(data), data)


def refusal(status: bytes, text: bytes) -> bytes:
    """A whole answer to what is no request."""
    return _REFUSAL % (status, len(text), text)


HEAD_TOO_LARGE = refusal(b"431 Request Header Fields Too Large", b"The head of the request is larger than 64 KiB.\n")
NO_REQUEST = refusal(b"400 Bad Request", b"This is no valid HTTP request.\n")
CROWDED = refusal(b"503 Service Unavailable", b"There are too many connections. Try again in a moment.\n")
FAILED = refusal(b"500 Internal Server Error", b"Internal Server Error")


class DateLine:
    """The line that every answer's head has, put together once a second."""

    def __init__(self) -> None:
        self._second = 0
        self._text = b""

    def text(self) -> bytes:
        """The whole line."""
        second = int(time.time())
        if second != self._second:
            self._second = second
            self._text = b"date: %b\r\n" % formatdate(second, usegmt=True).encode("ascii")
        return self._text
