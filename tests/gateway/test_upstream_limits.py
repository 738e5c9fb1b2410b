"""Limits: who waits for a connection, in which order, and what is closed to make room."""

import asyncio

import pytest

from keyhouse.gateway.upstream_error import UpstreamError, UpstreamFailure
from tests.gateway.calls import POST, Call, client, fetched, within
from tests.gateway.conftest import Run
from tests.gateway.fault_upstream import FaultUpstream, Peer, answering, response
from tests.gateway.test_upstream_pool import held, limited


def test_requests_beyond_the_limit_of_an_origin_wait_in_order(run: Run) -> None:
    async def scenario() -> None:
        async with FaultUpstream(answering(response())) as server, client(limited(per_origin=1)) as upstream:
            await asyncio.gather(*(fetched(upstream, server.origin, Call(body=b"%d" % number)) for number in range(20)))
            assert [int(received.body) for received in server.requests] == list(range(20))
            assert (server.connections, upstream.connections().waiting) == (1, 0)

    run(scenario())


def test_a_waiting_request_gives_up_after_its_time(run: Run) -> None:
    async def scenario() -> None:
        async with FaultUpstream(Peer.left) as server, client(limited(per_origin=1)) as upstream:
            holding = asyncio.create_task(upstream.open(POST.to(server.origin)))
            while not server.connections:
                await asyncio.sleep(0)
            with pytest.raises(UpstreamError) as caught:
                await fetched(upstream, server.origin, within(0.02))
            assert (caught.value.kind, caught.value.request_sent) == (UpstreamFailure.POOL_TIMEOUT, False)
            assert upstream.connections().waiting == 0
            holding.cancel()
            with pytest.raises(asyncio.CancelledError):
                await holding
            assert upstream.connections().open == 0

    run(scenario())


def test_a_waiting_request_that_is_cancelled_leaves_its_turn_to_the_next(run: Run) -> None:
    async def scenario() -> None:
        gate = asyncio.Event()
        async with FaultUpstream(held(gate)) as server, client(limited(per_origin=1)) as upstream:
            first, second, third = (asyncio.create_task(fetched(upstream, server.origin)) for _ in range(3))
            while upstream.connections().waiting < 2:
                await asyncio.sleep(0)
            second.cancel()
            gate.set()
            assert await first == await third == (200, b"0")
            assert second.cancelled()
            assert (server.connections, upstream.connections().idle) == (1, 1)

    run(scenario())


def test_a_waiting_request_gets_the_place_of_a_connection_that_failed(run: Run) -> None:
    async def scenario() -> None:
        async def script(peer: Peer) -> None:
            await peer.request()
            if peer.number:
                await peer.send(response())

        async with FaultUpstream(script) as server, client(limited(per_origin=1)) as upstream:
            answers = await asyncio.gather(*(fetched(upstream, server.origin) for _ in range(3)), return_exceptions=True)
            assert isinstance(answers[0], UpstreamError)
            assert answers[1:] == [(200, b"ok")] * 2

    run(scenario())


def test_a_waiting_request_gets_the_place_of_an_attempt_that_failed(run: Run) -> None:
    async def scenario() -> None:
        async with FaultUpstream(answering(response())) as server:
            origin = server.origin
        async with client(limited(per_origin=1)) as upstream:
            failed = await asyncio.gather(*(fetched(upstream, origin) for _ in range(4)), return_exceptions=True)
            assert [error.kind for error in failed if isinstance(error, UpstreamError)] == [UpstreamFailure.CONNECT_FAILED] * 4
            assert (upstream.counters.failed, upstream.connections().open, upstream.connections().waiting) == (4, 0, 0)

    run(scenario())


def test_the_total_limit_closes_the_connection_that_is_idle_longest(run: Run) -> None:
    async def scenario() -> None:
        async with (
            FaultUpstream(answering(response(b"a"))) as first,
            FaultUpstream(answering(response(b"b"))) as second,
            FaultUpstream(answering(response(b"c"))) as third,
            client(limited(total=2)) as upstream,
        ):
            for server in (first, second, third, second, first):
                await fetched(upstream, server.origin)
                assert upstream.connections().open <= 2
            assert (first.connections, second.connections, third.connections) == (2, 1, 1)

    run(scenario())


def test_two_origins_can_take_turns_in_a_single_place(run: Run) -> None:
    async def scenario() -> None:
        async with (
            FaultUpstream(answering(response(b"a"))) as first,
            FaultUpstream(answering(response(b"b"))) as second,
            client(limited(per_origin=1, total=1)) as upstream,
        ):
            for _ in range(3):
                assert await fetched(upstream, first.origin) == (200, b"a")
                assert await fetched(upstream, second.origin) == (200, b"b")
            assert (first.connections, second.connections, upstream.connections().open) == (3, 3, 1)

    run(scenario())


def test_a_caller_that_comes_just_as_a_waiting_one_was_cancelled_does_not_wait_for_nobody(run: Run) -> None:
    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(b"HTTP/1.1 200 OK\r\n\r\n" if peer.number == 0 else response())
        await peer.left()

    async def scenario() -> None:
        async with FaultUpstream(script) as server, client(limited(per_origin=1)) as upstream:
            holding = await upstream.open(POST.to(server.origin))
            waiting = asyncio.create_task(fetched(upstream, server.origin))
            while not upstream.connections().waiting:
                await asyncio.sleep(0)
            waiting.cancel()
            holding.close()
            assert await fetched(upstream, server.origin) == (200, b"ok")
            assert waiting.cancelled()

    run(scenario())


def test_one_busy_origin_does_not_starve_another_of_its_turn(run: Run) -> None:
    async def scenario() -> None:
        gate = asyncio.Event()
        async with FaultUpstream(held(gate)) as busy, FaultUpstream(held(gate)) as other, client(limited(total=1)) as upstream:
            finished: list[str] = []

            async def caller(server: FaultUpstream, name: str) -> None:
                await fetched(upstream, server.origin)
                finished.append(name)

            tasks = [asyncio.create_task(caller(busy, "first"))]
            while not busy.requests:
                await asyncio.sleep(0)
            for server, name in ((busy, "second"), (other, "third"), (busy, "fourth")):
                tasks.append(asyncio.create_task(caller(server, name)))
                while upstream.connections().waiting < len(tasks) - 1:
                    await asyncio.sleep(0)
            gate.set()
            await asyncio.gather(*tasks)
            assert finished == ["first", "second", "third", "fourth"]
            assert upstream.connections().open == 1

    run(scenario())


def test_an_idle_connection_is_closed_after_its_time(run: Run) -> None:
    async def scenario() -> None:
        left = asyncio.Event()

        async def script(peer: Peer) -> None:
            await peer.request()
            await peer.send(response())
            await peer.left()
            left.set()

        async with FaultUpstream(script) as server, client(limited(idle_s=0.02)) as upstream:
            await fetched(upstream, server.origin)
            await left.wait()
            assert upstream.connections().open == 0

    run(scenario())


def test_origins_that_are_not_used_any_more_leave_nothing_behind(run: Run) -> None:
    async def scenario() -> None:
        async with client(limited(idle_s=0.01)) as upstream:
            for _ in range(3):
                async with FaultUpstream(answering(response())) as server:
                    await fetched(upstream, server.origin)
                    while upstream.connections().open:
                        await asyncio.sleep(0.005)
            assert not upstream._pool._lanes

    run(scenario())
