"""How requests end whose answer is perhaps a known one: late, left, closed, or all at once, with nothing left of them."""

import asyncio
import contextlib
import gc
import random
from dataclasses import dataclass

import pytest

from keyhouse.gateway.connection import Connection
from keyhouse.gateway.pool import PoolLimits
from keyhouse.gateway.proxy import Proxies, Proxy
from keyhouse.gateway.request import UpstreamRequest, rendered_head
from keyhouse.gateway.response import UpstreamResponse
from keyhouse.gateway.timeouts import Timeouts
from keyhouse.gateway.upstream import ConnectionCounts, Upstream, UpstreamSettings
from keyhouse.gateway.upstream_error import UpstreamError, UpstreamFailure
from tests.gateway.askers import BODY, KNOWN, OTHER, Asked, begin, begun_of, closed, failed, met, outcome
from tests.gateway.calls import POST, Call, client, fetched, read
from tests.gateway.conftest import Run
from tests.gateway.fault_upstream import FaultUpstream, Peer, answering
from tests.gateway.test_upstream_storm import storm

SHORT_S = 0.03


# Time-outs


@pytest.mark.parametrize(
    ("said", "kind"),
    [
        (b"", UpstreamFailure.FIRST_BYTE_TIMEOUT),
        (KNOWN[:9], UpstreamFailure.FIRST_BYTE_TIMEOUT),
        (b"HTTP/1.1 100 Continue\r\n\r\n", UpstreamFailure.FIRST_BYTE_TIMEOUT),
        (KNOWN[:-1], UpstreamFailure.IDLE_TIMEOUT),
    ],
)
def test_an_answer_that_does_not_come_in_time_is_told(run: Run, said: bytes, kind: UpstreamFailure) -> None:
    async def scenario() -> None:
        async def script(peer: Peer) -> None:
            await peer.request()
            await peer.send(said)
            await peer.left()

        first_byte_s = SHORT_S if kind is UpstreamFailure.FIRST_BYTE_TIMEOUT else 60
        async with met(script) as (server, upstream):
            # Not before: what made the answer known may take longer.
            upstream._settings = UpstreamSettings(timeouts=Timeouts(first_byte_s=first_byte_s, idle_s=SHORT_S))
            assert await failed(upstream, server.origin, begin(upstream, server.origin)) is kind
            assert upstream.counters.replaced == 0

    run(scenario())


def test_a_connection_rests_after_a_known_answer_as_long_as_after_others(run: Run) -> None:
    async def scenario() -> None:
        left = asyncio.Event()

        async def script(peer: Peer) -> None:
            await peer.left()
            left.set()

        async with met(script, UpstreamSettings(limits=PoolLimits(idle_s=0.2), timeouts=Timeouts(first_byte_s=60))) as (_, upstream):
            await left.wait()
            await closed(upstream)

    run(scenario())


# Who leaves


@dataclass
class Leaving:
    """What an upstream says before its caller leaves, and whether the connection is good for another then."""

    said: bytes
    kept: bool = False
    in_go_on: bool = False


LEAVINGS = {
    "before a byte": Leaving(b""),
    "in the head": Leaving(KNOWN[:9]),
    "in the head, when told of it": Leaving(KNOWN[:9], in_go_on=True),
    "in the body": Leaving(KNOWN[:-1]),
    "in the body, when told of it": Leaving(KNOWN[:-1], in_go_on=True),
    "at the end": Leaving(OTHER, kept=True),
    "at the end, when told of it": Leaving(OTHER, in_go_on=True),
}


@pytest.mark.parametrize("name", LEAVINGS)
def test_who_leaves_closes_the_connection_unless_the_answer_was_whole(run: Run, name: str) -> None:
    leaving = LEAVINGS[name]

    async def scenario() -> None:
        left = asyncio.Event()

        async def script(peer: Peer) -> None:
            await peer.request()
            await peer.send(leaving.said)
            await peer.left()
            left.set()

        async with met(script) as (server, upstream):
            asked = begin(upstream, server.origin, abandons=leaving.in_go_on)
            connection = asked.connection
            assert connection is not None
            if leaving.said:
                await asked.told
            if not leaving.in_go_on:
                connection.abandon(asked.opened)
            assert upstream.connections() == ConnectionCounts(leaving.kept, leaving.kept, 0)
            if not leaving.kept:
                await left.wait()
            assert asked.times == bool(leaving.said)

    run(scenario())


def test_who_is_cancelled_while_the_answer_comes_closes_the_connection(run: Run) -> None:
    async def scenario() -> None:
        left = asyncio.Event()

        async def script(peer: Peer) -> None:
            await peer.request()
            await peer.send(KNOWN[:9])
            await peer.left()
            left.set()

        async with met(script) as (server, upstream):
            asked = begin(upstream, server.origin)
            await asked.told
            task = asyncio.create_task(upstream.open(POST.to(server.origin), begun_of(asked)))
            await asyncio.sleep(0)
            task.cancel()
            await asyncio.wait([task])
            assert task.cancelled()
            assert upstream.connections().open == 0
            await left.wait()

    run(scenario())


@pytest.mark.parametrize("said", [b"", KNOWN[:9], KNOWN[:-1]])
def test_closing_the_client_ends_a_request_that_waits(run: Run, said: bytes) -> None:
    async def scenario() -> None:
        async def script(peer: Peer) -> None:
            await peer.request()
            await peer.send(said)
            await peer.left()

        async with met(script) as (server, upstream):
            asked = begin(upstream, server.origin)
            if said:
                await asked.told
            await upstream.close()
            assert await failed(upstream, server.origin, asked) is UpstreamFailure.BROKEN

    run(scenario())


