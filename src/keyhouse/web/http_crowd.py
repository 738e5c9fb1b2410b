"""How many connections of callers one process holds, and who leaves when more come. Knows no HTTP."""

import heapq
import logging
import resource
import time
from typing import Protocol

from keyhouse.gateway.timeouts import Deadlines, Timed

MOST = 10_000
"""So many that only wait cost some 60 MB."""
_KEPT_FILES = 64
"""Open files that are neither a caller's nor an upstream's: the database's, the log's, the key ring's."""
_AT_ONCE = 16
"""Of how many connections one leaves to make room, so that it is not looked for at every new one."""
_SAID_EVERY_S = 60.0

_log = logging.getLogger("keyhouse.http")


class Member(Timed, Protocol):
    """A caller's connection. While it is idle nobody waits for an answer on it, and `expire` closes it."""

    @property
    def is_idle(self) -> bool:
        """Whether it is."""


def most_connections() -> int:
    """What the limit of open files allows: a request that is passed on may need one more, to its upstream."""
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    return MOST if limit == resource.RLIM_INFINITY else max(1, min(MOST, (limit - _KEPT_FILES) // 2))


class Crowd:
    """The connections of a process, with their deadlines. Belongs to one event loop."""

    def __init__(self, most: int) -> None:
        self.deadlines: Deadlines[Timed] = Deadlines()
        self._most = most
        self._present: set[Member] = set()
        self._said_at = -_SAID_EVERY_S

    def enter(self, connection: Member) -> bool:
        """Watch a connection until it leaves. False where there is no room for it, because all others are being answered."""
        self.deadlines.add(connection)
        if len(self._present) >= self._most:
            self._say()
            self._make_room()
        has_room = len(self._present) < self._most
        if has_room:
            self._present.add(connection)
        return has_room

    def leave(self, connection: Member) -> None:
        """Watch it no more."""
        self._present.discard(connection)
        self.deadlines.remove(connection)

    def _make_room(self) -> None:
        """Close idle connections, first those whose time is up first: they began to wait before the others."""
        idle = [connection for connection in self._present if connection.is_idle]
        for connection in heapq.nsmallest(max(1, self._most // _AT_ONCE), idle, key=lambda connection: connection.deadline):
            self._present.discard(connection)
            connection.expire()

    def _say(self) -> None:
        if (now := time.monotonic()) >= self._said_at + _SAID_EVERY_S:
            self._said_at = now
            _log.warning(
                f"There are {self._most} connections, as many as this process may hold: idle ones are closed to make room. "
                "More are held by more workers, and where `ulimit -n` allows more open files."
            )
