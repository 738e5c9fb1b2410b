"""Threads beside the event loop: how many, in which order, and what comes back."""

import asyncio
import subprocess
import sys
import threading
import weakref

import pytest

from keyhouse.storage.side_threads import SideThreads
from tests.storage.no_room import no_further_thread


def test_actions_of_one_thread_run_one_after_the_other() -> None:
    ran: list[int] = []

    async def main() -> None:
        threads = SideThreads("test")
        await asyncio.gather(*(threads.run(lambda number=number: ran.append(number)) for number in range(50)))
        assert sum(thread.name == "test" for thread in threading.enumerate()) == 1
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


class EndError(BaseException):
    """No Exception, and can be watched."""


def fail() -> None:
    raise EndError


def test_what_an_action_raises_comes_back_and_the_thread_goes_on() -> None:
    async def main() -> None:
        threads = SideThreads("test")
        with pytest.raises(ZeroDivisionError):
            await threads.run(lambda: 1 // 0)
        with pytest.raises(EndError):
            await threads.run(fail)
        assert await threads.run(lambda: 1) == 1
        threads.close()

    asyncio.run(main())


def test_an_action_that_nobody_waits_for_any_more_is_done_before_they_close() -> None:
    ran: list[str] = []
    complaints: list[object] = []

    async def main() -> None:
        asyncio.get_running_loop().set_exception_handler(lambda _, context: complaints.append(context))
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
        await asyncio.sleep(0)

    asyncio.run(main())
    assert (ran, complaints) == (["second"], [])


def test_an_action_may_end_after_the_loop_of_whoever_waited() -> None:
    threads, go = SideThreads("test"), threading.Event()

    async def main() -> None:
        waiting = asyncio.create_task(threads.run(go.wait))
        await asyncio.sleep(0)
        waiting.cancel()

    asyncio.run(main())
    go.set()
    threads.close()


@pytest.mark.usefixtures("uncollected")
def test_what_an_action_returned_or_raised_is_not_kept() -> None:
    async def main() -> None:
        threads = SideThreads("test")
        made = await threads.run(EndError)
        left = [weakref.ref(made)]
        del made
        try:
            await threads.run(fail)
        except EndError as failure:
            left.append(weakref.ref(failure))
        # The thread may be about to let go of it.
        async with asyncio.timeout(30):
            while any(each() is not None for each in left):
                await asyncio.sleep(0)
        threads.close()

    asyncio.run(main())


def test_threads_that_nobody_closed_keep_no_process_from_ending() -> None:
    script = "import asyncio; from keyhouse.storage.side_threads import SideThreads; asyncio.run(SideThreads('test').run(int))"
    subprocess.run([sys.executable, "-c", script], check=True, timeout=60)


def test_where_no_further_thread_can_be_started_those_that_are_there_do_it() -> None:
    async def main() -> None:
        threads = SideThreads("test", 2)
        with no_further_thread(), pytest.raises(OSError, match="No thread can be started"):
            await threads.run(int)
        assert await threads.run(int) == 0
        go = threading.Event()
        first = asyncio.create_task(threads.run(go.wait))
        await asyncio.sleep(0)
        with no_further_thread():
            second = asyncio.create_task(threads.run(int))
            await asyncio.sleep(0)
        go.set()
        assert await asyncio.gather(first, second) == [True, 0]
        assert sum(thread.name == "test" for thread in threading.enumerate()) == 1
        threads.close()

    asyncio.run(main())