def test_a_request_that_waits_for_a_place_gets_the_connection_of_a_known_answer(run: Run) -> None:
    async def scenario() -> None:
        gate = asyncio.Event()

        async def script(peer: Peer) -> None:
            await peer.request()
            await gate.wait()
            await peer.send(KNOWN)
            await answering(OTHER)(peer)

        async with met(script, UpstreamSettings(limits=PoolLimits(per_origin=1))) as (server, upstream):
            asked = begin(upstream, server.origin)
            waiting = asyncio.create_task(fetched(upstream, server.origin))
            while not upstream.connections().waiting:
                await asyncio.sleep(0)
            gate.set()
            assert await outcome(upstream, server.origin, asked) == (0, BODY)
            assert await waiting == (201, b"other")
            assert (server.connections, upstream.connections()) == (1, ConnectionCounts(1, 1, 0))

    run(scenario())


def test_an_asker_may_send_the_next_request_as_soon_as_it_is_told(run: Run) -> None:
    """On the connection that has just brought its answer."""

    async def scenario() -> None:
        async with met(answering(KNOWN)) as (server, upstream):
            done = asyncio.get_running_loop().create_future()

            class Chain(Asked):
                def answered(self, lines: bytes, body: bytes) -> None:
                    self.times += 1
                    if self.times == 20:
                        done.set_result(None)
                    else:
                        assert upstream.begin(request.head, rendered_head(request) + request.body, self) is not None

            request = POST.to(server.origin)
            chain = Chain(done)
            assert upstream.begin(request.head, rendered_head(request) + request.body, chain) is not None
            await done
            assert (server.connections, len(server.requests), upstream.connections().idle) == (1, 22, 1)

    run(scenario())


def test_a_request_begins_only_where_a_connection_is_idle_and_leads_to_the_upstream_itself(run: Run) -> None:
    async def scenario() -> None:
        gate = asyncio.Event()

        async def script(peer: Peer) -> None:
            await peer.request()
            await gate.wait()
            await peer.send(KNOWN)
            await peer.left()

        async with met(script) as (server, upstream):
            request = POST.to(server.origin)
            first = begin(upstream, server.origin)
            assert upstream.begin(request.head, rendered_head(request), first) is None
            gate.set()
            assert await outcome(upstream, server.origin, first) == (0, BODY)
        async with FaultUpstream(answering(KNOWN)) as proxy:
            proxies = Proxies(http=Proxy("127.0.0.1", proxy.port))
            async with client(UpstreamSettings(proxies=proxies)) as upstream:
                assert await fetched(upstream, server.origin) == (200, BODY)
                assert upstream.connections().idle == 1
                assert upstream.begin(POST.to(server.origin).head, b"", first) is None

    run(scenario())


# Everything at once


async def one_call(upstream: Upstream, server: FaultUpstream, body: bytes, dice: random.Random) -> str:
    """A call that takes an idle connection at once where there is one, and perhaps leaves."""
    request = Call(body=body).to(server.origin)
    asked = Asked(asyncio.get_running_loop().create_future(), abandons=dice.randrange(6) == 0)
    asked.connection = connection = upstream.begin(request.head, rendered_head(request) + body, asked)
    begun = None
    if connection is not None:
        try:
            await asked.told
        except asyncio.CancelledError:
            # Nothing was told, or there is a future that tells the rest.
            if asked.body is None:
                connection.abandon(asked.opened)
            raise
        if asked.body is not None:
            assert asked.body in (body, body[:-1])
            return "known"
        if asked.abandons:
            return "left"
        begun = begun_of(asked)
    answer = await upstream.open(request, begun)
    try:
        assert await read(answer) in (body, body[:-1])
    finally:
        answer.close()
    return "answered"


@pytest.mark.parametrize("seed", range(2))
def test_no_caller_ever_gets_another_ones_answer(run: Run, seed: int) -> None:
    outcomes = run(storm(random.Random(seed), one_call, callers=12, times=(1, 1, 1, 2000)))
    assert outcomes == {"known", "answered", "left", "UpstreamError", "CancelledError"}


# What is left


@pytest.mark.usefixtures("uncollected")
@pytest.mark.parametrize("leaves", [False, True])
def test_nothing_of_a_request_is_left_for_the_collector_of_cycles(run: Run, leaves: bool) -> None:
    async def scenario(said: bytes) -> None:
        async def script(peer: Peer) -> None:
            await peer.request()
            await peer.send(said)
            if leaves:
                await peer.left()

        async with met(script) as (server, upstream):
            asked = begin(upstream, server.origin)
            if leaves:
                if said:
                    await asked.told
                if asked.body is None and asked.connection is not None:
                    asked.connection.abandon(asked.opened)
                asked.opened = None
            else:
                with contextlib.suppress(UpstreamError):
                    await outcome(upstream, server.origin, asked)

    async def scenarios() -> None:
        for said in (KNOWN, OTHER, KNOWN[:-1], KNOWN[:9], b"junk\r\n\r\n", b""):
            await scenario(said)
        for _ in range(3):
            await asyncio.sleep(0)

    kinds = (Asked, Connection, UpstreamResponse, UpstreamRequest)
    before = alive(*kinds)
    run(scenarios())
    assert alive(*kinds) == before


def alive(*kinds: type) -> int:
    return sum(type(each) in kinds for each in gc.get_objects())
