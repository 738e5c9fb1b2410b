"""When deadlines pass: on a loop whose time stands still but while it waits, and then jumps to the next timer."""

import asyncio
import math
import selectors
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from keyhouse.gateway.timeouts import SHORTEST_PAUSE_S, Deadlines
from tests.gateway.calls import POST, client
from tests.gateway.conftest import Run
from tests.gateway.fault_upstream import FaultUpstream, Peer


class _Jumping(selectors.SelectSelector):
    """Waits for nobody: the time that it was to wait has passed at once."""

    now = 1000.0

    def select(self, timeout: float | None = None) -> Any:
        self.now += max(timeout or 0.0, 0.0)
        return super().select(0)


def _at_once(scenario: Callable[[], Coroutine[Any, Any, None]]) -> None:
    selector = _Jumping()
    loop = asyncio.SelectorEventLoop(selector)
    loop.time = lambda: selector.now  # type: ignore[method-assign]
    try:
        loop.run_until_complete(scenario())
    finally:
        loop.close()


class _Waiting:
    """What has a deadline, and notes when it passed."""

    def __init__(self, deadline: float) -> None:
        self.deadline = deadline
        self.expired_at: float | None = None

    def expire(self) -> None:
        self.deadline = math.inf
        self.expired_at = asyncio.get_running_loop().time()


@pytest.mark.parametrize("after", [(5.0,), (300.0, 0.5, 5.0), (2.0, 2.0 + SHORTEST_PAUSE_S / 4, 2.0 + SHORTEST_PAUSE_S / 2)], ids=str)
def test_each_deadline_is_kept_to_within_the_shortest_pause(after: tuple[float, ...]) -> None:
    async def scenario() -> None:
        now = asyncio.get_running_loop().time()
        deadlines: Deadlines[_Waiting] = Deadlines()
        waiting = [_Waiting(now + seconds) for seconds in after]
        for each in waiting:
            deadlines.add(each)
            if each.deadline < deadlines.next_due:
                deadlines.arm(each.deadline)
        await asyncio.sleep(max(after) + 60)
        late = [(each.expired_at or math.inf) - now - seconds for each, seconds in zip(waiting, after, strict=True)]
        assert all(-1e-6 < seconds <= SHORTEST_PAUSE_S + 1e-6 for seconds in late), late

    _at_once(scenario)


def test_a_deadline_that_was_put_off_is_kept_as_it_is_then() -> None:
    async def scenario() -> None:
        now = asyncio.get_running_loop().time()
        deadlines: Deadlines[_Waiting] = Deadlines()
        waiting = _Waiting(now + 1)
        deadlines.add(waiting)
        deadlines.arm(waiting.deadline)
        waiting.deadline = now + 7
        await asyncio.sleep(60)
        assert (waiting.expired_at or math.inf) - now == pytest.approx(7)

    _at_once(scenario)


def test_a_call_is_waited_for_as_long_as_it_may_take_and_no_longer(run: Run) -> None:
    async def scenario() -> None:
        asked, released = asyncio.Event(), asyncio.Event()

        async def script(peer: Peer) -> None:
            await peer.request()
            asked.set()
            await released.wait()

        async with FaultUpstream(script) as server, client() as upstream:
            loop = asyncio.get_running_loop()
            began = loop.time()
            call = asyncio.create_task(upstream.open(POST.to(server.origin)))
            await asked.wait()
            [connection] = upstream._pool._deadlines.watched()
            assert began + 600 <= connection.deadline <= loop.time() + 600
            call.cancel()
            released.set()
            await asyncio.gather(call, return_exceptions=True)

    run(scenario())
