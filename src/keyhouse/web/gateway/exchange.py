"""One request and its answer over ASGI: reads the body within its limit, notices when the caller leaves, sends bytes as they come."""

import asyncio
from collections.abc import AsyncIterator
from types import TracebackType

from starlette.types import Message, Receive, Scope, Send

from keyhouse.domain.errors import Code, Error
from keyhouse.gateway.headers import RawHeaders
from keyhouse.gateway.observation import Observation

# Most answers are there before this, and then nobody has to look whether the caller has left.
WATCH_AFTER_S = 0.02


class CallerLeftError(Exception):
    """The caller closed the connection before its answer was complete."""


class Exchange:
    """A request that is being answered.

    As a context manager, entered once the body is read, it ends what waits inside as soon as the caller leaves: by CallerLeftError.
    """

    __slots__ = ("_has_left", "_loop", "_receive", "_send", "_task", "_timer", "_watcher", "has_begun", "observation", "scope")

    def __init__(self, scope: Scope, receive: Receive, send: Send, observation: Observation) -> None:
        self.scope = scope
        self.observation = observation
        self.has_begun = False
        self._has_left = False
        self._receive = receive
        self._send = send
        self._loop = asyncio.get_running_loop()
        self._task: asyncio.Task[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._watcher: asyncio.Task[None] | None = None

    async def body(self, declared: bytes | None, limit: int) -> bytes:
        """The whole body. Raises Error `payload_too_large` as soon as that is known, CallerLeftError."""
        if declared is not None and declared.isdigit() and int(declared) > limit:
            raise _too_large(limit)
        message = await self._receive()
        if message["type"] == "http.request" and not message.get("more_body"):
            whole: bytes = message.get("body", b"")
            if len(whole) > limit:
                raise _too_large(limit)
            return whole
        return await self._pieces(message, limit)

    async def _pieces(self, message: Message, limit: int) -> bytes:
        # Not a list: what many small pieces took is not given back for a while.
        whole = bytearray()
        while True:
            if message["type"] == "http.disconnect":
                raise CallerLeftError
            whole += message.get("body", b"")
            if len(whole) > limit:
                raise _too_large(limit)
            if not message.get("more_body"):
                return bytes(whole)
            message = await self._receive()

    def __enter__(self) -> None:
        self._task = asyncio.current_task()
        self._timer = self._loop.call_later(WATCH_AFTER_S, self._begin_watching)

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None) -> None:
        if self._timer is not None:
            self._timer.cancel()
        if self._watcher is not None:
            self._watcher.cancel()
        if self._has_left and kind is asyncio.CancelledError and self._task is not None:
            self._task.uncancel()
            raise CallerLeftError from None

    def _begin_watching(self) -> None:
        self._watcher = self._loop.create_task(self._watch())

    async def _watch(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass
        self._watcher = None
        self._has_left = True
        if self._task is not None:
            self._task.cancel()

    async def answer(self, status: int, headers: RawHeaders, body: bytes | AsyncIterator[bytes]) -> None:
        """Send an answer. A body that comes in pieces and breaks off raises, and the caller sees an answer that breaks off."""
        self.has_begun = True
        self.observation.answered(status)
        await self._send({"type": "http.response.start", "status": status, "headers": headers})
        if isinstance(body, bytes):
            await self._send({"type": "http.response.body", "body": body})
            return
        async for piece in body:
            await self._send({"type": "http.response.body", "body": piece, "more_body": True})
        await self._send({"type": "http.response.body", "body": b""})


def _too_large(limit: int) -> Error:
    return Error(Code.PAYLOAD_TOO_LARGE, f"The body is larger than {limit} bytes. KEYHOUSE_MAX_REQUEST_BYTES sets the limit.")
