"""What the parser of HTTP/1.1 says of an upstream's answer, and what of it is refused. Reads and writes nothing."""

import asyncio

from httptools import HttpResponseParser

from keyhouse.gateway.bounds import MAX_HEAD_BYTES, MAX_LENGTH_DIGITS
from keyhouse.gateway.refused import RefusedError
from keyhouse.gateway.response import ResponseBody, UpstreamResponse

_LENGTH_NAME, _CODING_NAME = b"content-length", b"transfer-encoding"


class AnswerParsing:
    """An answer, as far as it has been parsed. `_opened` gets its head, `_body` its body.

    `_chunk_ended` says that the parser's last word was the end of a chunk. Where the bytes that were parsed then end in LF as well, it
    stands at the edge of two chunks: a size with its line's end would have been its next word.
    """

    __slots__ = (
        *("_bodiless", "_body", "_chunk_ended", "_complete", "_framed", "_headers", "_informational", "_opened", "_parser"),
        *("_quiet_bytes", "_reusable"),
    )

    def __init__(self) -> None:
        self._parser = HttpResponseParser(self)
        self._body: ResponseBody | None = None
        self._opened: asyncio.Future[UpstreamResponse] | None = None
        self._begin(bodiless=False)

    def _begin(self, bodiless: bool) -> None:
        self._bodiless = bodiless
        self._headers: list[tuple[bytes, bytes]] = []
        self._framed = False
        self._quiet_bytes = 0
        self._informational = False
        self._complete = self._reusable = self._chunk_ended = False

    # Called by the parser, inside `feed_data`; raising stops it

    def on_message_begin(self) -> None:
        """The first byte of a message."""
        if self._complete:
            raise RefusedError("bytes after its end")

    def on_header(self, name: bytes, value: bytes) -> None:
        """A header; or a trailer, which nobody asks for. Looked at together, once all are there."""
        self._headers.append((name, value))

    def on_headers_complete(self) -> None:
        """The end of a head: of a 1xx answer, which is passed over, or of the answer itself."""
        status = self._parser.get_status_code()
        headers = [(name.lower(), value.rstrip(b" \t")) for name, value in self._headers]
        names = dict(headers)
        if _CODING_NAME in names:
            self._check_coding(_LENGTH_NAME in names)
            self._framed = True
        elif _LENGTH_NAME in names:
            if len(names[_LENGTH_NAME]) > MAX_LENGTH_DIGITS:
                raise RefusedError("a length of too many digits")
            self._framed = True
        self._headers = []
        if status < 200:
            if status < 100 or status == 101:
                raise RefusedError("a status that was not asked for")
            self._informational, self._framed = True, False
            return
        if self._quiet_bytes > MAX_HEAD_BYTES and sum(len(name) + len(value) + 4 for name, value in headers) > MAX_HEAD_BYTES:
            raise RefusedError("a head of more than 64 KiB")
        self._quiet_bytes = 0
        opened, body = self._opened, self._body
        if opened is None or body is None or opened.done():
            raise RefusedError("nobody waits for it")
        self._opened = None
        opened.set_result(UpstreamResponse(status, headers, body))
        if self._bodiless:
            # llhttp takes the length in an answer to HEAD for a body's; what follows is not parsed, nor the connection used again.
            self._complete = True
            raise RefusedError("the end of an answer without body")

    def _check_coding(self, has_length: bool) -> None:
        codings = [value.lower() for name, value in self._headers if name.lower() == _CODING_NAME]
        if has_length or codings != [b"chunked"]:
            # Another coding was not asked for; and llhttp takes the body after `chunked` with a blank behind it for unframed.
            raise RefusedError("a transfer coding other than chunked")

    def on_chunk_header(self) -> None:
        """A chunk's size."""
        self._chunk_ended = False

    def on_chunk_complete(self) -> None:
        """The end of a chunk, its line's end included."""
        self._chunk_ended = True

    def on_body(self, chunk: bytes) -> None:
        """Bytes of the body."""
        body = self._body
        if body is not None:
            self._quiet_bytes = 0
            body.chunks.append(chunk)
            body.size += len(chunk)

    def on_message_complete(self) -> None:
        """The end of a message whose length is known."""
        if self._informational:
            self._informational = False
            return
        if self._headers and any(name.lower() == _CODING_NAME for name, _ in self._headers):
            raise RefusedError("a transfer coding in its trailers")
        self._complete = True
        # Valid in this callback only: afterwards llhttp has forgotten the message and says no.
        self._reusable = self._parser.should_keep_alive()
