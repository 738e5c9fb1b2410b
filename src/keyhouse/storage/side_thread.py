"""One thread beside the event loop, for what waits. An executor's futures cost several times as much as the hop itself."""

import asyncio
import contextlib
import threading
from collections.abc import Callable
from queue import SimpleQueue
from typing import Any, TypeVar

T = TypeVar("T")
_Order = tuple[Callable[[], Any], "asyncio.Future[Any]"]


class SideThread:
    """Runs one action after the other. Belongs to one event loop."""

    def __init__(self, name: str) -> None:
        self._orders: SimpleQueue[_Order | None] = SimpleQueue()
        self._thread = threading.Thread(target=self._work, name=name, daemon=True)
        self._thread.start()

    async def run(self, action: Callable[[], T]) -> T:
        """What the action returns or raises. It runs to its end even where nobody waits for it any more."""
        done: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self._orders.put((action, done))
        return await done

    def close(self) -> None:
        """Let what was ordered run, then end."""
        self._orders.put(None)
        self._thread.join()

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
                done.get_loop().call_soon_threadsafe(_settle, done, result, failure)
            # Nothing is kept alive while the next order is waited for.
            del order, action, done, result, failure


def _settle(done: "asyncio.Future[Any]", result: Any, failure: BaseException | None) -> None:
    if done.done():
        return
    if failure is None:
        done.set_result(result)
    else:
        done.set_exception(failure)
