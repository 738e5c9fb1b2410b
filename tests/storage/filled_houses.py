"""A house with secrets in it, and what is sealed there with which key."""

import contextlib
from collections.abc import AsyncIterator

from keyhouse.services.key_rotation import Progress, rotate
from keyhouse.settings import Settings
from keyhouse.storage.opening import Storage
from keyhouse.storage.secret_box import key_id_of
from tests.storage.houses import opened, sealed_values, store_secrets

SECRETS = tuple(f"sk-planted-{number}" for number in range(12))


@contextlib.asynccontextmanager
async def filled(settings: Settings) -> AsyncIterator[Storage]:
    async with opened(settings) as storage:
        await store_secrets(storage, *SECRETS)
        yield storage


async def rotated(storage: Storage) -> Progress:
    """Rotate to the end; the last word."""
    return [progress async for progress in rotate(storage, settle_s=0)][-1]


async def plaintexts(storage: Storage) -> set[bytes]:
    return {storage.box.open(value.blob, value.context) for value in await sealed_values(storage)}


async def keys_in_use(storage: Storage) -> set[str]:
    values = await sealed_values(storage)
    assert all(key_id_of(value.blob) == value.key_id for value in values)
    return {value.key_id for value in values}
