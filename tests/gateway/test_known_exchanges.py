"""Requests whose answer is perhaps a known one, on real connections: what an asker is told, and which connections are used again."""

import asyncio
import contextlib
import gc
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import pytest

from keyhouse.domain.address import Origin
from keyhouse.gateway.connection import Connection
from keyhouse.gateway.pool import READ_BUFFER_BYTES, PoolLimits
from keyhouse.gateway.proxy import Proxies, Proxy
from keyhouse.gateway.request import UpstreamRequest, rendered_head
from keyhouse.gateway.response import UpstreamResponse
from keyhouse.gateway.timeouts import Timeouts
from keyhouse.gateway.upstream import Begun, ConnectionCounts, Upstream, UpstreamSettings
from keyhouse.gateway.upstream_error import UpstreamError, UpstreamFailure
from tests.gateway.calls import POST, Call, client, fetched, read
from tests.gateway.conftest import Authority, Run
from tests.gateway.fault_upstream import FaultUpstream, Peer, Script, answering, chunked_response, response
from tests.gateway.test_connection import Exchange
from tests.gateway.test_upstream_storm import unreliable

SHORT_S = 0.03
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
        self.times += 1
        self.lines, self.body = lines, body
        self._tell()

    def go_on(self, opened: "asyncio.Future[UpstreamResponse]") -> None:
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


def timed(**seconds: float) -> UpstreamSettings:
    return UpstreamSettings(timeouts=Timeouts(**seconds))


# Answers


@pytest.mark.parametrize("answer", [KNOWN, response(b""), chunked_response(BODY), response(BODY * 15_000)])
def test_known_answers_take_one_connection_and_nothing_else(run: Run, answer: bytes) -> None:
    async def scenario() -> None:
        async with FaultUpstream(answering(answer)) as server, client() as upstream:
            _, body = await fetched(upstream, server.origin)
            for _ in range(50):
                asked = begin(upstream, server.origin)
                told = await outcome(upstream, server.origin, asked)
                assert told in ({(0, body)} if len(answer) < 1024 else {(0, body), (200, body)})  # the system may cut a large one
            assert (server.connections, len(server.requests)) == (1, 51)
            assert (upstream.counters.opened, upstream.counters.reused) == (1, 50)
            assert upstream.connections() == (ConnectionCounts(1, 1, 0))

    run(scenario())


def test_known_answers_and_others_follow_each_other_on_one_connection(run: Run) -> None:
    others = {
        OTHER: (201, b"other"),
        response(b"no", status=b"500 No"): (500, b"no"),
        chunked_response(b"o", b"k"): (200, b"ok"),
        chunked_response(b"ok", trailers=b"x: y\r\n"): (200, b"ok"),
        b"HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n" + KNOWN: (200, BODY),
        b"HTTP/1.1 204 No Content\r\n\r\n": (204, b""),
        KNOWN.replace(b"req_1", b"req_\xe9"): (200, BODY),
    }

    async def scenario() -> None:
        async def script(peer: Peer) -> None:
            for other in others:
                for answer in (other, KNOWN, KNOWN, other):
                    await peer.request()
                    await peer.send(answer)
            await peer.left()

        async with met(script) as (server, upstream):
            for said in others.values():
                assert await outcome(upstream, server.origin, begin(upstream, server.origin)) == said
                assert await outcome(upstream, server.origin, begin(upstream, server.origin)) == (0, BODY)
                assert await fetched(upstream, server.origin) == (200, BODY)
                assert await outcome(upstream, server.origin, begin(upstream, server.origin)) == said
            assert (server.connections, upstream.connections().idle) == (1, 1)

    run(scenario())


@pytest.mark.parametrize("sealed", [False, True])
def test_an_answer_that_comes_in_two_pieces_is_the_same_wherever_it_is_cut(run: Run, authority: Authority, sealed: bool) -> None:
    async def scenario() -> None:
        read_from = asyncio.Event()

        async def script(peer: Peer) -> None:
            for cut in range(1, len(KNOWN)):
                await peer.request()
                await peer.send(KNOWN[:cut])
                await read_from.wait()
                read_from.clear()
                await peer.send(KNOWN[cut:])
            await answering(KNOWN)(peer)

        async with met(script, sealed_by=authority if sealed else None) as (server, upstream):
            for _ in range(1, len(KNOWN)):
                asked = begin(upstream, server.origin)
                await asked.told
                read_from.set()
                assert await outcome(upstream, server.origin, asked) == (200, BODY)
            for _ in range(3):
                assert await outcome(upstream, server.origin, begin(upstream, server.origin)) == (0, BODY)
            assert server.connections == 1

    run(scenario())


