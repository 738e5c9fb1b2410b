"""What many ask for at once is done once: for those who asked before it began, whoever fails or leaves."""

import asyncio
import functools
from collections.abc import Awaitable, Callable

import pytest

from keyhouse.storage.sharing import Shared, gathered


def on_a_loop(test: Callable[[], Awaitable[None]]) -> Callable[[], None]:
    @functools.wraps(test)
    def run() -> None:
        async def main() -> None:
            await test()

        asyncio.run(main())

    return run


class Action:
    """Done when it is let; counts how often it began."""

    def __init__(self) -> None:
        self.begun = 0
        self.failure: Exception | None = None
        self.let = asyncio.Event()
        self.let.set()

    async def __call__(self) -> None:
        self.begun += 1
        await self.let.wait()
        if self.failure is not None:
            raise self.failure


async def turns(count: int) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


async def after(count: int, shared: Shared) -> None:
    await turns(count)
    await shared.done()


@on_a_loop
async def test_who_asks_at_once_shares_and_who_asks_later_waits_for_the_next() -> None:
    action = Action()
    shared = Shared(action, 64)
    action.let.clear()
    first = [asyncio.create_task(shared.done()) for _ in range(3)]
    await turns(3)
    later = asyncio.create_task(shared.done())
    await turns(3)
    assert action.begun == 1
    action.let.set()
    await asyncio.gather(*first)
    await later
    assert action.begun == 2


@on_a_loop
async def test_who_asks_turn_by_turn_shares_once_there_is_company() -> None:
    action = Action()
    shared = Shared(action, 64)
    await asyncio.gather(shared.done(), shared.done())
    await asyncio.gather(*(after(count, shared) for count in range(8)))
    assert action.begun == 2


@on_a_loop
async def test_nobody_is_waited_for_once_there_are_enough() -> None:
    waiting = [1]

    async def come() -> None:
        for _ in range(20):
            waiting.append(1)
            await asyncio.sleep(0)

    coming = asyncio.create_task(come())
    await gathered(waiting, 5)
    assert len(waiting) == 5
    await coming


@on_a_loop
async def test_a_failure_is_everybody_s_and_the_next_one_who_asks_is_served() -> None:
    action = Action()
    shared = Shared(action, 64)
    action.failure = RuntimeError("away")
    assert [type(one) for one in await asyncio.gather(shared.done(), shared.done(), return_exceptions=True)] == [RuntimeError] * 2
    action.failure = None
    await shared.done()
    assert action.begun == 2


@on_a_loop
async def test_who_leaves_takes_nobody_along() -> None:
    action = Action()
    shared = Shared(action, 64)
    action.let.clear()
    leaving, staying = asyncio.create_task(shared.done()), asyncio.create_task(shared.done())
    await turns(3)
    leaving.cancel()
    action.let.set()
    await staying
    with pytest.raises(asyncio.CancelledError):
        await leaving
    assert action.begun == 1


@on_a_loop
async def test_idle_waits_until_everybody_was_served() -> None:
    action = Action()
    shared = Shared(action, 64)
    await shared.idle()
    action.let.clear()
    asked = asyncio.create_task(shared.done())
    await turns(3)
    idle = asyncio.create_task(shared.idle())
    await turns(3)
    assert not idle.done()
    action.let.set()
    await idle
    assert asked.done()
