"""Bodies both ways: as they come, never held whole, and nobody left waiting when either side leaves."""

import asyncio

import pytest

from keyhouse.gateway.bounds import LARGE_READ_BYTES, PIECE_BYTES
from keyhouse.gateway.passing import pieces
from keyhouse.gateway.response import HIGH_WATER_BYTES
from keyhouse.gateway.upstream import UpstreamSettings
from keyhouse.gateway.upstream_error import UpstreamError
from tests.gateway.calls import POST, Call, client, fetched, read
from tests.gateway.conftest import Authority, Run
from tests.gateway.fault_upstream import FaultUpstream, Peer, answering, response
from tests.gateway.test_connection import Exchange

MIB = 1024 * 1024
CHUNKED_HEAD = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


# Requests


@pytest.mark.parametrize("size", [0, 1, 65535, 65536, 65537, 300_000, 32 * MIB])
def test_bodies_of_any_size_arrive_whole(run: Run, size: int) -> None:
    body = bytes(range(256)) * (size // 256) + b"x" * (size % 256)

    async def scenario() -> None:
        async with FaultUpstream(answering(response())) as server, client() as upstream:
            for _ in range(2):
                assert await fetched(upstream, server.origin, Call(body=body)) == (200, b"ok")
            assert [received.body == body for received in server.requests] == [True, True]
            assert server.requests[0].header(b"content-length") == [b"%d" % size]
            assert server.connections == 1

    run(scenario())


def test_an_answer_before_the_end_of_the_request_is_given_and_its_connection_not_used_again(run: Run) -> None:
    async def scenario() -> None:
        async def script(peer: Peer) -> None:
            await peer.reader.readuntil(b"\r\n\r\n")
            await peer.send(response(b"too large", status=b"413 Content Too Large"))
            await peer.left()

        async with FaultUpstream(script) as server, client() as upstream:
            assert await fetched(upstream, server.origin, Call(body=b"x" * 32 * MIB)) == (413, b"too large")
            assert upstream.connections().open == 0

    run(scenario())


def test_an_upstream_is_listened_to_between_two_pieces_of_a_request_that_it_takes_at_once(run: Run) -> None:
    async def scenario() -> None:
        exchange = Exchange(Call(body=b"x" * 4 * MIB))
        exchange.transport.written = b""
        while (written := len(exchange.transport.written)) < 4 * MIB:
            await asyncio.sleep(0)
            assert len(exchange.transport.written) <= written + PIECE_BYTES
        assert not exchange.kept()

    run(scenario())


def test_both_ways_can_stream_at_once(run: Run) -> None:
    async def scenario() -> None:
        async def script(peer: Peer) -> None:
            await peer.reader.readuntil(b"\r\n\r\n")
            await peer.send(CHUNKED_HEAD)
            for number in range(8):
                await peer.reader.readexactly(MIB)
                await peer.send(chunk(b"%d" % number))
            await peer.send(b"0\r\n\r\n")
            await peer.left()

        async with FaultUpstream(script) as server, client() as upstream:
            assert await fetched(upstream, server.origin, Call(body=b"x" * 8 * MIB)) == (200, b"01234567")
            assert upstream.connections().idle == 1

    run(scenario())


# Answers


def test_an_answer_arrives_piece_by_piece(run: Run) -> None:
    async def scenario() -> None:
        read_so_far: asyncio.Queue[bytes] = asyncio.Queue()

        async def script(peer: Peer) -> None:
            await peer.request()
            await peer.send(CHUNKED_HEAD)
            for number in range(5):
                await peer.send(chunk(b"event %d" % number))
                assert await read_so_far.get() == b"event %d" % number
            await peer.send(b"0\r\n\r\n")
            await peer.left()

        async with FaultUpstream(script) as server, client() as upstream:
            answer = await upstream.open(POST.to(server.origin))
            async for data in pieces(answer.body):
                read_so_far.put_nowait(data)
            assert answer.body.ended

    run(scenario())


@pytest.mark.parametrize("is_tls", [False, True])
def test_others_come_to_their_turn_between_the_reads_of_a_fast_answer(run: Run, authority: Authority, is_tls: bool) -> None:
    """uvloop reads on at once, up to 32 times, where more is there already: whoever sends fast would keep everybody else waiting."""
    piece, turns, read_at = b"y" * MIB, 0, []
    seen = asyncio.Event()

    async def scenario() -> None:
        sent = 0

        async def script(peer: Peer) -> None:
            nonlocal sent
            await peer.request()
            await peer.send(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % (64 * len(piece)))
            for _ in range(64):
                await peer.send(piece)
                sent += 1

        async def turn() -> None:
            nonlocal turns
            while not seen.is_set():
                turns += 1
                await asyncio.sleep(0)

        def take(data: bytes) -> bool:
            if len(data) >= LARGE_READ_BYTES:
                read_at.append(turns)
            return True

        tls = authority.server_context("127.0.0.1") if is_tls else None
        settings = UpstreamSettings(ca_file=str(authority.ca_file))
        async with FaultUpstream(script, tls) as server, client(settings) as upstream:
            answer = await upstream.open(POST.to(server.origin))
            before = -1
            while sent != before:
                before = sent
                for _ in range(300):
                    await asyncio.sleep(0)
            turning = asyncio.create_task(turn())
            assert await answer.body.pass_to(take)
            seen.set()
            await turning
        # The first piece was read before.
        read_since = read_at[1:]
        assert len(read_since) > 8
        assert len(set(read_since)) == len(read_since)

    run(scenario())


@pytest.mark.parametrize("framing", ["length", "chunked", "close"])
def test_a_large_answer_is_never_held_whole(run: Run, framing: str) -> None:
    """The upstream must not be able to write all of it while nobody reads: what is in between is a few buffers."""
    piece, count = b"y" * 65536, 1024
    heads = {"length": b"content-length: %d\r\n" % (len(piece) * count), "chunked": b"transfer-encoding: chunked\r\n", "close": b""}

    async def scenario() -> None:
        sent = 0

        async def script(peer: Peer) -> None:
            nonlocal sent
            await peer.request()
            await peer.send(b"HTTP/1.1 200 OK\r\n" + heads[framing] + b"\r\n")
            for _ in range(count):
                await peer.send(chunk(piece) if framing == "chunked" else piece)
                sent += 1
            if framing == "chunked":
                await peer.send(b"0\r\n\r\n")

        async with FaultUpstream(script) as server, client() as upstream:
            answer = await upstream.open(POST.to(server.origin))
            before = -1
            while sent != before:
                before = sent
                for _ in range(300):
                    await asyncio.sleep(0)
            assert sent < count // 2
            assert answer.body.size <= HIGH_WATER_BYTES + 256 * 1024
            total = 0
            async for data in pieces(answer.body):
                total += len(data)
                assert len(data) <= HIGH_WATER_BYTES + 256 * 1024
            assert total == len(piece) * count
            assert (sent, answer.body.ended) == (count, True)

    run(scenario())


def test_a_connection_whose_reader_was_slow_is_used_again(run: Run) -> None:
    body = b"z" * (4 * MIB)

    async def scenario() -> None:
        async with FaultUpstream(answering(response(body))) as server, client() as upstream:
            for _ in range(3):
                answer = await upstream.open(POST.to(server.origin))
                while answer.body.size <= HIGH_WATER_BYTES:
                    await asyncio.sleep(0)
                assert await read(answer) == body
            assert server.connections == 1

    run(scenario())


def test_closing_a_half_read_answer_closes_its_connection_at_once(run: Run) -> None:
    async def scenario() -> None:
        left = asyncio.Event()

        async def script(peer: Peer) -> None:
            await peer.request()
            await peer.send(CHUNKED_HEAD, chunk(b"a"))
            await peer.left()
            left.set()

        async with FaultUpstream(script) as server, client() as upstream:
            answer = await upstream.open(POST.to(server.origin))
            assert await answer.body.at_most(1) == b"a"
            answer.close()
            assert upstream.connections().open == 0
            await left.wait()
            with pytest.raises(UpstreamError, match="closed before its end"):
                await answer.body.at_most(1)

    run(scenario())


def test_closing_an_answer_that_has_come_whole_keeps_its_connection(run: Run) -> None:
    async def scenario() -> None:
        async with FaultUpstream(answering(response())) as server, client() as upstream:
            answer = await upstream.open(POST.to(server.origin))
            while not answer.body.ended:
                await asyncio.sleep(0)
            answer.close()
            await fetched(upstream, server.origin)
            assert server.connections == 1

    run(scenario())


@pytest.mark.parametrize("moment", ["before the head", "in the body"])
def test_a_caller_that_is_cancelled_leaves_the_upstream_at_once(run: Run, moment: str) -> None:
    async def scenario() -> None:
        asked, left = asyncio.Event(), asyncio.Event()

        async def script(peer: Peer) -> None:
            await peer.request()
            if moment == "in the body":
                await peer.send(CHUNKED_HEAD, chunk(b"a"))
            asked.set()
            await peer.left()
            left.set()

        async with FaultUpstream(script) as server, client() as upstream:
            begun = asyncio.Event()

            async def caller() -> None:
                answer = await upstream.open(POST.to(server.origin))
                try:
                    async for _ in pieces(answer.body):
                        begun.set()
                finally:
                    answer.close()

            task = asyncio.create_task(caller())
            await (asked if moment == "before the head" else begun).wait()
            task.cancel()
            await left.wait()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert upstream.connections().open == 0

    run(scenario())


def test_a_caller_cancelled_just_as_its_answer_comes_harms_no_other(run: Run) -> None:
    """Cancelled at every turn of the loop that a call takes: whoever uses the connection next gets an answer of its own."""

    async def scenario() -> None:
        async def script(peer: Peer) -> None:
            while True:
                asked = await peer.request()
                await peer.send(response(asked.body))

        async with FaultUpstream(script) as server, client() as upstream:
            for turns in range(40):
                first = asyncio.create_task(fetched(upstream, server.origin, Call(body=b"first")))
                for _ in range(turns):
                    await asyncio.sleep(0)
                first.cancel()
                assert await fetched(upstream, server.origin, Call(body=b"second")) == (200, b"second")
                outcome = (await asyncio.gather(first, return_exceptions=True))[0]
                assert outcome == (200, b"first") or isinstance(outcome, asyncio.CancelledError)
            assert upstream.connections().idle == upstream.connections().open

    run(scenario())
