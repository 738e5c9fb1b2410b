"""What many ask for at once is done once for all of them: who asks is served by what begins after, and company is waited for a moment."""

import asyncio
from collections.abc import Awaitable, Callable, Sized


async def gathered(waiting: Sized, most: int) -> None:
    """Wait while each turn of the event loop brings a further one, up to `most`."""
    before = 0
    while before < len(waiting) < most:
        before = len(waiting)
        await asyncio.sleep(0)


class Shared:
    """An action that is done once for all who asked before it began. Belongs to one event loop."""

    def __init__(self, action: Callable[[], Awaitable[None]], most: int) -> None:
        self._action = action
        self._most = most
        self._askers: list[asyncio.Future[None]] = []
        # Whether the last time was for several: who asks alone is not kept waiting for others.
        self._has_company = False
        self._doing: asyncio.Task[None] | None = None

    async def done(self) -> None:
        """Ask, and wait until it was done from beginning to end. Raises what the action raises."""
        asker = asyncio.get_running_loop().create_future()
        self._askers.append(asker)
        if self._doing is None:
            self._doing = asyncio.create_task(self._do())
        try:
            await asker
        finally:
            # It holds what is raised, whose traceback holds us and our caller, until the collector of cycles runs.
            del asker

    async def idle(self) -> None:
        """Wait until nobody asks any more."""
        while self._doing is not None:
            await asyncio.wait([self._doing])

    async def _do(self) -> None:
        try:
            while self._askers:
                if self._has_company:
                    await gathered(self._askers, self._most)
                askers, self._askers = self._askers, []
                self._has_company = len(askers) > 1
                await self._do_for(askers)
        finally:
            self._doing = None

    async def _do_for(self, askers: "list[asyncio.Future[None]]") -> None:
        failure: Exception | None = None
        try:
            await self._action()
        except Exception as raised:  # noqa: BLE001 - it is the askers' own, who get it
            failure = raised
        for asker in askers:
            if asker.done():
                continue
            if failure is None:
                asker.set_result(None)
            else:
                asker.set_exception(failure)
        del failure, asker, askers
