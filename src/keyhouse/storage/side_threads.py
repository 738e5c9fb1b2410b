"""Threads beside the event loop, for what waits. An executor's futures cost several times as much as the hop itself."""

import asyncio
import contextlib
import threading
from collections.abc import Callable
from queue import SimpleQueue
from typing import Any, TypeVar

T = TypeVar("T")
_Order = tuple[Callable[[], Any], "asyncio.Future[Any]"]


class SideThreads:
    """Run actions, begun in the order they came, as many at once as there may be threads. Belong to one event loop."""

    def __init__(self, name: str, most: int = 1) -> None:
        """A thread is started when all others are busy, up to `most`."""
        self._name = name
        self._most = most
        self._orders: SimpleQueue[_Order | None] = SimpleQueue()
        self._threads: list[threading.Thread] = []
        self._unsettled = 0
        self._closed = False

    async def run(self, action: Callable[[], T]) -> T:
        """What the action returns or raises. It runs to its end even where nobody waits for it. Raises RuntimeError once closed."""
        if self._closed:
            raise RuntimeError(f"The threads of {self._name} were closed.")
        done: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self._unsettled += 1
        if len(self._threads) < min(self._unsettled, self._most):
            self._threads.append(threading.Thread(target=self._work, name=self._name, daemon=True))
            self._threads[-1].start()
        self._orders.put((action, done))
        try:
            return await done
        finally:
            # It holds what is raised, whose traceback holds us and our caller, until the collector of cycles runs.
            del done

    def close(self) -> None:
        """Let what was ordered run, then end."""
        self._closed = True
        for _ in self._threads:
            self._orders.put(None)
        for thread in self._threads:
            thread.join()

    def _work(self) -> None:
        while (order := self._orders.get()) is not None:
            action, done = order
            result: Any = None
            failure: BaseException | None = None
            try:
                result = action()
            except BaseException as raised:  # noqa: BLE001 - carried to whoever waits
                failure = raised
            with contextlib.suppress(RuntimeError):  # the loop is closed, and nobody waits
                done.get_loop().call_soon_threadsafe(self._settle, done, result, failure)
            # Nothing is kept alive while the next order is waited for.
            del order, action, done, result, failure

    def _settle(self, done: "asyncio.Future[Any]", result: Any, failure: BaseException | None) -> None:
        self._unsettled -= 1
        if done.done():
            return
        if failure is None:
            done.set_result(result)
        else:
            done.set_exception(failure)
