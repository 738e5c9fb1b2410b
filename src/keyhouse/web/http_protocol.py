"""The caller's side of HTTP: uvicorn's protocol, with the bounds that it lacks. Knows no route and no application.

Heads are bounded in size and time, bodies in the time they may pause, trailers in size; nobody's upgrade is taken up.
"""

import asyncio
from typing import Any

import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

MAX_HEAD_BYTES = 64 * 1024
"""Of a request's head; and of what may come without a byte of body: chunk extensions, trailers."""
HEAD_TIMEOUT_S = 10.0
BODY_IDLE_TIMEOUT_S = 60.0
KEEP_ALIVE_S = 75
"""Longer than load balancers keep an unused connection, so that it is theirs to close."""

_REFUSAL = b"HTTP/1.1 %b\r\ncontent-type: text/plain; charset=utf-8\r\ncontent-length: %d\r\nconnection: close\r\n\r\n%b"
_HEAD_TOO_LARGE = (b"431 Request Header Fields Too Large", b"The head of the request is larger than 64 KiB.\n")
_UPGRADE = (b"400 Bad Request", b"Upgrades of the protocol are not supported. Send the request without the header Upgrade.\n")
_BODY_NAMES = (b"content-length", b"transfer-encoding")


class _RefusedError(Exception):
    """Stops the parser."""


class HttpProtocol(HttpToolsProtocol):
    """One connection of a caller."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._in_head = False
        self._head_bytes = 0
        self._quiet_bytes = 0
        self._read_at = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self._refusal: tuple[bytes, bytes] | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """A caller connected: it may wait with its first request as long as with any other."""
        super().connection_made(transport)
        self.timeout_keep_alive_task = self.loop.call_later(self.timeout_keep_alive, self.timeout_keep_alive_handler)

    def connection_lost(self, exc: Exception | None) -> None:
        """The caller is gone."""
        self._disarm()
        self._unset_keepalive_if_required()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Bytes of one or more requests, or of parts of them."""
        # What of the first read belongs to a head is counted once the head is there.
        self._head_bytes += len(data)
        self._quiet_bytes += len(data)
        super().data_received(data)
        if self._in_head or self._waits_for_body():
            self._expect_more()
        elif self._timer is not None:
            self._disarm()

    def _waits_for_body(self) -> bool:
        cycle = self.cycle
        return cycle is not None and cycle.more_body and not cycle.response_complete

    def _expect_more(self) -> None:
        if (self._head_bytes if self._in_head else self._quiet_bytes) > MAX_HEAD_BYTES:
            self._refuse(_HEAD_TOO_LARGE)
            return
        self._read_at = self.loop.time()
        if self._timer is None:
            self._timer = self.loop.call_later(HEAD_TIMEOUT_S if self._in_head else BODY_IDLE_TIMEOUT_S, self._look)

    def _look(self) -> None:
        """Time is up for a head; for a body, if nothing came of it since, although it was being read."""
        self._timer = None
        if self.transport.is_closing():
            return
        if self._in_head:
            self.transport.abort()
            return
        if not self._waits_for_body():
            return
        now = self.loop.time()
        if self.flow.read_paused:
            self._read_at = now
        if now - self._read_at >= BODY_IDLE_TIMEOUT_S:
            self.transport.abort()
        else:
            self._timer = self.loop.call_at(self._read_at + BODY_IDLE_TIMEOUT_S, self._look)

    def _disarm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _refuse(self, refusal: tuple[bytes, bytes]) -> None:
        """Read no further. The answer goes out only where none is under way."""
        self._disarm()
        if self.cycle is None or self.cycle.response_complete:
            status, text = refusal
            self.transport.write(_REFUSAL % (status, len(text), text))
        self.transport.close()

    def on_message_begin(self) -> None:
        """The first byte of a head."""
        super().on_message_begin()
        self._in_head = True
        self._head_bytes = 0

    def on_headers_complete(self) -> None:
        """The end of a head."""
        self._in_head = False
        self._quiet_bytes = 0
        self._disarm()
        if self._size_of_head() > MAX_HEAD_BYTES:
            self._refusal = _HEAD_TOO_LARGE
        elif self.parser.should_upgrade() and any(name in _BODY_NAMES for name, _ in self.headers):
            # The parser takes the body for bytes of the other protocol.
            self._refusal = _UPGRADE
        if self._refusal is not None:
            raise _RefusedError
        super().on_headers_complete()

    def _size_of_head(self) -> int:
        return len(self.url) + sum(len(name) + len(value) + 4 for name, value in self.headers)

    def on_body(self, body: bytes) -> None:
        """Bytes of a body."""
        self._quiet_bytes = 0
        super().on_body(body)

    def send_400_response(self, msg: str) -> None:
        """Answer what is no request, and close."""
        if self._refusal is None:
            super().send_400_response(msg)
        else:
            self._refuse(self._refusal)

    def _unsupported_upgrade_warning(self) -> None:
        """The request is answered as if it had not asked for another protocol; nothing can follow it on this connection."""
        if self.cycle is not None:
            self.cycle.keep_alive = False


def server_config(app: ASGIApp, *, shutdown_timeout_s: int) -> uvicorn.Config:
    """How the house is served. Nothing is logged by uvicorn but what goes wrong."""
    return uvicorn.Config(
        app,
        loop="uvloop",
        http=HttpProtocol,
        ws="none",
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_keep_alive=KEEP_ALIVE_S,
        timeout_graceful_shutdown=shutdown_timeout_s,
    )
