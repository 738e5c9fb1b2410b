"""How the tests call an upstream through the client, in one line."""

import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace

from keyhouse.domain.address import Origin
from keyhouse.gateway.request import Headers, UpstreamRequest, request_head
from keyhouse.gateway.response import UpstreamResponse
from keyhouse.gateway.timeouts import Timeouts
from keyhouse.gateway.upstream import Upstream, UpstreamSettings


@dataclass(frozen=True, slots=True)
class Call:
    """A call as a test writes it."""

    method: bytes = b"POST"
    path: bytes = b"/v1/chat"
    body: bytes = b"{}"
    headers: Headers = ()
    timeouts: Timeouts | None = None

    def to(self, origin: Origin) -> UpstreamRequest:
        """The request to an origin."""
        head = request_head(self.method, origin, self.path, self.headers)
        return UpstreamRequest(head, self.body, timeouts=self.timeouts)


POST = Call()
GET = Call(b"GET", body=b"")
HEAD = Call(b"HEAD", body=b"")


def within(seconds: float = 0.05, call: Call = POST) -> Call:
    """The call with each time-out this short."""
    return replace(call, timeouts=Timeouts(seconds, seconds, seconds, seconds))


async def read(response: UpstreamResponse) -> bytes:
    """The whole body."""
    return await response.body.at_most(sys.maxsize)


async def fetched(upstream: Upstream, origin: Origin, call: Call = POST) -> tuple[int, bytes]:
    """Status and body of one call."""
    response = await upstream.open(call.to(origin))
    return response.status, await read(response)


@asynccontextmanager
async def client(settings: UpstreamSettings | None = None) -> AsyncIterator[Upstream]:
    """A client that is closed at the end."""
    upstream = Upstream(settings)
    try:
        yield upstream
    finally:
        await upstream.close()
