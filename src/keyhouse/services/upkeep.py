"""What a server does while nobody asks: it keeps up with other processes and with the key ring's file, and does its chores."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence

import msgspec
import structlog

from keyhouse.domain.errors import Error
from keyhouse.storage.changes import prune
from keyhouse.storage.opening import Storage

_NOTICES_FORGOTTEN_EVERY_S = 600.0
_KEYS_LOOKED_AT_EVERY_S = 1.0
_AGAIN_S = 0.25
_log = structlog.get_logger("keyhouse")


class Chore(msgspec.Struct, frozen=True):
    """Something to do every so many seconds, first `after_s` seconds after the start, and, if there is more to it, at the end."""

    every_s: float
    do: Callable[[], Awaitable[None]]
    at_the_end: Callable[[], Awaitable[None]] | None = None
    after_s: float = 0.0


@contextlib.asynccontextmanager
async def upkeep(storage: Storage, chores: Sequence[Chore]) -> AsyncIterator[None]:
    """Goes on while it is open. What is to be done at the end is done then, unless the database is away.

    Nothing waits for anything else: a chore may have to wait for a lock, and a revoked key must not.
    """
    for sentence in storage.warnings:
        _log.warning(sentence)
    notices = Chore(_NOTICES_FORGOTTEN_EVERY_S, lambda: forget_old_notices(storage), after_s=_NOTICES_FORGOTTEN_EVERY_S)
    keys = Chore(_KEYS_LOOKED_AT_EVERY_S, lambda: look_at_keys(storage))
    keeping = [asyncio.create_task(keep_up(storage)), *(asyncio.create_task(_repeat(chore)) for chore in (*chores, notices, keys))]
    try:
        yield
    finally:
        for task in keeping:
            task.cancel()
        await asyncio.wait(keeping)
        for chore in chores:
            try:
                await (chore.at_the_end or chore.do)()
            except Exception as failure:  # noqa: BLE001 - logged; the others have things to do, too
                _tell(failure)


async def keep_up(storage: Storage) -> None:
    """Until it is cancelled. A database that is away is asked again and again.

    Whatever else fails is logged, and the next look made soon: where nobody looks, revoked keys stay good for the gateway.
    """
    while True:
        try:
            await storage.database.changed()
            await storage.database.catch_up()
        except Exception as failure:  # noqa: BLE001 - see above
            _tell(failure)
            await asyncio.sleep(_AGAIN_S)


async def _repeat(chore: Chore) -> None:
    """Until it is cancelled. What fails is tried again when it is due the next time."""
    await asyncio.sleep(chore.after_s)
    while True:
        try:
            await chore.do()
        except Exception as failure:  # noqa: BLE001 - logged; the next time may be better
            _tell(failure)
        await asyncio.sleep(chore.every_s)


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