# Connections in doubt


@pytest.mark.parametrize("sealed", [False, True])
@pytest.mark.parametrize("extra", [b"X", b"\r\n", KNOWN, b"HTTP/1.1 500 "])
def test_bytes_that_come_with_a_known_answer_end_its_connection(run: Run, authority: Authority, sealed: bool, extra: bytes) -> None:
    async def scenario() -> None:
        async def script(peer: Peer) -> None:
            await peer.request()
            await peer.send(KNOWN + extra)
            await peer.left()

        async with met(script, sealed_by=authority if sealed else None) as (server, upstream):
            assert await outcome(upstream, server.origin, begin(upstream, server.origin)) == (200, BODY)
            assert upstream.connections() == ConnectionCounts(extra == b"\r\n", extra == b"\r\n", 0)

    run(scenario())


@pytest.mark.parametrize("sealed", [False, True])
@pytest.mark.parametrize("seen", [False, True])
def test_bytes_that_come_after_a_known_answer_are_never_the_next_one(run: Run, authority: Authority, sealed: bool, seen: bool) -> None:
    async def scenario() -> None:
        answered, sent = asyncio.Event(), asyncio.Event()

        async def script(peer: Peer) -> None:
            await answered.wait()
            peer.writer.write(KNOWN)
            sent.set()
            await peer.left()

        async with met(script, sealed_by=authority if sealed else None) as (server, upstream):
            answered.set()
            await sent.wait()
            if seen:
                await closed(upstream)
            request = POST.to(server.origin)
            assert upstream.begin(request.head, rendered_head(request), Asked(asyncio.get_running_loop().create_future())) is None
            assert upstream.connections().open == 0

    run(scenario())


@pytest.mark.parametrize("more", [-1, 0])
def test_what_fills_the_buffer_is_no_known_answer(more: int) -> None:
    """TLS may hold more that has come, which shows neither in the socket nor in the buffer; an asker may send at once when it is told."""

    async def scenario() -> None:
        exchange = Exchange()
        exchange.feed(KNOWN)
        assert exchange.pool.take_idle("k") is exchange.connection
        size = READ_BUFFER_BYTES + more
        answer = response(b"x" * (size - len(response(b"")) - len("262100") + 1))
        asked = Asked(asyncio.get_running_loop().create_future())
        exchange.connection.exchange_known(b"", Timeouts(), asked)
        exchange.feed(answer)
        assert len(answer) == size
        assert (asked.body is None, asked.opened is None) == ((False, True) if more else (True, False))
        assert exchange.kept()

    asyncio.run(scenario())


@pytest.mark.parametrize("answer", [KNOWN.replace(b"\r\n\r\n", b"\r\nconnection: close\r\n\r\n"), KNOWN.replace(b"1.1", b"1.0")])
def test_an_answer_that_ends_its_connection_is_no_known_one(run: Run, answer: bytes) -> None:
    async def scenario() -> None:
        async def script(peer: Peer) -> None:
            await peer.request()
            await peer.send(answer)
            await peer.left()

        async with met(script) as (server, upstream):
            assert await outcome(upstream, server.origin, begin(upstream, server.origin)) == (200, BODY)
            assert upstream.connections().open == 0

    run(scenario())


@pytest.mark.parametrize("by_reset", [False, True])
@pytest.mark.parametrize("sealed", [False, True])
@pytest.mark.parametrize("twice", [False, True])
def test_a_connection_closed_before_the_answer_is_replaced_once(
    run: Run, authority: Authority, by_reset: bool, twice: bool, sealed: bool
) -> None:
    async def scenario() -> None:
        async def script(peer: Peer) -> None:
            await peer.request()
            if peer.number == 1 and not twice:
                await peer.send(OTHER)
                await peer.left()
            elif by_reset:
                peer.reset()

        async with met(script, sealed_by=authority if sealed else None) as (server, upstream):
            asked = begin(upstream, server.origin)
            if twice:
                assert await failed(upstream, server.origin, asked) is UpstreamFailure.BROKEN
            else:
                assert await outcome(upstream, server.origin, asked) == (201, b"other")
            assert (server.connections, len(server.requests), upstream.counters.replaced) == (2, 4, 1)

    run(scenario())


