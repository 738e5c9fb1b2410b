"""What a server does while nobody asks: it keeps up with other processes and with the key ring's file, and forgets old notices."""

import asyncio
import time

import structlog

from keyhouse.domain.errors import Error
from keyhouse.storage.changes import prune
from keyhouse.storage.opening import Storage

_PRUNE_EVERY_S = 600.0
_log = structlog.get_logger("keyhouse")


async def keep_up(storage: Storage) -> None:
    """Until it is cancelled. A database that is away is waited for, a key ring that is no good is told of once."""
    for sentence in storage.warnings:
        _log.warning(sentence)
    pruned_at = time.monotonic()
    while True:
        try:
            await storage.database.changed()
            await storage.database.catch_up()
            await look_at_keys(storage)
            if time.monotonic() - pruned_at > _PRUNE_EVERY_S:
                await forget_old_notices(storage)
                pruned_at = time.monotonic()
        except Error as error:
            _log.debug("waiting for the database", reason=error.message)
            await asyncio.sleep(1.0)


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
