"""Whether this process has been awake: one that was stopped, or whose machine slept, has heard of no change meanwhile."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator

from keyhouse.domain.errors import Error
from keyhouse.storage.database import Database

_BEAT_S = 0.5
_LONGEST_GAP_S = 1.0
_ATTEMPTS = 2
"""A connection that did not outlive the gap is only noticed by the first."""


class Attention:
    """Beats while it is kept. Where beats are missing, whoever serves from memory has to catch up first. Belongs to one event loop.

    Gaps are measured on the wall clock, which goes on while a machine sleeps; one that is set is no worse than a gap.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._seen_at: float | None = None
        self._gaps = 0
        self._gaps_made_up = 0

    @property
    def is_lost(self) -> bool:
        """Whether something may have been missed that was not made up for."""
        return self._gaps != self._gaps_made_up or (self._seen_at is not None and abs(time.time() - self._seen_at) > _LONGEST_GAP_S)

    async def regain(self) -> None:
        """Hear of everything that was missed. Where the database is away, memory is as good as there is."""
        self._look_at_clock()
        gaps = self._gaps
        for _ in range(_ATTEMPTS):
            with contextlib.suppress(Error):
                await self._database.catch_up()
                break
        self._gaps_made_up = max(gaps, self._gaps_made_up)

    @contextlib.asynccontextmanager
    async def kept(self) -> AsyncIterator[None]:
        """Beats go on while it is open."""
        beating = asyncio.create_task(self._beat())
        try:
            yield
        finally:
            beating.cancel()
            self._seen_at = None

    async def _beat(self) -> None:
        while True:
            self._look_at_clock()
            await asyncio.sleep(_BEAT_S)

    def _look_at_clock(self) -> None:
        now = time.time()
        if self._seen_at is not None and abs(now - self._seen_at) > _LONGEST_GAP_S:
            self._gaps += 1
        self._seen_at = now
