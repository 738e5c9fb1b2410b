"""Threads beside the event loop: how many, in which order, and what comes back."""

import asyncio
import threading

import pytest

from keyhouse.storage.side_threads import SideThreads


def test_actions_of_one_thread_run_one_after_the_other() -> None:
    ran: list[int] = []

    async def main() -> None:
        threads = SideThreads("test")
        await asyncio.gather(*(threads.run(lambda number=number: ran.append(number)) for number in range(50)))
        threads.close()

    asyncio.run(main())
    assert ran == list(range(50))


def test_no_more_threads_than_allowed_nor_than_needed() -> None:
    async def main() -> None:
        threads = SideThreads("test-many", 3)
        for _ in range(5):
            await threads.run(int)
        assert sum(thread.name == "test-many" for thread in threading.enumerate()) == 1
        together = threading.Barrier(3, timeout=30)
        await asyncio.gather(*(threads.run(together.wait) for _ in range(9)))
        assert sum(thread.name == "test-many" for thread in threading.enumerate()) == 3
        threads.close()
        assert not any(thread.name == "test-many" for thread in threading.enumerate())

    asyncio.run(main())


def test_what_an_action_raises_comes_back_and_the_thread_goes_on() -> None:
    async def main() -> None:
        threads = SideThreads("test")
        with pytest.raises(ZeroDivisionError):
            await threads.run(lambda: 1 // 0)
        assert await threads.run(lambda: 1) == 1
        threads.close()

    asyncio.run(main())


def test_an_action_that_nobody_waits_for_any_more_is_done_before_they_close() -> None:
    ran: list[str] = []

    async def main() -> None:
        threads, go = SideThreads("test"), threading.Event()
        waiting = [asyncio.create_task(threads.run(go.wait)), asyncio.create_task(threads.run(lambda: ran.append("second")))]
        await asyncio.sleep(0)
        for task in waiting:
            task.cancel()
        await asyncio.wait(waiting)
        go.set()
        threads.close()
        with pytest.raises(RuntimeError, match="were closed"):
            await threads.run(int)

    asyncio.run(main())
    assert ran == ["second"]