@pytest.mark.parametrize("by_reset", [False, True])
def test_an_answer_that_breaks_off_anywhere_is_told_and_not_asked_for_again(run: Run, by_reset: bool) -> None:
    async def scenario() -> None:
        for cut in range(1, len(KNOWN), 7):
            read_from = asyncio.Event()

            async def script(peer: Peer, cut: int = cut, read_from: asyncio.Event = read_from) -> None:
                await peer.request()
                await peer.send(KNOWN[:cut])
                await read_from.wait()
                if by_reset:
                    peer.reset()

            async with met(script) as (server, upstream):
                asked = begin(upstream, server.origin)
                await asked.told
                read_from.set()
                assert await failed(upstream, server.origin, asked) is UpstreamFailure.BROKEN
                assert (server.connections, len(server.requests)) == (1, 3)

    run(scenario())


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
        async with met(script, timed(first_byte_s=first_byte_s, idle_s=SHORT_S)) as (server, upstream):
            assert await failed(upstream, server.origin, begin(upstream, server.origin)) is kind
            assert upstream.counters.replaced == 0

    run(scenario())


def test_a_connection_rests_after_a_known_answer_as_long_as_after_others(run: Run) -> None:
    async def scenario() -> None:
        left = asyncio.Event()

        async def script(peer: Peer) -> None:
            await peer.left()
            left.set()

        async with met(script, UpstreamSettings(limits=PoolLimits(idle_s=SHORT_S), timeouts=Timeouts(first_byte_s=60))) as (_, upstream):
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
        proxies = Proxies(http=Proxy("127.0.0.1", server.port))
        async with FaultUpstream(answering(KNOWN)) as server, client(UpstreamSettings(proxies=proxies)) as upstream:
            assert upstream.begin(POST.to(server.origin).head, b"", first) is None

    run(scenario())


# Everything at once


async def one_call(upstream: Upstream, origin: Origin, body: bytes, dice: random.Random) -> str:
    """A call that takes an idle connection at once where there is one, and perhaps leaves."""
    request = Call(body=body).to(origin)
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
    async def scenario() -> None:
        dice = random.Random(seed)
        settings = UpstreamSettings(timeouts=Timeouts(connect_s=10, pool_s=20), limits=PoolLimits(per_origin=6, total=10))
        async with FaultUpstream(unreliable(dice)) as one, FaultUpstream(unreliable(dice)) as other, client(settings) as upstream:
            outcomes: set[str] = set()

            async def caller(name: int) -> None:
                for number in range(25):
                    body = b"request %d of caller %d;" % (number, name) * dice.choice((1, 1, 1, 2000))
                    call = asyncio.create_task(one_call(upstream, dice.choice((one, other)).origin, body, dice))
                    if dice.randrange(6) == 0:
                        for _ in range(dice.randrange(20)):
                            await asyncio.sleep(0)
                        call.cancel()
                    outcome = (await asyncio.gather(call, return_exceptions=True))[0]
                    assert isinstance(outcome, str | UpstreamError | asyncio.CancelledError), outcome
                    outcomes.add(outcome if isinstance(outcome, str) else type(outcome).__name__)

            await asyncio.gather(*(caller(name) for name in range(12)))
            assert outcomes == {"known", "answered", "left", "UpstreamError", "CancelledError"}
            now = upstream.connections()
            assert (now.open, now.waiting) == (now.idle, 0)

    run(scenario())


# What is left


@pytest.mark.usefixtures("uncollected")
@pytest.mark.parametrize("said", [KNOWN, OTHER, KNOWN[:-1], KNOWN[:9], b"junk\r\n\r\n", b""])
@pytest.mark.parametrize("leaves", [False, True])
def test_nothing_of_a_request_is_left_for_the_collector_of_cycles(run: Run, said: bytes, leaves: bool) -> None:
    async def scenario() -> None:
        async def script(peer: Peer) -> None:
            await peer.request()
            await peer.send(said)
            if leaves:
                await peer.left()

        kinds: tuple[type, ...] = (Asked, Connection, UpstreamResponse, UpstreamRequest)
        before = alive(*kinds)
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
            del asked
        await closed(upstream)
        for _ in range(3):
            await asyncio.sleep(0)
        assert alive(*kinds) == before

    run(scenario())


def alive(*kinds: type) -> int:
    return sum(type(each) in kinds for each in gc.get_objects())
