"""How the house is served: uvicorn opens and stops it, the connections are our own."""

import asyncio
import socket
import time
from functools import partial
from typing import Any, cast

import uvicorn
from starlette.types import ASGIApp

from keyhouse.web.http_answer import DateLine
from keyhouse.web.http_crowd import Crowd, most_connections
from keyhouse.web.http_exchange import Answering
from keyhouse.web.http_protocol import HttpProtocol

_ALL_BY_ASGI = Answering(lambda path: None)


def server_config(
    app: ASGIApp,
    *,
    shutdown_timeout_s: int,
    answering: Answering = _ALL_BY_ASGI,
    trusted_proxies: str = "",
) -> uvicorn.Config:
    """The server's configuration. Nothing is logged by uvicorn but what goes wrong. `trusted_proxies`: addresses, networks, by commas."""
    return uvicorn.Config(
        app,
        loop="uvloop",
        http=cast(Any, partial(HttpProtocol, answering=answering, crowd=Crowd(most_connections()), date=DateLine())),
        ws="none",
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,
        forwarded_allow_ips=trusted_proxies,
        timeout_graceful_shutdown=shutdown_timeout_s,
    )


_LATE_S = 0.25
_LOOK_EVERY_S = 0.01


class HouseServer(uvicorn.Server):
    """Stops as soon as it is told to, and leaves nobody behind. Does nothing while nobody asks: uvicorn looks ten times a second."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._told = asyncio.Event()

    def stop(self) -> None:
        """Finish open requests and then return; told again, no longer wait for them. May be called in a signal's handler, in any thread."""
        self.force_exit = self.should_exit
        self.should_exit = True
        if (loop := self._loop) is not None:
            loop.call_soon_threadsafe(self._told.set)

    async def told(self) -> None:
        """Until it is told to stop."""
        self._loop = asyncio.get_running_loop()
        if not self.should_exit:
            await self._told.wait()

    async def main_loop(self) -> None:
        """Until it is told to stop."""
        await self.told()
        self._loop = None

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Finish what ends in time, then close every connection: the event loop would wait for callers who take nothing."""
        for listening in (*self.servers, *(sockets or ())):
            listening.close()
        # Who has just connected, or asks again and again, is about to send a request. Its answer is the last, and says so.
        for connection in self._connections():
            connection.is_ending = True
        await self._emptied(_LATE_S)
        for connection in self._connections():
            connection.shutdown()
        if not await self._emptied(self.config.timeout_graceful_shutdown or 0):
            for task in self.server_state.tasks:
                task.cancel()
        for connection in self._connections():
            connection.transport.abort()
        await self.lifespan.shutdown()

    def _connections(self) -> list[HttpProtocol]:
        return cast("list[HttpProtocol]", list(self.server_state.connections))

    async def _emptied(self, seconds: float) -> bool:
        """Whether all requests and connections end in this time. A hurry cuts it short."""
        state, until = self.server_state, time.monotonic() + seconds
        while state.connections or state.tasks:
            if self.force_exit or time.monotonic() >= until:
                return False
            await asyncio.sleep(_LOOK_EVERY_S)
        return True
