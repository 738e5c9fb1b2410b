"""Connections: how many are opened, which are used again, who waits, and which are never handed out."""

import asyncio

import pytest

from keyhouse.gateway.pool import PoolLimits
from keyhouse.gateway.timeouts import Timeouts
from keyhouse.gateway.upstream import Upstream, UpstreamSettings
from keyhouse.gateway.upstream_error import UpstreamError, UpstreamFailure
from tests.gateway.calls import GET, HEAD, POST, Call, client, fetched, read
from tests.gateway.conftest import Run
from tests.gateway.fault_upstream import FaultUpstream, Peer, Script, answering, answering_once, chunked_response, response


def limited(**limits: float) -> UpstreamSettings:
    return UpstreamSettings(limits=PoolLimits(**limits))


def held(gate: asyncio.Event) -> Script:
    """Answers every request, but only when the gate is open."""

    async def script(peer: Peer) -> None:
        while True:
            await peer.request()
            await gate.wait()
            await peer.send(response(b"%d" % peer.number))

    return script


@pytest.mark.parametrize("answer", [response(b"hello"), chunked_response(b"hel", b"lo"), chunked_response(b"hello", trailers=b"x: y\r\n")])
def test_a_thousand_requests_in_turn_take_one_connection(run: Run, answer: bytes) -> None:
    async def scenario() -> None:
        async with FaultUpstream(answering(answer)) as server, client() as upstream:
            for _ in range(1000):
                assert await fetched(upstream, server.origin) == (200, b"hello")
            assert (server.connections, len(server.requests)) == (1, 1000)
            assert (upstream.counters.opened, upstream.counters.reused) == (1, 999)
            assert upstream.connections().idle == 1

    run(scenario())


def test_a_thousand_requests_by_sixteen_callers_take_at_most_sixteen_connections(run: Run) -> None:
    async def scenario() -> None:
        async with FaultUpstream(answering(response())) as server, client() as upstream:

            async def caller() -> None:
                for _ in range(63):
                    assert await fetched(upstream, server.origin) == (200, b"ok")

            await asyncio.gather(*(caller() for _ in range(16)))
            assert server.connections == upstream.counters.opened <= 16

    run(scenario())


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 2\r\n\r\nok",
        b"HTTP/1.0 200 OK\r\ncontent-length: 2\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\nconnection: close\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
    ],
)
def test_an_answer_that_announces_the_end_of_its_connection_ends_it(run: Run, answer: bytes) -> None:
    async def scenario() -> None:
        async with FaultUpstream(answering(answer)) as server, client() as upstream:
            for _ in range(3):
                assert await fetched(upstream, server.origin) == (200, b"ok")
            assert server.connections == 3
            assert upstream.connections().open == 0

    run(scenario())


def test_an_old_upstream_that_asks_for_it_keeps_its_connection(run: Run) -> None:
    answer = b"HTTP/1.0 200 OK\r\nconnection: keep-alive\r\ncontent-length: 2\r\n\r\nok"

    async def scenario() -> None:
        async with FaultUpstream(answering(answer)) as server, client() as upstream:
            for _ in range(3):
                await fetched(upstream, server.origin)
            assert server.connections == 1

    run(scenario())


def test_an_unread_body_does_not_hold_its_connection(run: Run) -> None:
    async def scenario() -> None:
        async with FaultUpstream(answering(response(b"x" * 1000))) as server, client() as upstream:
            unread = await upstream.open(POST.to(server.origin))
            while not unread.body.ended:
                await asyncio.sleep(0)
            assert await fetched(upstream, server.origin) == (200, b"x" * 1000)
            assert server.connections == 1
            assert await read(unread) == b"x" * 1000

    run(scenario())


def test_each_origin_has_connections_of_its_own(run: Run) -> None:
    async def scenario() -> None:
        async with (
            FaultUpstream(answering(response(b"a"))) as first,
            FaultUpstream(answering(response(b"b"))) as second,
            client() as upstream,
        ):
            for _ in range(3):
                assert await fetched(upstream, first.origin) == (200, b"a")
                assert await fetched(upstream, second.origin) == (200, b"b")
            assert (first.connections, second.connections) == (1, 1)

    run(scenario())


