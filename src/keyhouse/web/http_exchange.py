"""One request and its answer over a connection: the body as it comes, the answer as few writes. Knows HTTP's framing, and no route."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, NamedTuple, cast

import msgspec

from keyhouse.domain.tenancy import Caller
from keyhouse.gateway.events import WholeEvents
from keyhouse.gateway.headers import RawHeaders, value_of
from keyhouse.gateway.passing import PassedBody
from keyhouse.gateway.request import Headers
from keyhouse.web.gateway.exchange import CallerLeftError
from keyhouse.web.gateway.request_headers import RequestHeaders
from keyhouse.web.http_answer import BODILESS, CHUNKED, CLOSE, LAST_CHUNK, STATUS_LINES, chunk, head
from keyhouse.web.http_bounds import HIGH_WATER_BYTES
from keyhouse.web.http_head import CallerHead

if TYPE_CHECKING:
    from keyhouse.web.http_protocol import HttpProtocol

SLICE_BYTES = 16 * 1024
"""So much is parsed before it is looked whether requests wait: pipelined ones take twenty times the memory that they take as bytes."""
_JOINED_BYTES = 16 * 1024
"""Up to here head and body are copied together for one write."""

_log = logging.getLogger("keyhouse.http")


class HttpExchange(msgspec.Struct, eq=False):
    """A request that is being answered: see `web.gateway.exchange.Exchange`. A `Struct`, because it is made for each request.

    `is_whole` says that its last byte is here, `is_answered` that the answer's is out. `keep_alive` is what the caller allows, until the
    answer's head is out; then it is what the head says. `at_leaving` is done as soon as the caller leaves. Where the body came whole with a
    known head, `_length` is its own, which that head does not say.
    """

    _connection: "HttpProtocol"
    head: CallerHead
    head_at: float = 0.0
    is_whole: bool = False
    _length: int | None = None
    _pieces: list[bytes] = []
    _size: int = 0
    caller: Caller | None = None
    is_old: bool = False
    keep_alive: bool = True
    asks_first: bool = False
    has_begun: bool = False
    is_answered: bool = False
    has_left: bool = False
    task: "asyncio.Task[None] | None" = None
    at_leaving: Callable[[], object] | None = None
    _waiter: "asyncio.Future[None] | None" = None
    _counted: int | None = None

    def __repr__(self) -> str:
        return f"HttpExchange({self.method})"

    @property
    def method(self) -> str:
        """See Exchange, as of the next three."""
        return self.head.method

    @property
    def path(self) -> str:
        """The path."""
        return self.head.path

    @property
    def raw_path(self) -> bytes:
        """The path as it came."""
        return self.head.raw_path

    @property
    def query(self) -> bytes:
        """The query."""
        return self.head.query

    def run(self, answerer: "Answerer") -> None:
        """Let this answer in a task of its own."""
        self.task = self._connection.loop.create_task(self._answered_by(answerer))
        self._connection.tasks.add(self.task)

    async def _answered_by(self, answerer: "Answerer") -> None:
        try:
            await answerer(self)
        except CallerLeftError:
            pass
        except Exception as error:  # noqa: BLE001 - the edge: logged with its cause, told to nobody
            _log.error("A request was not answered.", exc_info=error)
        finally:
            self._connection.tasks.discard(cast("asyncio.Task[None]", self.task))
            self._connection.finish(self)

    # The short road: see `web.gateway.short_road`

    def whole_body(self) -> bytes | None:
        """The body, where it is small and the caller has taken all earlier answers."""
        is_small = self._size <= HIGH_WATER_BYTES and not self._connection.taking.is_behind
        return self._pieces[0] if is_small and self.is_whole and len(self._pieces) == 1 else None

    def send_lines(self, lines: bytes, body: bytes) -> None:
        """An answer 200 in one write. `lines` are its headers, each ended, its length among them. There was a known head, so no HEAD."""
        self.has_begun = self.is_answered = True
        connection = self._connection
        own = self._own_lines(b"") if connection.is_ending else connection.standing_lines()
        if len(body) <= _JOINED_BYTES:
            connection.write(b"%b%b%b\r\n%b" % (STATUS_LINES[200], lines, own, body))
        else:
            connection.transport.writelines((b"%b%b%b\r\n" % (STATUS_LINES[200], lines, own), body))

    def go_on(self, answerer: "Answerer") -> None:
        """Let this answer the rest in a task of its own."""
        self.at_leaving = None
        self.run(answerer)

    def finish(self) -> None:
        """The request is answered, or its caller has left."""
        # It refers to who holds us: the collector of cycles, which seldom runs, need not find us.
        self.at_leaving = None
        self._connection.finish(self)

    # The request's way

    @property
    def headers(self) -> RawHeaders:
        """See Exchange."""
        return self.head.headers if self._length is None else self.head.headers_for(self._length)

    def read_headers(self) -> RequestHeaders:
        """See Exchange."""
        return self.head.read()

    def feed(self, piece: bytes) -> None:
        """Bytes of the body came."""
        if self.is_answered:
            return
        self._pieces.append(piece)
        self._size += len(piece)
        if self._size > HIGH_WATER_BYTES:
            self._connection.pause_reading()
        self._wake()

    def end_body(self) -> None:
        """The body is complete."""
        self.is_whole = True
        self._wake()

    def leave(self) -> None:
        """The caller is gone, or sends what can be no request: there is nobody to answer."""
        self.has_left = True
        self._wake()
        if self.at_leaving is not None:
            self.at_leaving()

    def _wake(self) -> None:
        waiter = self._waiter
        if waiter is not None and not waiter.done():
            waiter.set_result(None)

    async def piece(self) -> bytes:
        """What came of the body since it was last asked for; empty at its end. Raises CallerLeftError."""
        while not self._pieces:
            if self.is_whole:
                return b""
            await self._more()
        pieces, self._pieces, self._size = self._pieces, [], 0
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    async def left(self) -> None:
        """Wait until the caller has left."""
        while not self.has_left:
            await self._event()

    async def _more(self) -> None:
        if self.has_left:
            raise CallerLeftError
        self._connection.expect_body(self)
        await self._event()

    async def _event(self) -> None:
        self._waiter = self._connection.loop.create_future()
        await self._waiter

    async def body(self, limit: int) -> bytes | None:
        """See Exchange."""
        if self.is_whole and self._size <= HIGH_WATER_BYTES:
            pieces = self._pieces
            whole = pieces[0] if len(pieces) == 1 else b"".join(pieces)
            return whole if len(whole) <= limit else None
        if int(value_of(self.headers, b"content-length") or b"0") > limit:
            return None
        gathered = bytearray()
        while piece := await self.piece():
            gathered += piece
            if len(gathered) > limit:
                return None
        return bytes(gathered)

    def end_with_caller(self) -> None:
        """See Exchange."""
        if self.has_left:
            raise CallerLeftError
        if self.task is not None:
            self.at_leaving = self.task.cancel

    # The answer's way

    async def answer(self, status: int, headers: Headers, body: bytes | PassedBody) -> None:
        """See Exchange."""
        await self.taken()
        if isinstance(body, bytes):
            self.send_whole(status, headers, body)
            return
        self.begin(status, headers)
        take = self._take
        if self._counted is None and not self.is_old:
            take = self._take_framed
            if isinstance(body, WholeEvents):
                body.frame_to(self._take_chunk)
        while not await body.pass_to(take):
            await self.taken()
        self.end()

    def _take(self, piece: bytes) -> bool:
        self.write(piece)
        return not self._connection.taking.is_behind

    def _take_framed(self, piece: bytes) -> bool:
        connection = self._connection
        if not self.has_left:
            # As `chunk` frames it, without a call for each event of a stream.
            connection.write(b"%x\r\n%b\r\n" % (len(piece), piece))
        return not connection.taking.is_behind

    def _take_chunk(self, framed: bytes) -> bool:
        connection = self._connection
        if not self.has_left:
            connection.write(framed)
        return not connection.taking.is_behind

    def send_whole(self, status: int, headers: Headers, body: bytes) -> None:
        """Head and body of an answer in one write."""
        if status in BODILESS:
            headers, body = _without_length(headers), b""
        elif body or self.method != "HEAD":
            # Else the application left the body away, and said its length itself.
            length = (b"content-length", b"%d" % len(body))
            if length not in headers:
                headers = [*_without_length(headers), length]
        text = head(status, headers, self._own_lines(b""))
        if self.method == "HEAD":
            body = b""
        self.has_begun = self.is_answered = True
        if self.has_left:
            return
        if len(body) <= _JOINED_BYTES:
            self._connection.write(text + body)
        else:
            self._connection.transport.writelines((text, body))

    def begin(self, status: int, headers: Headers) -> None:
        """The head of an answer whose body follows in pieces: counted where the headers say its length, else framed."""
        framing = b""
        if status in BODILESS:
            self._counted = 0
            headers = _without_length(headers)
        elif self.method == "HEAD":
            self._counted = 0
        else:
            declared = value_of(headers, b"content-length")
            self._counted = None if declared is None else int(declared)
            if declared is None and not self.is_old:
                framing = CHUNKED
        text = head(status, headers, self._own_lines(framing))
        self.has_begun = True
        if not self.has_left:
            self._connection.write(text)

    def write(self, piece: bytes) -> None:
        """A piece of the body. Raises ValueError for more than was declared."""
        if self.has_left or not piece or self.method == "HEAD":
            return
        if self._counted is None:
            self._connection.write(piece if self.is_old else chunk(piece))
            return
        self._counted -= len(piece)
        if self._counted < 0:
            raise ValueError("The answer is longer than its head says.")
        self._connection.write(piece)

    def end(self) -> None:
        """The body is complete. Raises ValueError for less than was declared, unless the caller has left."""
        if self._counted and not self.has_left:
            raise ValueError("The answer is shorter than its head says.")
        self.is_answered = True
        if self._counted is None and not self.is_old and not self.has_left:
            self._connection.write(LAST_CHUNK)

    async def taken(self) -> None:
        """Wait until the caller has taken enough of what was sent."""
        taking = self._connection.taking
        if taking.is_behind:
            await taking.caught_up()

    @property
    def is_unmarked(self) -> bool:
        """Whether the end of the connection is all that tells the end of the answer."""
        return self._counted is None and self.is_old

    def _own_lines(self, framing: bytes) -> bytes:
        connection = self._connection
        if self.keep_alive and not connection.may_stay(self):
            self.keep_alive = False
        return connection.standing_lines() + framing if self.keep_alive else connection.standing_lines() + framing + CLOSE


def _without_length(headers: Headers) -> Headers:
    return [pair for pair in headers if pair[0] != b"content-length"]


Answerer = Callable[[HttpExchange], Awaitable[None]]
Choose = Callable[[str], Answerer | None]
"""From a path to what answers it without ASGI; None: the application."""
AtOnce = Callable[[HttpExchange], bool]
"""Begins to answer a request whose head is known, where no task is needed for it; tells whether it has."""


class Answering(NamedTuple):
    """What answers requests."""

    choose: Choose
    at_once: AtOnce = lambda exchange: False
