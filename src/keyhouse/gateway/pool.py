"""Which connection a request gets: kept-alive ones by origin, bounded, with fair waiting. Costs a request the same however many connections
are idle. Opens none itself, but asks its `dial`."""

import asyncio
import itertools
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from functools import partial

from keyhouse.domain.address import Origin
from keyhouse.gateway.connection import Connection
from keyhouse.gateway.known_answer import KnownAnswers
from keyhouse.gateway.plain_connection import PlainConnection
from keyhouse.gateway.timeouts import Deadlines, Timeouts
from keyhouse.gateway.upstream_error import UpstreamError, UpstreamFailure

# Large enough that a fast answer of megabytes takes few reads.
READ_BUFFER_BYTES = 256 * 1024

Dial = Callable[[Origin, Timeouts, Callable[[], Connection]], Awaitable[Connection]]


@dataclass(frozen=True, slots=True)
class PoolLimits:
    """`per_origin` and `total`: open connections, busy and idle. `idle_s`: how long an unused one is kept, less than the 60 s after which
    load balancers commonly close one."""

    per_origin: int = 2048
    total: int = 4096
    idle_s: float = 50.0


@dataclass(slots=True)
class Counters:
    """Counted since the client was made. `opened`: connections made; `reused`: requests that took a kept-alive one; `failed`: attempts to
    connect that came to nothing, those of callers who left among them; `replaced`: kept-alive connections closed under a request."""

    opened: int = 0
    reused: int = 0
    failed: int = 0
    replaced: int = 0


@dataclass(slots=True, eq=False)
class _Waiter:
    """A request that waits. `granted` ends with a connection, or with None for a place that is already counted as the waiter's."""

    number: int
    lane: "Lane"
    granted: "asyncio.Future[Connection | None]"


@dataclass(slots=True, eq=False)
class Lane:
    """One origin's connections. `open` counts the places in use: connections and attempts to connect. `idle`, `waiting`: oldest first.
    `answers` is what is known of the origin's answers."""

    key: str
    open: int = 0
    idle: dict[Connection, None] = field(default_factory=dict)
    answers: KnownAnswers = field(default_factory=KnownAnswers)
    waiting: dict[_Waiter, None] = field(default_factory=dict)


