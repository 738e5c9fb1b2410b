"""Time-outs: each part of a call has its own, and its own error."""

import asyncio
import socket
from dataclasses import replace

import pytest

from keyhouse.domain.address import Origin
from keyhouse.gateway.response import HIGH_WATER_BYTES
from keyhouse.gateway.timeouts import Timeouts
from keyhouse.gateway.upstream_error import UpstreamError, UpstreamFailure
from tests.gateway.calls import POST, Call, client, fetched, read
from tests.gateway.conftest import Run
from tests.gateway.fault_upstream import FaultUpstream, Peer, answering, response

SHORT_S = 0.03
CHUNKED_HEAD = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"


def limits(call: Call = POST, **seconds: float) -> Call:
    return replace(call, timeouts=Timeouts(**seconds))


def test_an_upstream_that_never_answers_is_left_after_the_first_byte_time(run: Run) -> None:
    async def scenario() -> None:
        left = asyncio.Event()

        async def script(peer: Peer) -> None:
            await peer.left()
            left.set()

        async with FaultUpstream(script) as server, client() as upstream:
            with pytest.raises(UpstreamError) as caught:
                await fetched(upstream, server.origin, limits(first_byte_s=SHORT_S))
            error = caught.value
            assert (error.kind, error.request_sent) == (UpstreamFailure.FIRST_BYTE_TIMEOUT, True)
            await left.wait()

    run(scenario())


@pytest.mark.parametrize("start", [b"HTTP/1.1 200 OK\r\nx-a: ", b"HTTP/1.1 100 Continue\r\n\r\n"])
def test_neither_half_a_head_nor_1xx_answers_extend_it(run: Run, start: bytes) -> None:
    async def scenario() -> None:
        async def script(peer: Peer) -> None:
            await peer.request()
            await peer.send(start)
            await peer.left()

        async with FaultUpstream(script) as server, client() as upstream:
            with pytest.raises(UpstreamError) as caught:
                await fetched(upstream, server.origin, limits(first_byte_s=SHORT_S))
            assert caught.value.kind is UpstreamFailure.FIRST_BYTE_TIMEOUT

    run(scenario())


def test_a_kept_alive_connection_that_stays_silent_is_not_replaced(run: Run) -> None:
    async def scenario() -> None:
        async def script(peer: Peer) -> None:
            await peer.request()
            await peer.send(response())
            await peer.left()

        async with FaultUpstream(script) as server, client() as upstream:
            await fetched(upstream, server.origin)
            with pytest.raises(UpstreamError) as caught:
                await fetched(upstream, server.origin, limits(first_byte_s=SHORT_S))
            assert caught.value.kind is UpstreamFailure.FIRST_BYTE_TIMEOUT
            assert server.connections == 1

    run(scenario())


@pytest.mark.parametrize("start", [CHUNKED_HEAD, CHUNKED_HEAD + b"2\r\nok\r\n", b"HTTP/1.1 200 OK\r\n\r\nok"])
def test_an_answer_that_stops_is_left_after_the_idle_time(run: Run, start: bytes) -> None:
    async def scenario() -> None:
        async def script(peer: Peer) -> None:
            await peer.request()
            await peer.send(start)
            await peer.left()

        async with FaultUpstream(script) as server, client() as upstream:
            answer = await upstream.open(limits(idle_s=SHORT_S).to(server.origin))
            with pytest.raises(UpstreamError) as caught:
                await read(answer)
            assert caught.value.kind is UpstreamFailure.IDLE_TIMEOUT
            assert upstream.connections().open == 0

    run(scenario())


def test_a_slow_reader_is_not_a_silent_upstream(run: Run) -> None:
    """The reader waits many idle times while more lies ready than is read ahead; then all of it is there."""

    async def scenario() -> None:
        async with FaultUpstream(answering(response(b"x" * 4_000_000))) as server, client() as upstream:
            answer = await upstream.open(limits(idle_s=0.3).to(server.origin))
            loop = asyncio.get_running_loop()
            until = loop.create_future()
            loop.call_later(0.7, until.set_result, None)
            await until
            assert len(await read(answer)) == 4_000_000

    run(scenario())


