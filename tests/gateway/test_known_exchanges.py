"""Answers on real connections, known ones and others: what an asker is told, and which connections are used again."""

import asyncio

import pytest

from keyhouse.gateway.pool import READ_BUFFER_BYTES
from keyhouse.gateway.request import rendered_head
from keyhouse.gateway.timeouts import Timeouts
from keyhouse.gateway.upstream import ConnectionCounts
from keyhouse.gateway.upstream_error import UpstreamFailure
from tests.gateway.askers import BODY, KNOWN, OTHER, Asked, begin, closed, failed, met, outcome
from tests.gateway.calls import POST, client, fetched
from tests.gateway.conftest import Authority, Run
from tests.gateway.fault_upstream import FaultUpstream, Peer, answering, chunked_response, response
from tests.gateway.test_connection import Exchange

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
