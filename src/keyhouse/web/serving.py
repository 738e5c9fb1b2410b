"""How the house is served: uvicorn opens and stops it, the connections are our own."""

import asyncio
import socket
from functools import partial
from typing import Any, cast

import uvicorn
from starlette.types import ASGIApp

from keyhouse.web.http_answer import DateLine
from keyhouse.web.http_crowd import Crowd, most_connections
from keyhouse.web.http_protocol import Choose, HttpProtocol


def server_config(
    app: ASGIApp, *, shutdown_timeout_s: int, choose: Choose = lambda path: None, trusted_proxies: str = ""
) -> uvicorn.Config:
    """The server's configuration. Nothing is logged by uvicorn but what goes wrong. `trusted_proxies`: addresses, networks, by commas."""
    return uvicorn.Config(
        app,
        loop="uvloop",
        http=cast(Any, partial(HttpProtocol, choose=choose, crowd=Crowd(most_connections()), date=DateLine())),
        ws="none",
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,
        forwarded_allow_ips=trusted_proxies,
        timeout_graceful_shutdown=shutdown_timeout_s,
    )


_LATE_S = 0.25


class HouseServer(uvicorn.Server):
    """Leaves nobody behind when it stops."""

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Finish what ends in time, then close every connection: the event loop would wait for callers who take nothing."""
        for listening in (*self.servers, *(sockets or ())):
            listening.close()
        if self.server_state.connections and not self.force_exit:
            # Who has just connected is about to send a request.
            await asyncio.sleep(_LATE_S)
        await super().shutdown(sockets)
        for connection in list(self.server_state.connections):
            cast(HttpProtocol, connection).transport.abort()
        if self.force_exit:
            # uvicorn leaves open what it hurries past: the house, with what it still has to store.
            await self.lifespan.shutdown()
