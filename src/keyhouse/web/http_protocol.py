"""The caller's side of HTTP/1.1: one connection, its requests one after the other. Knows no route; what answers is chosen by `choose`.

Heads are bounded in size and time, bodies in the time they may pause, trailers in size, answers in the time that nothing of them is taken;
whoever asks for another protocol is answered in this one.
"""

import asyncio
import math
from collections import deque
from typing import Any, cast

import httptools
import uvicorn
from starlette.types import ASGIApp
from uvicorn.server import ServerState

from keyhouse.gateway.own_socket import straight_write
from keyhouse.gateway.refused import RefusedError
from keyhouse.web.asgi import Address, address_of, answer_by
from keyhouse.web.http_answer import CONTINUE, CROWDED, FAILED, HEAD_TOO_LARGE, NO_REQUEST, DateLine
from keyhouse.web.http_bounds import (
    BODY_IDLE_TIMEOUT_S,
    FIRST_REQUEST_S,
    HEAD_TIMEOUT_S,
    KEEP_ALIVE_S,
    LINGER_S,
    MAX_HEAD_BYTES,
    MAX_LINGER_BYTES,
    MAX_UNREAD_BYTES,
)
from keyhouse.web.http_crowd import Crowd
from keyhouse.web.http_exchange import SLICE_BYTES, Answering, HttpExchange
from keyhouse.web.http_head import CallerHead, ComingHead, KnownHead
from keyhouse.web.http_taking import Taking
from keyhouse.web.http_target import target_of