def test_a_request_that_the_upstream_stops_taking_is_left_after_the_idle_time(run: Run) -> None:
    async def scenario() -> None:
        async def script(peer: Peer) -> None:
            peer.writer.transport.pause_reading()
            await asyncio.Event().wait()

        async with FaultUpstream(script) as server, client() as upstream:
            with pytest.raises(UpstreamError) as caught:
                await fetched(upstream, server.origin, limits(Call(body=b"x" * 32_000_000), idle_s=SHORT_S))
            error = caught.value
            assert (error.kind, error.request_sent) == (UpstreamFailure.IDLE_TIMEOUT, True)

    run(scenario())


@pytest.mark.parametrize("size", [1, 1_000_000])
def test_the_first_byte_time_begins_when_the_request_was_sent(run: Run, size: int) -> None:
    async def scenario() -> None:
        async def script(peer: Peer) -> None:
            await peer.request()
            await peer.left()

        async with FaultUpstream(script) as server, client() as upstream:
            with pytest.raises(UpstreamError) as caught:
                await fetched(upstream, server.origin, limits(Call(body=b"x" * size), first_byte_s=SHORT_S))
            assert caught.value.kind is UpstreamFailure.FIRST_BYTE_TIMEOUT

    run(scenario())


def test_an_answer_that_began_before_the_end_of_the_request_and_stops_is_left_after_the_idle_time(run: Run) -> None:
    async def scenario() -> None:
        async def script(peer: Peer) -> None:
            await peer.reader.readuntil(b"\r\n\r\n")
            await peer.send(CHUNKED_HEAD)
            await peer.left()

        async with FaultUpstream(script) as server, client() as upstream:
            answer = await upstream.open(limits(Call(body=b"x" * 4_000_000), idle_s=SHORT_S).to(server.origin))
            with pytest.raises(UpstreamError) as caught:
                await read(answer)
            assert caught.value.kind is UpstreamFailure.IDLE_TIMEOUT

    run(scenario())


def test_an_answer_that_stops_after_its_reader_was_slow_is_left_after_the_idle_time(run: Run) -> None:
    async def scenario() -> None:
        async def script(peer: Peer) -> None:
            await peer.request()
            await peer.send(b"HTTP/1.1 200 OK\r\n\r\n", b"x" * (HIGH_WATER_BYTES + 1))
            await peer.left()

        async with FaultUpstream(script) as server, client() as upstream:
            answer = await upstream.open(limits(idle_s=SHORT_S).to(server.origin))
            while answer.body.size <= HIGH_WATER_BYTES:
                await asyncio.sleep(0)
            with pytest.raises(UpstreamError) as caught:
                await read(answer)
            assert caught.value.kind is UpstreamFailure.IDLE_TIMEOUT

    run(scenario())


def test_an_upstream_that_does_not_take_connections_is_left_after_the_connect_time(run: Run) -> None:
    """A listener whose queue is full: the system neither accepts nor refuses."""

    async def scenario() -> None:
        with socket.socket() as listener:
            listener.bind(("127.0.0.1", 0))
            listener.listen(0)
            port = listener.getsockname()[1]
            waiting = [socket.socket() for _ in range(4)]
            for each in waiting:
                each.setblocking(False)
                each.connect_ex(("127.0.0.1", port))
            async with client() as upstream:
                with pytest.raises(UpstreamError) as caught:
                    await fetched(upstream, Origin("http", "127.0.0.1", port), limits(connect_s=SHORT_S))
                assert (caught.value.kind, caught.value.request_sent) == (UpstreamFailure.CONNECT_TIMEOUT, False)
                assert upstream.connections().open == 0
            for each in waiting:
                each.close()

    run(scenario())


def test_a_tls_handshake_that_hangs_counts_as_connecting(run: Run) -> None:
    async def scenario() -> None:
        async with FaultUpstream(Peer.left) as server, client() as upstream:
            with pytest.raises(UpstreamError) as caught:
                await fetched(upstream, replace(server.origin, scheme="https"), limits(connect_s=SHORT_S))
            assert caught.value.kind is UpstreamFailure.CONNECT_TIMEOUT

    run(scenario())


def test_many_deadlines_at_once_each_fail_their_own_call(run: Run) -> None:
    async def scenario() -> None:
        async with FaultUpstream(Peer.left) as server, client() as upstream:
            calls = [fetched(upstream, server.origin, limits(first_byte_s=SHORT_S * (1 + number % 3))) for number in range(30)]
            errors = await asyncio.gather(*calls, return_exceptions=True)
            assert [error.kind for error in errors if isinstance(error, UpstreamError)] == [UpstreamFailure.FIRST_BYTE_TIMEOUT] * 30
            assert upstream.connections().open == 0

    run(scenario())
