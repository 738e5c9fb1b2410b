"""One thread beside the event loop, for what waits. An executor's futures cost several times as much as the hop itself."""

import asyncio
import contextlib
import threading
from collections.abc import Callable
from queue import SimpleQueue

_Order = tuple[Callable[[], object], "asyncio.Future[None]"]


class SideThread:
    """Runs one action after the other. Belongs to one event loop."""

    def __init__(self, name: str) -> None:
        self._orders: SimpleQueue[_Order | None] = SimpleQueue()
        self._thread = threading.Thread(target=self._work, name=name, daemon=True)
        self._thread.start()

    async def run(self, action: Callable[[], object]) -> None:
        """Return when the action has run; whatever it raises comes back. It runs to its end even where nobody waits for it any more."""
        loop = asyncio.get_running_loop()
        done: asyncio.Future[None] = loop.create_future()
        self._orders.put((action, done))
        await done

    def close(self) -> None:
        """Let what was ordered run, then end."""
        self._orders.put(None)
        self._thread.join()

    def _work(self) -> None:
        while (order := self._orders.get()) is not None:
            action, done = order
            failure: BaseException | None = None
            try:
                action()
            except BaseException as raised:  # noqa: BLE001 - carried to whoever waits
                failure = raised
            with contextlib.suppress(RuntimeError):  # the loop is closed, and nobody waits
                done.get_loop().call_soon_threadsafe(_settle, done, failure)
            # Nothing is kept alive while the next order is waited for.
            del order, action, done, failure


def _settle(done: "asyncio.Future[None]", failure: BaseException | None) -> None:
    if done.done():
        return
    if failure is None:
        done.set_result(None)
    else:
        done.set_exception(failure)