# Kept-alive connections that turn out closed


def closing_after(answers: int, gate: asyncio.Event) -> Script:
    """Answers so many requests on each connection, then reads one more and closes without an answer; later connections answer all."""

    async def script(peer: Peer) -> None:
        for _ in range(answers if peer.number == 0 else 1000):
            await peer.request()
            await peer.send(response(b"%d" % peer.number))
        await peer.request()
        gate.set()

    return script


def test_a_kept_alive_connection_closed_under_a_request_is_replaced_once(run: Run) -> None:
    async def scenario() -> None:
        gate = asyncio.Event()
        async with FaultUpstream(closing_after(1, gate)) as server, client() as upstream:
            assert await fetched(upstream, server.origin) == (200, b"0")
            assert await fetched(upstream, server.origin) == (200, b"1")
            assert gate.is_set()
            assert [received.body for received in server.requests] == [b"{}"] * 3
            assert upstream.counters.replaced == 1

    run(scenario())


def test_a_large_body_is_sent_again_whole_on_the_fresh_connection(run: Run) -> None:
    body = bytes(range(256)) * 4096

    async def scenario() -> None:
        async with FaultUpstream(closing_after(1, asyncio.Event())) as server, client() as upstream:
            await fetched(upstream, server.origin)
            assert await fetched(upstream, server.origin, Call(body=body)) == (200, b"1")
            assert server.requests[-1].body == body

    run(scenario())


def test_a_fresh_connection_that_breaks_is_not_replaced(run: Run) -> None:
    async def scenario() -> None:
        async def script(peer: Peer) -> None:
            await peer.request()

        async with FaultUpstream(script) as server, client() as upstream:
            with pytest.raises(UpstreamError) as caught:
                await fetched(upstream, server.origin)
            assert (caught.value.kind, caught.value.request_sent) == (UpstreamFailure.BROKEN, True)
            assert len(server.requests) == 1

    run(scenario())


def test_the_replacement_that_breaks_is_not_replaced_again(run: Run) -> None:
    async def scenario() -> None:
        async def script(peer: Peer) -> None:
            if peer.number == 0:
                await peer.request()
                await peer.send(response())
            await peer.request()

        async with FaultUpstream(script) as server, client() as upstream:
            await fetched(upstream, server.origin)
            with pytest.raises(UpstreamError) as caught:
                await fetched(upstream, server.origin)
            assert caught.value.kind is UpstreamFailure.BROKEN
            assert len(server.requests) == 3

    run(scenario())


def test_the_replacement_is_a_fresh_connection_and_not_another_old_one(run: Run) -> None:
    async def scenario() -> None:
        both = asyncio.Barrier(2)

        async def script(peer: Peer) -> None:
            await peer.request()
            if peer.number < 2:
                await both.wait()
            await peer.send(response(b"%d" % peer.number))
            await peer.request()

        async with FaultUpstream(script) as server, client() as upstream:
            await asyncio.gather(*(fetched(upstream, server.origin) for _ in range(2)))
            assert upstream.connections().idle == 2
            assert await fetched(upstream, server.origin) == (200, b"2")

    run(scenario())


def test_one_byte_of_an_answer_forbids_the_replacement(run: Run) -> None:
    async def scenario() -> None:
        async def script(peer: Peer) -> None:
            await peer.request()
            await peer.send(response())
            await peer.request()
            await peer.send(b"H")

        async with FaultUpstream(script) as server, client() as upstream:
            await fetched(upstream, server.origin)
            with pytest.raises(UpstreamError) as caught:
                await fetched(upstream, server.origin)
            assert caught.value.kind is UpstreamFailure.BROKEN
            assert len(server.requests) == 2

    run(scenario())


def test_a_connection_closed_while_idle_is_forgotten_at_once(run: Run) -> None:
    async def scenario() -> None:
        async with FaultUpstream(answering_once(response())) as server, client() as upstream:
            await fetched(upstream, server.origin)
            while upstream.connections().open:
                await asyncio.sleep(0)
            await fetched(upstream, server.origin)
            assert (server.connections, upstream.counters.replaced) == (2, 0)

    run(scenario())


