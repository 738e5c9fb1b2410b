"""The client that calls upstreams: pooled HTTP/1.1 behind one function, `Upstream.open`. Knows no provider, follows no redirect, reads no
environment, and tries nothing again that a provider may have acted on."""

import asyncio
from typing import NamedTuple

import msgspec

from keyhouse.domain.address import Origin
from keyhouse.gateway.address_policy import AddressPolicy
from keyhouse.gateway.asker import Asker
from keyhouse.gateway.connection import Connection
from keyhouse.gateway.dialing import Dialer
from keyhouse.gateway.pool import Counters, Pool, PoolLimits
from keyhouse.gateway.proxy import Proxies, Proxy
from keyhouse.gateway.request import Headers, RequestHead, UpstreamRequest, rendered_head
from keyhouse.gateway.response import UpstreamResponse
from keyhouse.gateway.timeouts import Timeouts
from keyhouse.gateway.tls import tls_context
from keyhouse.gateway.upstream_error import KeptAliveClosedError, UpstreamError


class UpstreamSettings(msgspec.Struct, frozen=True):
    """How upstreams are called. `cert_file` (SSL_CERT_FILE) replaces the system's authorities, `ca_file` adds to them; both are paths."""

    timeouts: Timeouts = msgspec.field(default_factory=Timeouts)
    limits: PoolLimits = msgspec.field(default_factory=PoolLimits)
    policy: AddressPolicy = msgspec.field(default_factory=AddressPolicy)
    proxies: Proxies = msgspec.field(default_factory=Proxies)
    cert_file: str = ""
    ca_file: str = ""


class ConnectionCounts(msgspec.Struct, frozen=True):
    """Now: `open` connections (attempts to connect included), `idle` ones among them, and requests `waiting` for one."""

    open: int
    idle: int
    waiting: int


class Begun(NamedTuple):
    """A request that was sent. `opened` ends as the future of `Connection.exchange` does."""

    connection: Connection
    opened: "asyncio.Future[UpstreamResponse]"

    def leave(self) -> None:
        """Close at once: nobody waits for the answer any more."""
        self.connection.abandon(self.opened)


class Upstream:
    """A client of HTTP/1.1 upstreams. One serves a whole process, on one event loop; `close` it at the end.

    Raises Error `CONFIGURATION` when a file of certificates cannot be read.
    """

    def __init__(self, settings: UpstreamSettings | None = None) -> None:
        self._settings = settings or UpstreamSettings()
        self._proxied = self._settings.proxies != Proxies()
        context = tls_context(self._settings.cert_file, self._settings.ca_file)
        self._pool = Pool(self._settings.limits, Dialer(self._settings.policy, self._settings.proxies, context).dial)

    @property
    def counters(self) -> Counters:
        """What has happened since the start; live."""
        return self._pool.counters

    def connections(self) -> ConnectionCounts:
        """How many connections there are now."""
        return ConnectionCounts(self._pool.open, self._pool.idle, self._pool.waiting)

    def begin(self, head: RequestHead, wire: bytes, asker: Asker) -> Connection | None:
        """Send a request at once, `wire` being all of it, where a connection is idle and leads to the upstream itself; else None.

        Where the asker is told to go on it calls `open` with what has begun.
        """
        connection = None if self._proxied else self._pool.take_idle(head.key)
        if connection is not None:
            connection.exchange_known(wire, self._settings.timeouts, asker)
        return connection

    async def open(self, request: UpstreamRequest, begun: Begun | None = None) -> UpstreamResponse:
        """Send a request, unless it has `begun`; the answer's head is there when this returns, the body comes as it is read.

        Cancelling closes the connection at once. A kept-alive connection that turns out closed before any byte of the answer is replaced
        once by a fresh one. Raises UpstreamError; ValueError for a request that is not legal HTTP, before anything is written.
        """
        head = request.head
        timeouts = request.timeouts or self._settings.timeouts
        proxy = self._plain_proxy(head.origin) if self._proxied else None
        wire = rendered_head(request, None if proxy is None else proxy.authorization_lines())
        if begun is None:
            connection = self._pool.take_idle(head.key) or await self._pool.take(head.key, head.origin, timeouts)
            opened = connection.exchange(wire, request.body, timeouts, bodiless=head.method == b"HEAD")
        else:
            connection, opened = begun.connection, begun.opened
        while True:
            try:
                return await opened
            except asyncio.CancelledError:
                connection.abandon(opened)
                raise
            except KeptAliveClosedError:
                # A fresh connection never fails in this way.
                self._pool.counters.replaced += 1
            except UpstreamError as error:
                if begun is None:
                    raise
                # Who began it keeps its future, which keeps what it raises.
                raise error.anew() from None
            finally:
                # It holds what is raised, whose traceback holds us: the collector of cycles, which seldom runs, need not find the request.
                del opened
                begun = None
            connection = await self._pool.take(head.key, head.origin, timeouts, fresh=True)
            opened = connection.exchange(wire, request.body, timeouts, bodiless=head.method == b"HEAD")

    async def close(self) -> None:
        """Close every connection: requests under way end with UpstreamError `BROKEN`, waiting and later ones with `CONNECT_FAILED`."""
        self._pool.close()
        # Transports close their sockets in the loop's next round.
        await asyncio.sleep(0)

    def proxy_authorization(self, origin: Origin) -> Headers:
        """What a proxy on the way is told of us, as a header of each request to `origin`: of https ones it hears that beforehand."""
        proxy = self._plain_proxy(origin)
        return [(b"proxy-authorization", proxy.authorization)] if proxy is not None and proxy.authorization else []

    def _plain_proxy(self, origin: Origin) -> Proxy | None:
        """The proxy that gets the requests themselves, and no tunnel."""
        return None if origin.scheme == "https" else self._settings.proxies.proxy_for(origin)
