"""The pool's places, counted through moments that the network gives too rarely to wait for."""

import asyncio
from collections.abc import Callable

import pytest

from keyhouse.domain.address import Origin
from keyhouse.gateway.connection import Connection
from keyhouse.gateway.pool import Pool, PoolLimits
from keyhouse.gateway.timeouts import Timeouts
from keyhouse.gateway.upstream_error import UpstreamError, UpstreamFailure
from tests.gateway.test_connection import MemoryTransport

ORIGIN = Origin("http", "upstream.test", 80)


class Places:
    """A pool whose connections lead nowhere."""

    def __init__(self, *, born_dead: bool = False, **limits: int) -> None:
        self.born_dead = born_dead
        self.transports: list[MemoryTransport] = []
        self.pool = Pool(PoolLimits(**limits), self.dial)

    async def dial(self, _: Origin, __: Timeouts, protocol_factory: Callable[[], Connection]) -> Connection:
        connection, transport = protocol_factory(), MemoryTransport()
        self.transports.append(transport)
        connection.connection_made(transport)
        if self.born_dead:
            connection.connection_lost(None)
        return connection

    async def take(self, key: str = "a", *, fresh: bool = False) -> Connection:
        return await self.pool.take(key, ORIGIN, Timeouts(), fresh=fresh)

    async def waiting(self, key: str = "a", *, fresh: bool = False) -> "asyncio.Task[Connection]":
        task = asyncio.create_task(self.take(key, fresh=fresh))
        before = self.pool.waiting
        while self.pool.waiting == before:
            await asyncio.sleep(0)
        return task

    def close(self) -> None:
        """Close all; nothing of what was is kept."""
        self.pool.close()
        pool = self.pool
        assert (pool.open, pool._lanes, pool._lanes_with_idle, pool._lanes_with_waiting) == (0, {}, {}, {})
        for transport in self.transports:
            transport.release()


def test_a_connection_that_dies_as_it_is_made_is_a_failed_one() -> None:
    async def scenario() -> None:
        places = Places(born_dead=True)
        with pytest.raises(UpstreamError) as caught:
            await places.take()
        assert (caught.value.kind, caught.value.request_sent) == (UpstreamFailure.CONNECT_FAILED, False)
        assert (places.pool.open, places.pool.counters.failed, places.pool.counters.opened) == (0, 1, 0)
        places.close()

    asyncio.run(scenario())


def test_the_idle_connection_that_was_used_last_is_the_next() -> None:
    async def scenario() -> None:
        places = Places()
        first, second = await places.take(), await places.take()
        places.pool.give_back(first)
        places.pool.give_back(second)
        assert [await places.take(), await places.take()] == [second, first]
        assert (places.pool.open, len(places.transports)) == (2, 2)
        places.close()

    asyncio.run(scenario())


def test_a_connection_that_dies_on_its_way_to_a_waiting_request_frees_its_place_once() -> None:
    async def scenario() -> None:
        places = Places(per_origin=1)
        first = await places.take()
        waiting = await places.waiting()
        places.pool.give_back(first)
        first.abort()
        second = await waiting
        assert second is not first
        assert (places.pool.open, len(places.transports)) == (1, 2)
        second.abort()
        assert places.pool.open == 0
        places.close()

    asyncio.run(scenario())


def test_a_request_that_needs_a_fresh_connection_takes_the_place_of_one_that_is_given_back() -> None:
    async def scenario() -> None:
        places = Places(per_origin=2)
        first, second = await places.take(), await places.take()
        waiting = await places.waiting(fresh=True)
        places.pool.give_back(first)
        assert await waiting not in (first, second)
        assert (first.closed, places.pool.open) == (True, 2)
        third = waiting.result()
        for connection in (third, second):
            places.pool.give_back(connection)
        assert await places.take(fresh=True) not in (second, third)
        assert (third.closed, second.closed, places.pool.open) == (True, False, 2)
        places.close()

    asyncio.run(scenario())


def test_a_request_that_leaves_just_as_it_was_given_a_connection_passes_it_on() -> None:
    async def scenario() -> None:
        places = Places(per_origin=1)
        first = await places.take()
        leaving, staying = await places.waiting(), await places.waiting()
        places.pool.give_back(first)
        leaving.cancel()
        assert await staying is first
        assert leaving.cancelled()
        places.close()

    asyncio.run(scenario())


def test_a_request_that_leaves_just_as_it_was_given_a_place_passes_it_on() -> None:
    async def scenario() -> None:
        places = Places(per_origin=1)
        first = await places.take()
        leaving, staying = await places.waiting(), await places.waiting()
        first.abort()
        leaving.cancel()
        assert await staying is not first
        assert places.pool.open == 1
        places.close()

    asyncio.run(scenario())


def test_a_free_place_does_not_go_to_an_origin_that_is_full() -> None:
    async def scenario() -> None:
        places = Places(per_origin=1, total=2)
        full = await places.take("a")
        waiting = await places.waiting("a")
        other = await places.take("b")
        other.abort()
        for _ in range(5):
            await asyncio.sleep(0)
        assert (waiting.done(), places.pool.open, places.pool.waiting) == (False, 1, 1)
        places.pool.give_back(full)
        assert await waiting is full
        places.close()

    asyncio.run(scenario())


def test_an_origin_that_is_waited_for_stays_one_when_a_request_leaves() -> None:
    async def scenario() -> None:
        places = Places(per_origin=1, total=2)
        first, second = await places.take("a"), await places.take("b")
        leaving, staying = await places.waiting("c"), await places.waiting("c")
        leaving.cancel()
        with pytest.raises(asyncio.CancelledError):
            await leaving
        first.abort()
        connection = await staying
        second.abort()
        later = asyncio.create_task(places.take("c"))
        for _ in range(5):
            await asyncio.sleep(0)
        assert (later.done(), places.pool.open) == (False, 1)
        places.pool.give_back(connection)
        assert await later is connection
        places.close()

    asyncio.run(scenario())


def test_an_origin_that_nobody_waits_for_any_more_is_forgotten() -> None:
    async def scenario() -> None:
        places = Places(total=1)
        await places.take("a")
        leaving = await places.waiting("b")
        leaving.cancel()
        await asyncio.wait([leaving])
        assert list(places.pool._lanes) == ["a"]
        places.close()

    asyncio.run(scenario())


def test_a_given_back_connection_makes_room_for_who_waits_longest_elsewhere() -> None:
    async def scenario() -> None:
        places = Places(per_origin=1, total=1)
        first = await places.take("a")
        elsewhere, later = await places.waiting("b"), await places.waiting("a")
        places.pool.give_back(first)
        second = await elsewhere
        assert first.closed
        assert (places.pool.open, places.pool.waiting) == (1, 1)
        places.pool.give_back(second)
        third = await later
        assert second.closed
        assert not third.closed
        assert places.pool.open == 1
        places.close()

    asyncio.run(scenario())