class HttpProtocol(asyncio.Protocol):
    """One connection of a caller. `_active` is being answered, `_reading` is the request whose body comes; between them is `_queue`."""

    def __init__(
        self,
        config: uvicorn.Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
        *,
        answering: Answering,
        crowd: Crowd,
        date: DateLine,
    ) -> None:
        self.loop = _loop or asyncio.get_running_loop()
        self.transport: asyncio.Transport
        self.taking: Taking
        self.deadline = math.inf
        self._app = cast(ASGIApp, config.loaded_app)
        self._choose, self._at_once = answering
        self._crowd = crowd
        self._deadlines = crowd.deadlines
        self._connections = cast("set[object]", server_state.connections)
        self.tasks = server_state.tasks
        self.standing_lines = date.text
        self._parser = httptools.HttpRequestParser(self)
        self._server: Address = None
        self._client: Address = None
        # Deaf: nothing is parsed any more, what comes is thrown away until the connection is closed.
        self._read_paused = self._is_deaf = self.is_ending = False
        self._refusal, self._known = NO_REQUEST, KnownHead()
        self._coming: ComingHead | None = None
        self._head_is_timed, self._first_by = False, 0.0
        self._read_bytes = self._first_bytes = self._head_bytes = self._quiet_bytes = self._unread = 0
        self._active: HttpExchange | None = None
        self._reading: HttpExchange | None = None
        self._queue: deque[HttpExchange] = deque()
        self._unparsed = b""

    # The transport's life

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A caller connected: it may wait with its first request as long as with any other."""
        self.transport = cast(asyncio.Transport, transport)
        self.write = straight_write(self.transport)
        self.taking = Taking(self.transport, self.loop, self._deadlines)
        self._server = address_of(transport.get_extra_info("sockname"))
        self._client = address_of(transport.get_extra_info("peername"))
        self._connections.add(self)
        if self._crowd.enter(self):
            self._expect_by(KEEP_ALIVE_S)
            self._first_by = self.loop.time() + FIRST_REQUEST_S
        else:
            self._refuse(CROWDED)

    def connection_lost(self, exc: Exception | None) -> None:
        """The caller is gone."""
        self._let_go()
        self._connections.discard(self)
        self._crowd.leave(self)
        self._is_deaf = True
        # These refer to us: the collector of cycles, which seldom runs, need not find us.
        self._queue.clear()
        self._reading = None
        del self._parser
        self.taking.end()
        if self._active is not None:
            self._active.leave()

    def shutdown(self) -> None:
        """The server stops: what has come is answered, and nothing more taken. Only who has just connected may still ask."""
        self.is_ending = True
        if self._active is not None or self._coming is not None or self._known.holds:
            return
        left = self._first_by - self.loop.time()
        if left > 0:
            self._expect_by(left)
        else:
            self.taking.close()

    def pause_reading(self) -> None:
        """More has come than is wanted for now."""
        if not self._read_paused:
            self._read_paused = True
            self.deadline = math.inf
            self.transport.pause_reading()

    def _resume_reading(self) -> None:
        if self._read_paused:
            self._read_paused = False
            self.transport.resume_reading()

    def pause_writing(self) -> None:
        """The caller takes more slowly than we send."""
        self.taking.fall_behind()

    def resume_writing(self) -> None:
        """The caller has taken enough."""
        self.taking.catch_up()

    def _expect_by(self, seconds: float) -> None:
        when = self.deadline = self.loop.time() + seconds
        if when < self._deadlines.next_due:
            self._deadlines.arm(when)

    def expire(self) -> None:
        """The deadline has passed: for a head, a body, or the next request."""
        self.deadline = math.inf
        self._let_go()
        if self._active is None:
            self.taking.close()
        elif self._active.is_whole:
            # The head behind it does not come to its end.
            self._hear_no_more()
        else:
            self.transport.abort()

    @property
    def is_idle(self) -> bool:
        """Whether no request is being answered, nor one of an admitted caller held."""
        return self._active is None and not (self._known.holds and self._known.head.is_admitted)

    # What comes

    def data_received(self, data: bytes) -> None:
        """Bytes of one or more requests, or of parts of them."""
        if self._is_deaf:
            self._unread += len(data)
            if self._unread > MAX_LINGER_BYTES:
                self.transport.abort()
        elif self._active is None and self._reading is None and self._coming is None:
            known = self._known
            body = known.body_in(data)
            if body is not None:
                self._answer_again(body)
            elif known.holds:
                self._expect_by(BODY_IDLE_TIMEOUT_S)
            else:
                self._begin(known.let_go(data))
        else:
            self._read(data)

    def _begin(self, data: bytes) -> None:
        """The first bytes of a request; with what was held of it, if anything was."""
        self._read(data)
        active = self._active
        if active is not None:
            active.head_at = self._known.held_at
            if active.keep_alive:
                self._known.learn(active.head, data)

    def _let_go(self) -> None:
        """Nobody waits any more for the rest of what is held: it goes the way of other requests whose rest does not come."""
        if self._known.holds:
            self._begin(self._known.let_go(b""))

    def _read(self, data: bytes) -> None:
        self._read_bytes = len(data)
        self._head_bytes += len(data)
        self._quiet_bytes += len(data)
        try:
            self._parse(data)
        except httptools.HttpParserError:
            self._refuse(self._refusal)
        else:
            if self._coming is not None:
                self._expect_head()
            elif self._reading is not None:
                self._expect_rest(self._reading, len(data))

    def _parse(self, data: bytes | memoryview) -> None:
        if len(data) > SLICE_BYTES:
            data = memoryview(data)
        while data:
            if self._queue:
                self._unparsed += data
                return
            try:
                self._parser.feed_data(data[:SLICE_BYTES])
                data = data[SLICE_BYTES:]
            except httptools.HttpParserUpgrade as upgrade:
                # It takes what follows the head for another protocol, which we speak none of: read as if none had been asked for.
                data = memoryview(data)[upgrade.args[0] :]
                asking, self._parser = self._parser, httptools.HttpRequestParser(self)
                self._parser.feed_data(cast(ComingHead, self._coming).plain(asking))

    def _answer_again(self, body: bytes) -> None:
        """The request whose head is known, with a body of its own."""
        self.deadline = math.inf
        known, size = self._known, len(body)
        exchange = self._active = HttpExchange(self, known.head, known.held_at, True, size, [body], size)
        if not self._at_once(exchange):
            exchange.run(self.answer)

    def _expect_head(self) -> None:
        if self._head_bytes > MAX_HEAD_BYTES:
            self._refuse(HEAD_TOO_LARGE)
        elif not self._head_is_timed and not self._read_paused:
            self._head_is_timed = True
            self._expect_by(HEAD_TIMEOUT_S)

    def _expect_rest(self, reading: HttpExchange, size: int) -> None:
        if reading.is_answered:
            self._unread += size
        if self._quiet_bytes > MAX_HEAD_BYTES:
            self._refuse(HEAD_TOO_LARGE)
        elif self._unread > MAX_UNREAD_BYTES:
            self._refuse(NO_REQUEST)
        elif not self._read_paused:
            self._expect_by(BODY_IDLE_TIMEOUT_S)

    def expect_body(self, exchange: HttpExchange) -> None:
        """The request that is being answered waits for its body."""
        if exchange.asks_first:
            exchange.asks_first = False
            self.write(CONTINUE)
        self._resume_reading()
        self._expect_by(BODY_IDLE_TIMEOUT_S)

    def _refuse(self, answer: bytes) -> None:
        """Read no further. What is whole and came before is answered first; only then, or where there is nothing, it is said why."""
        broken, self._reading = self._reading, None
        if broken is not None and broken in self._queue:
            self._queue.remove(broken)
        is_lost = broken is not None and broken is self._active
        if self._active is not None and not is_lost:
            self._hear_no_more()
            return
        if self._active is not None:
            self._active.leave()
        if self._active is None or not self._active.has_begun:
            self.write(answer)
        self._close(linger=True)

    def _hear_no_more(self) -> None:
        """Close as soon as everything is answered that has come whole."""
        self._is_deaf = self.is_ending = True
        self._unread = 0
        self.deadline = math.inf
        self._resume_reading()

    def _close(self, *, linger: bool = False) -> None:
        """Close; `linger` where more may be on its way, once the caller has had the time to read what was sent."""
        self._is_deaf = True
        if not (linger or self._coming or self._reading or self._queue):
            self.taking.close()
            return
        self._unread = 0
        self._resume_reading()
        self.transport.write_eof()
        self._expect_by(LINGER_S)

    # Called by the parser, inside `feed_data`; raising stops it

    def on_message_begin(self) -> None:
        """The first byte of a head."""
        self._coming = ComingHead()
        self._head_is_timed = False
        self._first_by = 0.0
        # How much of this read belongs to the head is known once the head is there.
        self._head_bytes = 0
        self._first_bytes = self._read_bytes

    def on_url(self, url: bytes) -> None:
        """A part of the target."""
        if self._coming is not None:
            self._coming.url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        """A header, or a trailer, which nobody wants."""
        if self._coming is not None:
            self._coming.add(name, value)

    def on_headers_complete(self) -> None:
        """The end of a head."""
        parser, coming = self._parser, cast(ComingHead, self._coming)
        if self._first_bytes + self._head_bytes > MAX_HEAD_BYTES and coming.size() > MAX_HEAD_BYTES:
            self._refusal = HEAD_TOO_LARGE
            raise RefusedError
        method, version = parser.get_method(), parser.get_http_version()
        if not coming.is_request(method, version):
            raise RefusedError
        if parser.should_upgrade():
            return
        exchange = HttpExchange(self, CallerHead(method.decode("ascii"), target_of(coming.url), coming.headers))
        self._coming = None
        self._quiet_bytes = 0
        exchange.is_old = is_old = version == "1.0"
        exchange.asks_first = coming.asks_first and not is_old
        exchange.keep_alive = not is_old and parser.should_keep_alive()
        self._reading = exchange
        if self._active is None:
            self._start(exchange)
        else:
            self._queue.append(exchange)
            self.pause_reading()

    def on_body(self, body: bytes) -> None:
        """Bytes of a body."""
        self._quiet_bytes = 0
        if self._reading is not None:
            self._reading.feed(body)

    def on_message_complete(self) -> None:
        """The end of a request."""
        reading, self._reading = self._reading, None
        if reading is None:
            return
        self._unread = 0
        reading.end_body()
        # Who waits only for an answer has no deadline, and is read on, so that its leaving is heard. Answered before its end: the next's.
        self.deadline = math.inf
        if not self._queue:
            self._resume_reading()
        if self._active is None:
            self._expect_by(KEEP_ALIVE_S)

    # Answers

    def may_stay(self, exchange: HttpExchange) -> bool:
        """Whether the connection can have a further request behind this one, as its answer's head has to say."""
        return not (self.is_ending and not self._queue) and (exchange.is_whole or not exchange.asks_first)

    def _start(self, exchange: HttpExchange) -> None:
        self._active = exchange
        exchange.run(self.answer)

    async def answer(self, exchange: HttpExchange) -> None:
        """Answer a request, by what is chosen for its path."""
        answerer = self._choose(exchange.path)
        await (answer_by(self._app, exchange, self._server, self._client) if answerer is None else answerer(exchange))

    def finish(self, exchange: HttpExchange) -> None:
        """A request is over: it is the next one's turn."""
        self._active = None
        if self.transport.is_closing() or exchange.has_left:
            return
        if not exchange.is_answered:
            self._break_off(exchange)
        elif not exchange.keep_alive or (self.is_ending and not self._queue):
            self._close()
        elif self._queue:
            self._start(self._queue.popleft())
            if not self._queue and (unparsed := self._unparsed):
                self._unparsed = b""
                self.data_received(unparsed)
            if not self._queue:
                self._resume_reading()
        else:
            if self._read_paused:
                self._resume_reading()
            self._expect_by(HEAD_TIMEOUT_S if self._coming else BODY_IDLE_TIMEOUT_S if self._reading else KEEP_ALIVE_S)

    def _break_off(self, exchange: HttpExchange) -> None:
        if not exchange.has_begun:
            self.write(FAILED)
            self._close()
        elif exchange.is_unmarked:
            # A clean end would look like the answer's own.
            self.taking.reset()
        else:
            self.taking.close()
