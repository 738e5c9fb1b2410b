"""One HTTP/1.1 connection to an upstream: writes a request, parses its answer, knows whether it may be used again. Chooses nothing."""

import asyncio
import math
import select
import ssl
from typing import TYPE_CHECKING, cast

from httptools import HttpParserError, HttpParserUpgrade

from keyhouse.gateway.answer_parsing import AnswerParsing
from keyhouse.gateway.asker import Asker
from keyhouse.gateway.bounds import LARGE_READ_BYTES, MAX_HEAD_BYTES, PIECE_BYTES, SMALL_BODY_BYTES
from keyhouse.gateway.own_socket import reading_poll, straight_write
from keyhouse.gateway.refused import reason_of
from keyhouse.gateway.response import HIGH_WATER_BYTES, ResponseBody, UpstreamResponse
from keyhouse.gateway.timeouts import Deadlines, Timeouts
from keyhouse.gateway.tls import tls_failure
from keyhouse.gateway.upstream_error import KeptAliveClosedError, UpstreamError, UpstreamFailure
from keyhouse.gateway.whole_chunks import LARGEST_BYTES, STARTS

if TYPE_CHECKING:
    from keyhouse.gateway.pool import Lane, Pool

_LF = 0x0A


class Connection(AnswerParsing, asyncio.BufferedProtocol):
    """A connection that serves one request at a time.

    `exchange` begins a request; the future it returns ends with the response's head or with UpstreamError. When the answer has come whole
    the connection goes back to its pool by itself, before the caller has read the body. It is busy while `_body` or `_asker` is
    not None.
    """

    __slots__ = (
        *("_answer_started", "_asker", "_at_edge", "_deadlines", "_drained", "_ending", "_loop", "_poll", "_pool", "_read_buffer"),
        *("_read_paused", "_sender", "_timeouts", "_transport", "_write", "_write_paused", "closed", "deadline", "lane"),
        "requests",
    )

    def __init__(self, pool: "Pool", deadlines: "Deadlines[Connection]") -> None:
        super().__init__()
        # Whose place among the open connections this one takes; set and cleared by the pool.
        self.lane: Lane | None = None
        self.deadline = math.inf
        self.requests = 0
        self.closed = False
        self._pool = pool
        self._deadlines = deadlines
        self._read_buffer = pool.read_buffer
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport
        self._poll: select.poll | None = None
        self._timeouts = Timeouts()
        self._asker: Asker | None = None
        self._sender: asyncio.Task[None] | None = None
        self._drained: asyncio.Future[None] | None = None
        self._write_paused = self._read_paused = False

    def _begin(self, bodiless: bool) -> None:
        super()._begin(bodiless)
        self._answer_started = self._ending = self._at_edge = False

    def exchange(self, wire: bytes, body: bytes, timeouts: Timeouts, *, bodiless: bool = False) -> asyncio.Future[UpstreamResponse]:
        """Send `wire` (the rendered head) and a request's body; `bodiless`: its answer has none. It must be idle and `usable`."""
        self.requests += 1
        self._begin(bodiless)
        self._timeouts = timeouts
        self._body = ResponseBody(self._loop, self)
        opened = self._opened = self._loop.create_future()
        if len(body) <= SMALL_BODY_BYTES:
            self._write(wire + body)
            self._expect_by(timeouts.first_byte_s)
        else:
            self._transport.write(wire)
            self.deadline = math.inf
            self._sender = self._loop.create_task(self._send(memoryview(body)))
        return opened

    def exchange_known(self, wire: bytes, timeouts: Timeouts, asker: Asker) -> None:
        """The same for a whole request with a small body, whose answer is perhaps one that `KnownAnswers` reads: see Asker."""
        self.requests += 1
        self._answer_started = False
        self._timeouts = timeouts
        self._asker = asker
        self._write(wire)
        # As `_expect_by`, without a call.
        when = self.deadline = self._loop.time() + timeouts.first_byte_s
        if when < self._deadlines.next_due:
            self._deadlines.arm(when)

    def _ask_on(self) -> None:
        """What comes of the request is no known answer."""
        asker, self._asker = self._asker, None
        if asker is not None:
            self._begin(bodiless=False)
            self._body, self._opened = ResponseBody(self._loop, self), self._loop.create_future()
            asker.go_on(self._opened)

    def usable(self) -> bool:
        """Whether an idle connection can take a request: open, and nothing waits to be read. An upstream that closed it or sent bytes that
        nobody asked for has made it readable, perhaps before the loop has looked."""
        if self.closed or self._transport.is_closing():
            return False
        return self._poll is None or not self._poll.poll(0)

    def rest(self, idle_s: float) -> None:
        """Stay open unused for at most `idle_s`."""
        # As `_expect_by`, without a call.
        when = self.deadline = self._loop.time() + idle_s
        if when < self._deadlines.next_due:
            self._deadlines.arm(when)

    def abandon(self, opened: "asyncio.Future[UpstreamResponse] | None") -> None:
        """The caller of `exchange` leaves: close at once, unless the answer has come whole and the connection may be another request's."""
        if opened is not None and opened.done() and not opened.cancelled() and opened.exception() is None:
            opened.result().close()
        else:
            # No other request can have it: an answer that nobody waits for ends its connection.
            self.abort()

    def let_end(self, seconds: float) -> None:
        """The reader has gone at what it knows for the answer's end. The connection waits so long for it, and takes nothing else."""
        if self._read_paused or self._sender is not None:
            self.abort()
            return
        self._ending = True
        self._expect_by(seconds)

    def abort(self) -> None:
        """Close at once, whatever is under way. Does not tell the reader of a body: see `fail`."""
        if self.closed:
            return
        self.closed = True
        self._body = self._opened = self._asker = None
        self._deadlines.remove(self)
        if self._sender is not None:
            self._sender.cancel()
            self._sender = None
        self._transport.abort()
        self._pool.forget(self)

    def fail(self, error: UpstreamError) -> None:
        """Close at once and tell whoever waits for the head or reads the body."""
        self._ask_on()
        body, opened = self._body, self._opened
        self.abort()
        if opened is None:
            if body is not None:
                body.end(error)
        elif not opened.done():
            opened.set_exception(error)

    def expire(self) -> None:
        """The deadline has passed."""
        self._ask_on()
        if self._body is None:
            self.abort()
        elif self._opened is None:
            self.fail(self._error(UpstreamFailure.IDLE_TIMEOUT, "The upstream sent nothing more of its answer in time."))
        elif self._sender is not None:
            self.fail(self._error(UpstreamFailure.IDLE_TIMEOUT, "The upstream stopped taking the request."))
        else:
            self.fail(self._error(UpstreamFailure.FIRST_BYTE_TIMEOUT, "The upstream did not begin to answer in time."))

    def _expect_by(self, seconds: float) -> None:
        when = self.deadline = self._loop.time() + seconds
        if when < self._deadlines.next_due:
            self._deadlines.arm(when)

    def _error(self, kind: UpstreamFailure, message: str) -> UpstreamError:
        return UpstreamError(kind, message, request_sent=True)

    # The request's way

    async def _send(self, body: memoryview) -> None:
        """Send a large body no faster than the upstream takes it."""
        for start in range(0, len(body), PIECE_BYTES):
            if start:
                # What came meanwhile is read: an answer before the request's end is lost where we write on to an upstream that has closed.
                await asyncio.sleep(0)
            self._transport.write(body[start : start + PIECE_BYTES])
            if self._write_paused:
                self._drained = self._loop.create_future()
                self._expect_by(self._timeouts.idle_s)
                await self._drained
                self.deadline = math.inf
        self._sender = None
        if self._opened is not None:
            self._expect_by(self._timeouts.first_byte_s)
        elif not self._read_paused:
            self._expect_by(self._timeouts.idle_s)

    def pause_writing(self) -> None:
        """The transport holds more of the request than it should."""
        self._write_paused = True

    def resume_writing(self) -> None:
        """The upstream has taken enough of the request."""
        self._write_paused = False
        if self._drained is not None and not self._drained.done():
            self._drained.set_result(None)

    # The answer's way

    def resume_reading(self) -> None:
        """The reader has made room."""
        if self._read_paused and not self.closed:
            self._read_paused = False
            self._transport.resume_reading()
            self._expect_by(self._timeouts.idle_s)

    def get_buffer(self, sizehint: int) -> memoryview:
        """Where the transport may put what it reads next. All connections share it: `buffer_updated` follows before any other reads."""
        return self._read_buffer

    def buffer_updated(self, nbytes: int) -> None:
        """Bytes of the answer are in the buffer."""
        data = self._read_buffer[:nbytes]
        self.data_received(bytes(data) if self._at_edge and nbytes <= LARGEST_BYTES else data)

    def data_received(self, data: bytes | memoryview) -> None:
        """Bytes of the answer have come."""
        if self._at_edge and data.__class__ is bytes and data.startswith(STARTS[len(data)]):
            # What lies between two edges is the same to the parser whether it sees it or not.
            body = self._body
            if body is not None and body.take_chunk is not None and body.take_chunk(data):
                # Later than it was: nothing is to be armed.
                self.deadline = self._loop.time() + self._timeouts.idle_s
                return
        if self._asker is not None and self._is_known(data):
            return
        body = self._body
        if body is None:
            # Bytes that nobody asked for must never become the answer to a later request.
            self.abort()
            return
        self._answer_started, self._at_edge = True, False
        self._quiet_bytes += len(data)
        try:
            self._parser.feed_data(data)
        except (HttpParserError, HttpParserUpgrade) as error:
            if not self._complete:
                self.fail(self._error(UpstreamFailure.BAD_RESPONSE, f"The upstream's answer is not valid HTTP: {reason_of(error)}."))
                return
            self._reusable = False
        if self._complete:
            self._finish(body)
        elif self._ending or self._quiet_bytes > MAX_HEAD_BYTES:
            self._bound(body)
        elif self._opened is None:
            self._hand_on(body, data)

    def _hand_on(self, body: ResponseBody, data: bytes | memoryview) -> None:
        body.wake()
        if body.size > HIGH_WATER_BYTES:
            self._pause_reading()
            return
        if len(data) >= LARGE_READ_BYTES:
            self._transport.pause_reading()
            self._loop.call_soon(self._read_on)
        if self._sender is None:
            self._expect_by(self._timeouts.idle_s)
            # Every byte since the chunk's end would have come to more than its line's end, or not end a line.
            self._at_edge = self._chunk_ended and data[-1] == _LF

    def _bound(self, body: ResponseBody) -> None:
        if not self._ending:
            self.fail(self._error(UpstreamFailure.BAD_RESPONSE, "The upstream's answer has a head or trailer of more than 64 KiB."))
        elif body.size or self._quiet_bytes > MAX_HEAD_BYTES:
            self.abort()

    def _is_known(self, data: bytes | memoryview) -> bool:
        """Whether the first bytes of an answer were all of it, and are taken."""
        asker, lane = self._asker, self.lane
        # Behind a full buffer TLS may hold more, which `usable` does not see.
        known = None if lane is None or len(data) == len(self._read_buffer) else lane.answers.read(bytes(data))
        if asker is not None and known is not None:
            self._asker = None
            self._pool.give_back(self)
            asker.answered(*known)
            return True
        self._ask_on()
        return False

    def _read_on(self) -> None:
        if not self.closed and not self._transport.is_closing():
            self._transport.resume_reading()

    def _pause_reading(self) -> None:
        self.deadline = math.inf
        if not self._read_paused:
            self._read_paused = True
            self._transport.pause_reading()

    def _finish(self, body: ResponseBody) -> None:
        self._body = None
        body.end()
        if self._sender is not None or not self._reusable:
            self.abort()
            return
        if self._read_paused:
            self._read_paused = False
            self._transport.resume_reading()
        self._pool.give_back(self)

    # The transport's life

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The connection is open, TLS included."""
        self._transport = cast(asyncio.Transport, transport)
        self._write = straight_write(self._transport)
        self._deadlines.add(self)
        self._poll = reading_poll(transport)

    def eof_received(self) -> None:
        """The upstream sends no more: the end of an answer without a length, or a break."""
        self._ask_on()
        body = self._body
        if body is None:
            self.abort()
        elif self._opened is None and not self._framed:
            self._reusable = False
            self._finish(body)
        else:
            self._break()

    def connection_lost(self, error: Exception | None) -> None:
        """The connection is gone, by a reset or by our own doing."""
        if not self.closed:
            self._break(error)
        del self._parser  # it refers to us: the collector of cycles, which seldom runs, need not find us

    def _break(self, error: Exception | None = None) -> None:
        if self._answer_started:
            self.fail(self._error(UpstreamFailure.BROKEN, "The upstream closed the connection before the end of its answer."))
        elif self.requests > 1:
            self.fail(KeptAliveClosedError())
        elif isinstance(error, ssl.SSLError):
            self.fail(tls_failure(error, request_sent=True))
        else:
            self.fail(self._error(UpstreamFailure.BROKEN, "The upstream closed the connection without an answer."))