class Pool:
    """Hands out connections and takes them back. `dial(origin, timeouts, protocol_factory)` opens one or raises UpstreamError."""

    def __init__(self, limits: PoolLimits, dial: Dial) -> None:
        self.counters = Counters()
        self.open = 0
        self.read_buffer = memoryview(bytearray(READ_BUFFER_BYTES))
        self._closed = False
        self._limits = limits
        self._dial = dial
        self._deadlines: Deadlines[Connection] = Deadlines()
        self._lanes: dict[str, Lane] = {}
        self._lanes_with_idle: dict[Lane, None] = {}
        self._lanes_with_waiting: dict[Lane, None] = {}
        self._numbers = itertools.count()

    @property
    def idle(self) -> int:
        """Open connections that nobody uses."""
        return sum(len(lane.idle) for lane in self._lanes_with_idle)

    @property
    def waiting(self) -> int:
        """Requests that wait for a place."""
        return sum(len(lane.waiting) for lane in self._lanes_with_waiting)

    def take_idle(self, key: str) -> Connection | None:
        """The idle connection of a lane that was used last, or None. Unusable ones met on the way are closed."""
        lane = self._lanes.get(key)
        while lane is not None and lane.idle:
            connection, _ = lane.idle.popitem()
            if not lane.idle:
                del self._lanes_with_idle[lane]
            if connection.usable():
                self.counters.reused += 1
                return connection
            connection.abort()
        return None

    async def take(self, key: str, origin: Origin, timeouts: Timeouts, *, fresh: bool = False) -> Connection:
        """A connection for one request; `fresh`: one that never carried a request.

        Raises UpstreamError: `POOL_TIMEOUT`, or what `dial` raises.
        """
        while True:
            connection = None if fresh else self.take_idle(key)
            if connection is not None:
                return connection
            lane = self._lanes.setdefault(key, Lane(key))
            if self._reserve(lane):
                return await self._connect(lane, origin, timeouts)
            granted = await self._wait(lane, timeouts)
            if granted is None:
                return await self._connect(lane, origin, timeouts)
            if not fresh and granted.usable():
                self.counters.reused += 1
                return granted
            if granted.lane is lane:
                self._discard(granted)
                return await self._connect(lane, origin, timeouts)

    def give_back(self, connection: Connection) -> None:
        """A connection whose exchange has ended well goes to the request that waits longest, or rests until a later one."""
        lane = connection.lane
        if lane is None:
            connection.abort()
            return
        if self._lanes_with_waiting:
            waiter = self._longest_waiting(lane)
            if waiter is not None:
                self._hand_over(connection, lane, waiter)
                return
        if not lane.idle:
            self._lanes_with_idle[lane] = None
        lane.idle[connection] = None
        connection.rest(self._limits.idle_s)

    def forget(self, connection: Connection) -> None:
        """A connection was closed: its place is free."""
        lane, connection.lane = connection.lane, None
        if lane is not None:
            self._unlist(connection, lane)
            self._free(lane)

    def close(self) -> None:
        """Close every connection: requests under way end with UpstreamError `BROKEN`, waiting and later ones with `CONNECT_FAILED`."""
        self._closed = True
        for lane in list(self._lanes_with_waiting):
            for waiter in list(lane.waiting):
                self._leave(waiter)
                if not waiter.granted.done():
                    waiter.granted.set_exception(_shutting_down())
        for connection in self._deadlines.watched():
            connection.fail(UpstreamError(UpstreamFailure.BROKEN, "The gateway is shutting down.", request_sent=True))

    async def _connect(self, lane: Lane, origin: Origin, timeouts: Timeouts) -> Connection:
        """Fill a place of the lane that is already counted."""
        connected = False
        kind = Connection if origin.scheme == "https" else PlainConnection
        try:
            connection = await self._dial(origin, timeouts, partial(kind, self, self._deadlines))
            if self._closed:
                connection.abort()
                raise _shutting_down()
            if connection.closed:
                raise UpstreamError(UpstreamFailure.CONNECT_FAILED, "The upstream closed the connection as soon as it was made.")
            connected = True
        finally:
            if not connected:
                self.counters.failed += 1
                self._free(lane)
        connection.lane = lane
        self.counters.opened += 1
        return connection

    def _reserve(self, lane: Lane) -> bool:
        """Count one more place for the lane if the limits allow, closing the oldest idle connection if that is what it takes."""
        if lane.open >= self._limits.per_origin:
            if not lane.idle:
                return False
            self._discard(next(iter(lane.idle)))
            return True
        if self.open >= self._limits.total:
            donor = next(iter(self._lanes_with_idle), None)
            if donor is None:
                return False
            self._discard(next(iter(donor.idle)))
            self._move_place(donor, lane)
            return True
        lane.open += 1
        self.open += 1
        return True

    def _discard(self, connection: Connection) -> None:
        """Close a connection but keep its place counted: the caller uses it."""
        lane, connection.lane = connection.lane, None
        if lane is not None:
            self._unlist(connection, lane)
        connection.abort()

    def _unlist(self, connection: Connection, lane: Lane) -> None:
        if connection in lane.idle:
            del lane.idle[connection]
            if not lane.idle:
                del self._lanes_with_idle[lane]

    def _move_place(self, giver: Lane, taker: Lane) -> None:
        giver.open -= 1
        taker.open += 1
        self._drop_if_empty(giver)

    def _free(self, lane: Lane) -> None:
        lane.open -= 1
        self.open -= 1
        waiter = self._longest_waiting(None) if self._lanes_with_waiting else None
        if waiter is not None:
            waiter.lane.open += 1
            self.open += 1
            self._grant(waiter, None)
        self._drop_if_empty(lane)

    def _drop_if_empty(self, lane: Lane) -> None:
        if not lane.open and not lane.waiting and self._lanes.get(lane.key) is lane:
            del self._lanes[lane.key]

    def _hand_over(self, connection: Connection, lane: Lane, waiter: _Waiter) -> None:
        if waiter.lane is lane:
            self._grant(waiter, connection)
        else:
            self._discard(connection)
            self._move_place(lane, waiter.lane)
            self._grant(waiter, None)

    def _longest_waiting(self, lane: Lane | None) -> _Waiter | None:
        """Who waits longest among those that a free place helps: their lane is not full, or is `lane`, whose connection is to be given."""
        longest: _Waiter | None = None
        for candidate in self._lanes_with_waiting:
            if candidate is lane or candidate.open < self._limits.per_origin:
                first = next((waiter for waiter in candidate.waiting if not waiter.granted.done()), None)
                if first is not None and (longest is None or first.number < longest.number):
                    longest = first
        return longest

    def _grant(self, waiter: _Waiter, connection: Connection | None) -> None:
        self._leave(waiter)
        waiter.granted.set_result(connection)

    def _leave(self, waiter: _Waiter) -> None:
        lane = waiter.lane
        if waiter in lane.waiting:
            del lane.waiting[waiter]
            if not lane.waiting:
                del self._lanes_with_waiting[lane]

    async def _wait(self, lane: Lane, timeouts: Timeouts) -> Connection | None:
        waiter = _Waiter(next(self._numbers), lane, asyncio.get_running_loop().create_future())
        lane.waiting[waiter] = None
        self._lanes_with_waiting[lane] = None
        granted = waiter.granted
        taken = False
        try:
            async with asyncio.timeout(timeouts.pool_s):
                connection = await granted
                taken = True
        except TimeoutError:
            raise UpstreamError(UpstreamFailure.POOL_TIMEOUT, "Every connection allowed to this upstream was busy for too long.") from None
        finally:
            self._leave(waiter)
            if not taken:
                self._return(granted, lane)
        return connection

    def _return(self, granted: "asyncio.Future[Connection | None]", lane: Lane) -> None:
        """What a waiter was granted just as it gave up goes to the next one."""
        if granted.done() and not granted.cancelled() and granted.exception() is None:
            connection = granted.result()
            if connection is None:
                self._free(lane)
            else:
                self.give_back(connection)
        self._drop_if_empty(lane)


def _shutting_down() -> UpstreamError:
    return UpstreamError(UpstreamFailure.CONNECT_FAILED, "The gateway is shutting down.")
