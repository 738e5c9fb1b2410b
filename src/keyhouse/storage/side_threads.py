"""Threads beside the event loop, for what waits. An executor's futures cost several times as much as the hop itself."""

import asyncio
import contextlib
import errno
import functools
import os
import sys
import threading
from collections import deque
from collections.abc import Callable
from typing import Any, TypeVar

T = TypeVar("T")
Told = Callable[[Any, BaseException | None], object]
"""Told on the event loop what an action returned, or what it raised. It raises nothing itself."""
_Order = tuple[Callable[[], Any], asyncio.AbstractEventLoop, Told]


class SideThreads:
    """Run actions, begun in the order they came, as many at once as there may be threads. Belong to one event loop."""

    def __init__(self, name: str, most: int = 1) -> None:
        """A thread is started when all others are busy, up to `most`."""
        self._name = name
        self._most = most
        self._orders: deque[_Order | None] = deque()
        self._bell: _Bell | None = None
        self._threads: list[threading.Thread] = []
        self._unsettled = 0
        self._closed = False

    async def run(self, action: Callable[[], T]) -> T:
        """What the action returns or raises. It runs to its end even where nobody waits for it. Raises RuntimeError once closed."""
        loop = asyncio.get_running_loop()
        done: asyncio.Future[T] = loop.create_future()
        self.order(action, loop, functools.partial(settle, done))
        try:
            return await done
        finally:
            # It holds what is raised, whose traceback holds us and our caller, until the collector of cycles runs.
            del done

    def order(self, action: Callable[[], Any], loop: asyncio.AbstractEventLoop, told: Told) -> None:
        """The same, for who waits without a task. Raises RuntimeError once closed, OSError where the system has no room for one."""
        if self._closed:
            raise RuntimeError(f"The threads of {self._name} were closed.")
        bell = self._bell = self._bell or _Bell()
        if len(self._threads) < self._most and len(self._threads) <= self._unsettled:
            self._start_another(bell)
        self._unsettled += 1
        self._orders.append((action, loop, told))
        bell.ring()

    def _start_another(self, bell: "_Bell") -> None:
        thread = threading.Thread(target=self._work, args=(bell,), name=self._name, daemon=True)
        try:
            thread.start()
        except RuntimeError as refused:
            if not self._threads:
                raise OSError(errno.EAGAIN, "No thread can be started.") from refused
            return  # those that are there do it, a little later
        self._threads.append(thread)

    def close(self) -> None:
        """Let what was ordered run, then end."""
        self._closed = True
        bell, self._bell = self._bell, None
        if bell is None:
            return
        for _ in self._threads:
            self._orders.append(None)
            bell.ring()
        for thread in self._threads:
            thread.join()
        bell.close()

    def _work(self, bell: "_Bell") -> None:
        while (order := bell.next_of(self._orders)) is not None:
            action, loop, told = order
            result: Any = None
            failure: BaseException | None = None
            try:
                result = action()
            except BaseException as raised:  # noqa: BLE001 - carried to whoever waits
                failure = raised
            with contextlib.suppress(RuntimeError):  # the loop is closed, and nobody waits
                loop.call_soon_threadsafe(self._tell, told, result, failure)
            # Nothing is kept alive while the next order is waited for.
            del order, action, loop, told, result, failure

    def _tell(self, told: Told, result: Any, failure: BaseException | None) -> None:
        self._unsettled -= 1
        told(result, failure)


class _Bell:
    """Wakes a thread. Other than a lock it lets go of the interpreter's lock as it does so: who is woken need not wait for that."""

    def __init__(self) -> None:
        if hasattr(os, "eventfd"):
            self._heard = self._rung = os.eventfd(0, os.EFD_SEMAPHORE | os.EFD_CLOEXEC)
            self._stroke = (1).to_bytes(8, sys.byteorder)
        else:
            self._heard, self._rung = os.pipe()
            self._stroke = b"\1"

    def ring(self) -> None:
        """Once for each thing that is ready."""
        os.write(self._rung, self._stroke)

    def next_of(self, ready: deque[T]) -> T:
        """Wait for the next thing that is ready."""
        os.read(self._heard, len(self._stroke))
        return ready.popleft()

    def close(self) -> None:
        """Nobody waits any more."""
        for descriptor in {self._heard, self._rung}:
            os.close(descriptor)


def settle(done: "asyncio.Future[Any]", result: Any, failure: BaseException | None) -> None:
    """Tell who awaits a future, unless they have gone."""
    if done.done():
        return
    if failure is None:
        done.set_result(result)
    else:
        done.set_exception(failure)
