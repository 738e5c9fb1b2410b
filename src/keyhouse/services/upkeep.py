"""What a server does while nobody asks: it keeps up with other processes and with the key ring's file, and does its chores."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, field

import structlog

from keyhouse.domain.errors import Error
from keyhouse.storage.changes import prune
from keyhouse.storage.opening import Storage

_NOTICES_FORGOTTEN_EVERY_S = 600.0
_log = structlog.get_logger("keyhouse")


@dataclass(slots=True)
class Chore:
    """Something to do every so many seconds, first `after_s` seconds after the start, and, if there is more to it, at the end."""

    every_s: float
    do: Callable[[], Awaitable[None]]
    at_the_end: Callable[[], Awaitable[None]] | None = None
    after_s: float = 0.0
    due_at: float = field(default=0.0, init=False)

    def __post_init__(self) -> None:
        self.due_at = time.monotonic() + self.after_s

    async def do_if_due(self) -> None:
        """Do it, if its time has come. Raises Error; then it is tried again when it is due the next time."""
        now = time.monotonic()
        if now >= self.due_at:
            self.due_at = now + self.every_s
            await self.do()


@contextlib.asynccontextmanager
async def upkeep(storage: Storage, chores: Sequence[Chore]) -> AsyncIterator[None]:
    """Goes on while it is open. What is to be done at the end is done then, unless the database is away."""
    notices = Chore(_NOTICES_FORGOTTEN_EVERY_S, lambda: forget_old_notices(storage), after_s=_NOTICES_FORGOTTEN_EVERY_S)
    keeping = asyncio.create_task(keep_up(storage, [*chores, notices]))
    try:
        yield
    finally:
        keeping.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await keeping
        for chore in chores:
            try:
                await (chore.at_the_end or chore.do)()
            except Exception as failure:  # noqa: BLE001 - logged; the others have things to do, too
                _tell(failure)


async def keep_up(storage: Storage, chores: Sequence[Chore]) -> None:
    """Until it is cancelled. A database that is away is waited for, a key ring that is no good is told of once.

    Whatever else fails is logged, and the next look made a second later: where nobody looks, revoked keys stay good for the gateway.
    """
    for sentence in storage.warnings:
        _log.warning(sentence)
    while True:
        try:
            for chore in chores:
                await chore.do_if_due()
            await storage.database.changed()
            await storage.database.catch_up()
            await look_at_keys(storage)
        except Exception as failure:  # noqa: BLE001 - see above
            _tell(failure)
            await asyncio.sleep(1.0)


def _tell(failure: Exception) -> None:
    if isinstance(failure, Error):
        _log.debug("waiting for the database", reason=failure.message)
    else:
        _log.error("keeping up with other processes failed", exc_info=failure)


async def look_at_keys(storage: Storage) -> None:
    """Take up the key ring if its file changed. One that is no good is noted in the log, without its content, and the ring stays."""
    sentence = await storage.key_watch.look()
    if sentence is not None:
        _log.warning("the key ring in use stays as it is", reason=sentence)


async def forget_old_notices(storage: Storage) -> None:
    """A few at a time, so that nobody waits."""
    more = True
    while more:
        more = await storage.database.write(prune)
