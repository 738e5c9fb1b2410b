"""How the tests send a request whose answer is perhaps a known one, and what they are told of it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import pytest

from keyhouse.domain.address import Origin
from keyhouse.gateway.connection import Connection
from keyhouse.gateway.request import rendered_head
from keyhouse.gateway.response import UpstreamResponse
from keyhouse.gateway.upstream import Begun, Upstream, UpstreamSettings
from keyhouse.gateway.upstream_error import UpstreamError, UpstreamFailure
from tests.gateway.calls import POST, client, fetched, read
from tests.gateway.conftest import Authority
from tests.gateway.fault_upstream import FaultUpstream, Peer, Script, response

BODY = b'{"known": 1}'
KNOWN = response(BODY, headers=b"content-type: application/json\r\nx-request-id: req_1\r\n")
OTHER = b"HTTP/1.1 201 Created\r\ncontent-length: 5\r\n\r\nother"


@dataclass(eq=False)
class Asked:
    """An asker that notes what it is told, and in a future that it is; `abandons` when told to go on."""

    told: "asyncio.Future[None]"
    abandons: bool = False
    lines: bytes = b""
    body: bytes | None = None
    opened: "asyncio.Future[UpstreamResponse] | None" = None
    connection: Connection | None = None
    times: int = 0

    def answered(self, lines: bytes, body: bytes) -> None:
        """See Asker."""
        self.times += 1
        self.lines, self.body = lines, body
        self._tell()

    def go_on(self, opened: "asyncio.Future[UpstreamResponse]") -> None:
        """See Asker."""
        self.times += 1
        self.opened = opened
        if self.abandons and self.connection is not None:
            self.connection.abandon(opened)
        self._tell()

    def _tell(self) -> None:
        if not self.told.cancelled():
            self.told.set_result(None)


def begin(upstream: Upstream, origin: Origin, *, abandons: bool = False) -> Asked:
    """Send a request on the idle connection that there must be."""
    asked = Asked(asyncio.get_running_loop().create_future(), abandons)
    request = POST.to(origin)
    asked.connection = upstream.begin(request.head, rendered_head(request) + request.body, asked)
    assert asked.connection is not None
    return asked


async def outcome(upstream: Upstream, origin: Origin, asked: Asked) -> tuple[int, bytes]:
    """Status and body of the answer, however it is told; 0 for a known one."""
    await asked.told
    assert asked.times == 1
    if asked.body is not None:
        return 0, asked.body
    answer = await upstream.open(POST.to(origin), begun_of(asked))
    return answer.status, await read(answer)


def begun_of(asked: Asked) -> Begun:
    """What it was told of, to go on with."""
    assert asked.connection is not None
    assert asked.opened is not None
    return Begun(asked.connection, asked.opened)


async def failed(upstream: Upstream, origin: Origin, asked: Asked) -> UpstreamFailure:
    """How it ends; nothing of it is left open."""
    with pytest.raises(UpstreamError) as caught:
        await outcome(upstream, origin, asked)
    assert caught.value.request_sent
    assert upstream.connections().open == 0
    return caught.value.kind


@asynccontextmanager
async def met(
    script: Script, settings: UpstreamSettings | None = None, sealed_by: Authority | None = None
) -> AsyncIterator[tuple[FaultUpstream, Upstream]]:
    """An upstream whose first connection has brought an answer that is known now, and follows the script from then on."""

    async def whole(peer: Peer) -> None:
        if peer.number == 0:
            for _ in range(2):
                await peer.request()
                await peer.send(KNOWN)
        await script(peer)

    tls = None if sealed_by is None else sealed_by.server_context("127.0.0.1")
    settings = settings if sealed_by is None else UpstreamSettings(ca_file=str(sealed_by.ca_file))
    async with FaultUpstream(whole, tls) as server, client(settings) as upstream:
        await fetched(upstream, server.origin)
        assert await outcome(upstream, server.origin, begin(upstream, server.origin)) == (0, BODY)
        yield server, upstream
    pool = upstream._pool
    assert (pool.open, pool._lanes, pool._lanes_with_idle, pool._lanes_with_waiting) == (0, {}, {}, {})


async def closed(upstream: Upstream) -> None:
    """Wait until no connection is open; a test that hangs fails."""
    while upstream.connections().open:
        await asyncio.sleep(0)
