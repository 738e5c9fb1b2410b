"""A process of its own that rotates and retires keys without a pause: `python -m bench.chaos.replacing SECONDS`, by the settings around it.

Several may run at once, and each may be killed at any moment. Says what it did, as JSON; ends with 1 where a value could not be read.
"""

import asyncio
import json
import sys
import time
from collections import Counter

from bench.chaos.house import FoundError
from keyhouse.app import opened_storage
from keyhouse.domain.errors import Code, Error
from keyhouse.services.encryption_keys import retire, status
from keyhouse.services.key_rotation import rotate
from keyhouse.settings import read_settings
from keyhouse.storage.opening import Storage

_NO_FAULT = (Code.CONFLICT, Code.NOT_FOUND, Code.STORAGE_UNAVAILABLE)
"""A key is still or again in use, another process was sooner, or the database is away."""


async def replace(until: float) -> Counter[str]:
    """Open anew for each replacement, as a command does."""
    done = Counter[str]()
    while time.monotonic() < until:
        try:
            async with opened_storage(read_settings()) as storage:
                await _replace(storage, done)
        except Error as refused:
            if refused.code not in _NO_FAULT:
                raise
            done[refused.code.value] += 1
    return done


async def _replace(storage: Storage, done: Counter[str]) -> None:
    async for progress in rotate(storage, settle_s=0):
        if progress.unreadable:
            raise FoundError(f"a rotation could not read {progress}")
    done["rotations"] += 1
    seen = await status(storage.database, storage.keys)
    if seen.unreadable:
        raise FoundError(f"a status between rotations finds {seen}")
    for key in seen.keys:
        if not key.writes:
            await retire(storage, key.id)
            done["retirements"] += 1


if __name__ == "__main__":
    print(json.dumps(asyncio.run(replace(time.monotonic() + float(sys.argv[1])))))
