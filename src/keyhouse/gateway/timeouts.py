"""How long each part of a call may take, and one timer for all connections, so that no request pays for timers of its own."""

import asyncio
import math
from typing import Generic, Protocol, TypeVar

import msgspec

# The timer runs no more often than this, however many deadlines lie close together: a deadline is kept to within it.
SHORTEST_PAUSE_S = 0.01


class Timeouts(msgspec.Struct, frozen=True):
    """Seconds. `connect_s`: name lookup, TCP, proxy and TLS together. `first_byte_s`: from the request's last byte to the whole head of the
    answer; 1xx answers do not extend it. `idle_s`: between two reads of the answer, or two writes of a request that the upstream takes
    slowly. `pool_s`: for a free place when every allowed connection is busy."""

    connect_s: float = 10.0
    first_byte_s: float = 600.0
    idle_s: float = 300.0
    pool_s: float = 10.0


class Timed(Protocol):
    """Has a deadline, and is told once it has passed."""

    deadline: float

    def expire(self) -> None:
        """The deadline has passed."""


T = TypeVar("T", bound=Timed)


class Deadlines(Generic[T]):
    """Watches the `deadline` (a moment on the loop's clock, infinity for none) of every connection with one timer of the running loop.

    Setting a deadline costs its owner one comparison with `next_due`; only an earlier one needs `arm`.
    """

    def __init__(self) -> None:
        self._watched: set[T] = set()
        self._timer: asyncio.TimerHandle | None = None
        self.next_due = math.inf

    def add(self, connection: T) -> None:
        """Watch a connection, until `remove`."""
        self._watched.add(connection)

    def remove(self, connection: T) -> None:
        """Watch a connection no more."""
        self._watched.discard(connection)
        if not self._watched:
            self._disarm()

    def watched(self) -> list[T]:
        """Every open connection."""
        return list(self._watched)

    def arm(self, when: float) -> None:
        """Look again at `when`."""
        self._disarm()
        self.next_due = when
        self._timer = asyncio.get_running_loop().call_at(when, self._sweep)

    def _disarm(self) -> None:
        self.next_due = math.inf
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _sweep(self) -> None:
        self._disarm()
        now = asyncio.get_running_loop().time()
        for connection in [connection for connection in self._watched if connection.deadline <= now]:
            connection.expire()
        earliest = min((connection.deadline for connection in self._watched), default=math.inf)
        if earliest < math.inf:
            self.arm(max(earliest, now + SHORTEST_PAUSE_S))