def test_a_connection_closed_before_the_loop_has_looked_is_not_handed_out(run: Run) -> None:
    """The upstream's end lies in the socket, unread, when the next request looks for a connection."""

    async def scenario() -> None:
        closing = asyncio.Event()

        async def script(peer: Peer) -> None:
            await peer.request()
            await peer.send(response())
            peer.writer.write_eof()
            closing.set()
            await peer.left()

        async with FaultUpstream(script) as server, client() as upstream:
            await fetched(upstream, server.origin)
            await closing.wait()
            await fetched(upstream, server.origin)
            assert server.connections == 2
            assert [received.line for received in server.requests] == [b"POST /v1/chat HTTP/1.1"] * 2

    run(scenario())


# Bytes that nobody asked for


@pytest.mark.parametrize("extra", [b"X", b"HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\npoison", b"HTTP/1.1 500 ", b"\r\nX", b"0\r\n\r\n"])
@pytest.mark.parametrize("apart", [False, True])
def test_bytes_after_an_answer_never_become_the_next_one(run: Run, extra: bytes, apart: bool) -> None:
    async def scenario() -> None:
        async def script(peer: Peer) -> None:
            await peer.request()
            await peer.send(*((response(), extra) if apart else (response() + extra,)))
            await peer.left()

        async with FaultUpstream(script) as server, client() as upstream:
            for _ in range(5):
                assert await fetched(upstream, server.origin) == (200, b"ok")
                while upstream.connections().open:
                    await asyncio.sleep(0)
            assert server.connections == 5

    run(scenario())


def test_bytes_that_arrive_between_two_requests_close_the_connection_unread(run: Run) -> None:
    """They lie in the socket when the next request takes a connection, and the loop has not seen them."""

    async def scenario() -> None:
        async def script(peer: Peer) -> None:
            await peer.request()
            await peer.send(response())
            if peer.number == 0:
                peer.writer.write(response(b"poison"))
            await peer.request()
            await peer.send(response())

        async with FaultUpstream(script) as server, client() as upstream:
            answer = await upstream.open(POST.to(server.origin))
            assert await read(answer) == b"ok"
            assert await fetched(upstream, server.origin) == (200, b"ok")

    run(scenario())


def test_a_head_request_leaves_no_connection_that_expects_a_body(run: Run) -> None:
    async def scenario() -> None:
        async with FaultUpstream(answering(b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n")) as server, client() as upstream:
            for _ in range(2):
                answer = await upstream.open(HEAD.to(server.origin))
                assert (answer.status, answer.headers, await read(answer)) == (200, [(b"content-length", b"5")], b"")
        async with FaultUpstream(answering(response(b"hello"))) as server, client() as upstream:
            assert await fetched(upstream, server.origin, HEAD) == (200, b"")
            assert await fetched(upstream, server.origin, GET) == (200, b"hello")

    run(scenario())


# The end


def test_closing_the_client_ends_requests_under_way_and_waiting(run: Run) -> None:
    async def scenario() -> None:
        async with FaultUpstream(held(asyncio.Event())) as server:
            upstream = Upstream(limited(per_origin=1))
            tasks = [asyncio.create_task(fetched(upstream, server.origin)) for _ in range(2)]
            while not (server.requests and upstream.connections().waiting):
                await asyncio.sleep(0)
            await upstream.close()
            errors = [error for error in await asyncio.gather(*tasks, return_exceptions=True) if isinstance(error, UpstreamError)]
            assert [error.kind for error in errors] == [UpstreamFailure.BROKEN, UpstreamFailure.CONNECT_FAILED]
            assert [error.request_sent for error in errors] == [True, False]
            with pytest.raises(UpstreamError) as caught:
                await fetched(upstream, server.origin)
            assert caught.value.kind is UpstreamFailure.CONNECT_FAILED
            assert upstream.connections().open == 0

    run(scenario())


def test_a_client_made_outside_a_loop_works_inside_one(run: Run) -> None:
    upstream = Upstream(UpstreamSettings(timeouts=Timeouts(connect_s=5)))

    async def scenario() -> None:
        async with FaultUpstream(answering(response())) as server:
            assert await fetched(upstream, server.origin) == (200, b"ok")
            await upstream.close()

    run(scenario())
