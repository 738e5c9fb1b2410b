"""How a caller takes what is sent to it: as slowly as it likes, but not at a standstill. Knows no HTTP."""

import asyncio
import math
import socket
import struct

from keyhouse.gateway.timeouts import Deadlines, Timed

TAKE_TIMEOUT_S = 60.0
"""How long a caller may take nothing of what waits for it. Then its connection is closed, and whatever answers it ends."""

_AT_ONCE = struct.pack("ii", 1, 0)


class Taking:
    """What waits to be taken over one connection.

    `is_behind` says that this is more than should wait: nothing further is sent before `caught_up`.
    """

    __slots__ = ("_caught_up", "_deadlines", "_loop", "_transport", "_waiting", "deadline", "is_behind")

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop, deadlines: Deadlines[Timed]) -> None:
        self.is_behind = False
        self.deadline = math.inf
        self._transport = transport
        self._loop = loop
        self._deadlines = deadlines
        self._waiting = 0
        self._caught_up: asyncio.Future[None] | None = None

    def fall_behind(self) -> None:
        """The caller takes more slowly than we send."""
        self.is_behind = True
        self._watch()

    def catch_up(self) -> None:
        """The caller has taken enough."""
        self.is_behind = False
        if not self._transport.is_closing():
            self._deadlines.remove(self)
        if self._caught_up is not None and not self._caught_up.done():
            self._caught_up.set_result(None)

    async def caught_up(self) -> None:
        """Wait until the caller, which is behind, has taken enough or has left."""
        self._caught_up = self._loop.create_future()
        await self._caught_up

    def close(self) -> None:
        """Close the connection once all is taken."""
        self._transport.close()
        if self._transport.get_write_buffer_size():
            self._watch()

    def reset(self) -> None:
        """Close the connection in a way that no caller takes for the end of an answer."""
        self._transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _AT_ONCE)
        self._transport.abort()

    def end(self) -> None:
        """The connection is gone."""
        self.catch_up()
        self._deadlines.remove(self)

    def expire(self) -> None:
        """The time is over in which something should have been taken."""
        if self._transport.get_write_buffer_size() < self._waiting:
            self._watch()
        else:
            self._transport.abort()

    def _watch(self) -> None:
        self._waiting = self._transport.get_write_buffer_size()
        self.deadline = self._loop.time() + TAKE_TIMEOUT_S
        self._deadlines.add(self)
        if self.deadline < self._deadlines.next_due:
            self._deadlines.arm(self.deadline)
