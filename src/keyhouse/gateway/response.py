"""The answer of an upstream as the caller sees it: a head, and a body read as it comes. Knows nothing of HTTP's framing."""

import asyncio
from typing import TYPE_CHECKING

import msgspec

from keyhouse.gateway.passing import Take
from keyhouse.gateway.upstream_error import UpstreamError, UpstreamFailure

if TYPE_CHECKING:
    from keyhouse.gateway.connection import Connection

# What is kept of an answer before its reader takes it; beyond it the upstream is not read. One read of the socket may come on top.
HIGH_WATER_BYTES = 256 * 1024

# How long an answer whose last event has come may take to end.
END_S = 1.0


class ResponseBody:
    """The body's bytes as they came, for one reader.

    Reading raises UpstreamError when the answer breaks off; what came before the break is given first. A body is closed by its end, by an
    error, or by `close()`. Each piece is at least one byte; pieces that came together are joined. `ended` is True once the whole answer has
    come and is well: what `take()` returns then is all there is, and nobody needs to wait.
    """

    __slots__ = ("_connection", "_loop", "_take", "chunks", "ended", "error", "passed", "size", "take_chunk")

    def __init__(self, loop: asyncio.AbstractEventLoop, connection: "Connection") -> None:
        self._loop = loop
        self._connection: Connection | None = connection
        self._take: Take | None = None
        # Done once the passing that is under way is over.
        self.passed: asyncio.Future[bool] | None = None
        self.take_chunk: Take | None = None
        self.chunks: list[bytes] = []
        self.size = 0
        self.ended = False
        self.error: UpstreamError | None = None

    async def pass_to(self, take: Take, take_chunk: Take | None = None) -> bool:
        """See PassedBody. `take_chunk` is asked first where what comes is one whole chunk as it stands in HTTP: it tells whether it has
        taken it, and calls `stop` where it wants no more."""
        if self.chunks and not take(self.take()):
            return False
        if self.error is not None:
            raise self.error.anew()
        if self.ended:
            return True
        self._take, self.passed, self.take_chunk = take, self._loop.create_future(), take_chunk
        try:
            return await self.passed
        finally:
            self._take = self.passed = self.take_chunk = None

    async def at_most(self, limit: int) -> bytes:
        """The body up to the piece with which it reaches `limit` bytes. Raises UpstreamError where it breaks off before."""
        pieces: list[bytes] = []
        missing = limit

        def take(piece: bytes) -> bool:
            nonlocal missing
            pieces.append(piece)
            missing -= len(piece)
            return missing > 0

        await self.pass_to(take)
        return b"".join(pieces)

    def take(self) -> bytes:
        """What has come and was not yet read, without waiting; empty if nothing. Never raises."""
        chunks = self.chunks
        if len(chunks) == 1:
            taken = chunks[0]
        else:
            taken = b"".join(chunks)
        chunks.clear()
        if self.size > HIGH_WATER_BYTES and self._connection is not None:
            self._connection.resume_reading()
        self.size = 0
        return taken

    def close(self) -> None:
        """Leave. An answer that has not come whole closes its connection at once; it is never used again."""
        connection = self._connection
        if connection is not None:
            error = UpstreamError(UpstreamFailure.BROKEN, "The answer was closed before its end.", request_sent=True)
            self.end(error)
            connection.abort()
        self.chunks.clear()
        self.size = 0

    def let_end(self) -> None:
        """Leave an answer of which nothing more is to come but its end: when that comes, its connection can be used again."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.let_end(END_S)
        self.chunks.clear()
        self.size = 0

    def end(self, error: UpstreamError | None = None) -> None:
        """The connection's last word: no more bytes come, well (None) or not."""
        self._connection = None
        self.error = error
        self.ended = error is None
        self.wake()

    def wake(self) -> None:
        """Pass on what has come."""
        take, passed = self._take, self.passed
        if take is None or passed is None or passed.done():
            return
        chunks = self.chunks
        try:
            if len(chunks) == 1 and self.size <= HIGH_WATER_BYTES:
                # The same as `take`, without a call for each event of a stream.
                self.size = 0
                goes_on = take(chunks.pop())
            else:
                goes_on = not chunks or take(self.take())
        except Exception as error:  # noqa: BLE001 - it is the reader's own, who gets it
            self.stop(error)
            return
        if not goes_on or self.ended:
            self.stop(goes_on)
        elif self.error is not None:
            self.stop(self.error.anew())

    def stop(self, outcome: bool | Exception) -> None:
        """End the passing: its result, or the error that it raises."""
        if self.passed is None or self.passed.done():
            return
        if isinstance(outcome, Exception):
            self.passed.set_exception(outcome)
        else:
            self.passed.set_result(outcome)


class UpstreamResponse(msgspec.Struct, eq=False):
    """The final answer's head and its body. Header names are in lower case, in the order they came, repeated ones repeated; values are
    bytes without line breaks or control characters. Trailers are read and dropped. Read it to its end or call `close()`."""

    status: int
    headers: list[tuple[bytes, bytes]]
    body: ResponseBody

    async def whole(self, limit: int) -> bytes:
        """The body up to the piece with which it reaches `limit` bytes, and leave. Raises UpstreamError where it breaks off before."""
        try:
            return await self.body.at_most(limit)
        finally:
            self.close()

    def close(self) -> None:
        """Leave the answer: see `ResponseBody.close`."""
        self.body.close()

    def let_end(self) -> None:
        """Leave the answer at its end: see `ResponseBody.let_end`."""
        self.body.let_end()
