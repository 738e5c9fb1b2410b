"""Machines that share a database, each with a key file of its own that is brought up to date by hand and late; on both databases."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from keyhouse.domain.errors import Error
from keyhouse.services.encryption_keys import retire, status
from keyhouse.services.key_rotation import rotate
from keyhouse.settings import Settings
from keyhouse.storage.encryption_keys import known_key_ids
from keyhouse.storage.fingerprints import OWNER_ID
from keyhouse.storage.key_file import read_key_file, write_key_file
from keyhouse.storage.key_ring import KeyRing, new_key
from keyhouse.storage.opening import Storage
from tests.storage.filled_houses import filled, keys_in_use, plaintexts, rotated
from tests.storage.houses import openai_key, opened, project_caller, providers_of, sealed_values, settings_of


@pytest.fixture
def settings(tmp_path: Path, database_url: str) -> Settings:
    return settings_of(tmp_path, database_url)


class Machines:
    """Two of them. Whatever one stores, both read."""

    def __init__(self, one: Storage, other: Storage) -> None:
        self.one = one
        self.other = other
        self.stored = 0

    async def have(self, machine: Storage, ring: KeyRing, *key_ids: str) -> None:
        """Put keys into a machine's file, in this order; its server notices."""
        write_key_file(machine.keys.file, KeyRing({key_id: ring.key(key_id) or b"" for key_id in key_ids}, ""))
        assert await machine.key_watch.look() is None

    async def store(self) -> None:
        """A new secret on each."""
        for machine in (self.one, self.other):
            self.stored += 1
            secret = f"sk-{self.stored}"
            await providers_of(machine).upsert(await project_caller(machine), "openai", openai_key(secret), None)
            for reader in (self.one, self.other):
                assert f'{{"OPENAI_API_KEY":"{secret}"}}'.encode() in await plaintexts(reader)
                assert (await status(reader.database, reader.keys)).unreadable == 0


@contextlib.asynccontextmanager
async def two_machines(settings: Settings) -> AsyncIterator[Machines]:
    elsewhere = settings_of(settings.data_dir, settings.url, key_file=settings.data_dir / "elsewhere")
    async with filled(settings) as one:
        write_key_file(elsewhere.key_ring_file, one.box.ring)
        async with opened(elsewhere) as other:
            yield Machines(one, other)


def test_a_key_is_replaced_machine_by_machine(settings: Settings) -> None:
    async def main() -> None:
        async with two_machines(settings) as machines:
            one, other, old, (new, key) = machines.one, machines.other, machines.one.box.ring.writing_id, new_key()
            ring = one.box.ring.with_first(new, key)
            for machine in (one, other):
                await machines.have(machine, ring, old, new)
                await machines.store()
            await machines.have(one, ring, new, old)
            await machines.store()
            # Too soon: the other machine does not have it in front yet, and goes on sealing with the old one.
            assert (await rotated(one)).key_id == new
            await machines.store()
            with pytest.raises(Error, match=f"The key {old} still seals 1 value"):
                await retire(one, old)
            await machines.have(other, ring, new, old)
            await machines.store()
            assert ((await rotated(one)).key_id, await keys_in_use(other)) == (new, {new})
            assert await retire(one, old) is None
            await machines.store()
            assert (read_key_file(one.keys.file).ids, read_key_file(other.keys.file).ids) == ((new,), (new, old))
            assert await retire(other, old) is None
            assert read_key_file(other.keys.file).ids == await one.database.read(known_key_ids) == (new,)
            await machines.store()

    asyncio.run(main())


def test_machines_that_put_different_keys_in_front_lose_nothing(settings: Settings) -> None:
    """Each of their rotations moves everything to its own first key; whichever comes last has moved all."""

    async def main() -> None:
        async with two_machines(settings) as machines:
            ring, (second, key), (third, another) = machines.one.box.ring, new_key(), new_key()
            first, ring = ring.writing_id, ring.with_first(second, key).with_first(third, another)
            await machines.have(machines.one, ring, first, second, third)
            await machines.have(machines.other, ring, first, second, third)
            await machines.have(machines.one, ring, second, third, first)
            await machines.have(machines.other, ring, third, second, first)
            await machines.store()
            for machine, key_id in ((machines.one, second), (machines.other, third), (machines.one, second)):
                assert (await rotated(machine)).key_id == key_id
                assert await keys_in_use(machine) == {key_id}
                await machines.store()

    asyncio.run(main())


def test_at_each_step_of_a_rotation_a_server_starts_and_reads_everything(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("keyhouse.services.key_rotation._BATCH", 3)

    async def look(before: set[bytes], fingerprint: str) -> None:
        async with opened(settings) as started:
            assert await plaintexts(started) == before
            assert started.fingerprint("field", "value") == fingerprint
            assert (await status(started.database, started.keys)).unreadable == 0
            assert [value.context.owner_id for value in await sealed_values(started)].count(OWNER_ID) == 1

    async def main() -> None:
        async with filled(settings) as storage:
            before, fingerprint, old = await plaintexts(storage), storage.fingerprint("field", "value"), storage.box.ring.writing_id
            async for _ in rotate(storage, settle_s=0):
                await look(before, fingerprint)
            await retire(storage, old)
            await look(before, fingerprint)

    asyncio.run(main())
