"""What addresses a name has, asked of the system's resolver in threads of its own, so that a name whose resolver is slow holds up no other.
Remembers nothing; requests that ask for one name at once share the answer."""

import asyncio
import contextlib
import socket
import threading
from collections import deque
from typing import Any

MOST_AT_ONCE = 64
"""Names; further ones wait for their turn. uvloop's own look-ups share two threads: two names that nobody answers for, which the resolver
gives up after ten seconds or more, would keep every upstream from being connected to; and of 256 calls at once by a resolver that takes
0.1 s most would run out of time."""

NamedAddress = tuple[socket.AddressFamily, tuple[Any, ...]]
"""The family, and the address as the socket module writes it, its port 0."""
_Outcome = list[NamedAddress] | OSError | UnicodeError | RuntimeError


class NameLookups:
    """The look-ups under way. Belongs to one event loop."""

    def __init__(self) -> None:
        self._wanted: dict[str, asyncio.Future[_Outcome]] = {}
        self._running = 0
        self._waiting: deque[str] = deque()

    async def addresses(self, host: str) -> list[NamedAddress]:
        """At least one address, in the resolver's order. Who leaves does not end the look-up: nothing can.

        Raises OSError, UnicodeError for what can be no name, RuntimeError where there can be no more threads.
        """
        wanted = self._wanted.get(host)
        if wanted is None:
            wanted = self._wanted[host] = asyncio.get_running_loop().create_future()
            self._waiting.append(host)
            self._start()
        outcome = await asyncio.shield(wanted)
        if isinstance(outcome, Exception):
            try:
                raise outcome
            finally:
                # Its traceback holds us.
                del outcome, wanted
        return outcome

    def _start(self) -> None:
        while self._waiting and self._running < MOST_AT_ONCE:
            host = self._waiting.popleft()
            self._running += 1
            loop = asyncio.get_running_loop()
            try:
                # A daemon: the process does not wait at its end for a resolver that says nothing.
                threading.Thread(target=self._look_up, args=(loop, host), name="keyhouse-names", daemon=True).start()
            except RuntimeError as error:
                loop.call_soon(self._end, host, error)

    def _look_up(self, loop: asyncio.AbstractEventLoop, host: str) -> None:
        outcome: _Outcome
        try:
            found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM, proto=socket.IPPROTO_TCP)
            outcome = [(family, address) for family, _, _, _, address in found]
        except (OSError, UnicodeError) as error:
            outcome = error.with_traceback(None)
        # The loop may have ended meanwhile.
        with contextlib.suppress(RuntimeError):
            loop.call_soon_threadsafe(self._end, host, outcome)

    def _end(self, host: str, outcome: _Outcome) -> None:
        self._running -= 1
        self._wanted.pop(host).set_result(outcome)
        self._start()
