"""Key rings that somebody edits while they are read, checked, rotated or retired from, on both databases: no key is lost by that."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, ClassVar, cast

import pytest
from msgspec.structs import replace

from keyhouse.services.encryption_keys import retire
from keyhouse.settings import Settings
from keyhouse.storage.database import Database, Work
from keyhouse.storage.database_url import parse_database_url
from keyhouse.storage.encryption_keys import known_key_ids, retire_key
from keyhouse.storage.key_file import KeySource, read_key_file, write_key_file
from keyhouse.storage.key_ring import KeyRing, new_key
from keyhouse.storage.key_watch import KeyWatch, usable_ring
from keyhouse.storage.opening import prepare_storage
from tests.storage.filled_houses import filled, keys_in_use, plaintexts, rotated
from tests.storage.houses import opened, settings_of


@pytest.fixture
def settings(tmp_path: Path, database_url: str) -> Settings:
    return settings_of(tmp_path, database_url)


class ReplacedFile(KeySource):
    """A key file that somebody replaces right after it was read, as often as there are rings to come."""

    coming: ClassVar[list[KeyRing]] = []

    def load(self) -> KeyRing:
        ring = super().load()
        if self.coming:
            write_key_file(self.file, self.coming.pop(0))
        return ring


def test_a_ring_that_was_replaced_twice_while_it_was_read_is_read_again(settings: Settings) -> None:
    async def main() -> None:
        async with filled(settings) as storage:
            right = storage.keys.load()
            write_key_file(storage.keys.file, KeyRing(dict([new_key()]), "a test"))
            ReplacedFile.coming[:] = [KeyRing(dict([new_key()]), "a test"), right]
            ring = await usable_ring(storage.database, ReplacedFile(storage.keys.file), accept_unreadable=False)
            assert ring.equals(right)

    asyncio.run(main())


def test_a_ring_that_was_replaced_while_it_was_checked_is_not_taken_up(settings: Settings) -> None:
    """Of two that look at once, the one that read the older ring may be done last."""

    async def main() -> None:
        async with filled(settings) as storage, opened(settings) as lagging:
            await rotated(storage)
            ReplacedFile.coming[:] = [storage.box.ring.with_first(*new_key())]
            await KeyWatch(lagging.database, lagging.box, ReplacedFile(storage.keys.file), accept_unreadable=False).take_up()
            assert not ReplacedFile.coming
            assert lagging.box.ring.equals(storage.keys.load())

    asyncio.run(main())


def test_a_key_that_is_added_by_hand_during_a_rotation_stays(settings: Settings) -> None:
    """A server may have sealed with it already."""

    async def main() -> None:
        async with filled(settings) as storage, opened(settings) as server:
            ring, (key_id, key) = storage.keys.load(), new_key()
            ReplacedFile.coming[:] = [ring.with_first(key_id, key)]
            last = await rotated(replace(storage, keys=ReplacedFile(storage.keys.file)))
            assert not ReplacedFile.coming
            assert read_key_file(storage.keys.file).ids == (last.key_id, key_id, ring.writing_id)
            assert read_key_file(storage.keys.file).key(key_id) == key
            assert await keys_in_use(storage) == {last.key_id}
            assert await plaintexts(server) == await plaintexts(storage)

    asyncio.run(main())


def test_a_key_that_is_added_by_hand_during_a_retirement_stays(settings: Settings) -> None:
    async def main() -> None:
        async with filled(settings) as storage:
            old = storage.box.ring.writing_id
            await rotated(storage)
            ring, (key_id, key) = storage.keys.load(), new_key()
            ReplacedFile.coming[:] = [ring.with_first(key_id, key)]
            assert await retire(replace(storage, keys=ReplacedFile(storage.keys.file)), old) is None
            assert not ReplacedFile.coming
            assert read_key_file(storage.keys.file).ids == (key_id, ring.writing_id)
            assert read_key_file(storage.keys.file).key(key_id) == key

    asyncio.run(main())


class Between:
    """A database on which something else happens right after each reading."""

    def __init__(self, database: Database, meanwhile: Callable[[], Awaitable[object]]) -> None:
        self._database = database
        self._meanwhile = meanwhile

    def __getattr__(self, name: str) -> Any:
        return getattr(self._database, name)

    async def read(self, work: Work[Any]) -> Any:
        found = await self._database.read(work)
        await self._meanwhile()
        return found


def test_a_ring_with_a_new_key_of_which_another_one_is_just_retired_is_taken_up(settings: Settings) -> None:
    async def main() -> None:
        async with filled(settings) as storage:
            old, (key_id, key) = storage.box.ring.writing_id, new_key()
            last = await rotated(storage)
            ring = KeyRing({**{each: storage.box.ring.key(each) or b"" for each in storage.box.ring.ids}, key_id: key}, "")
            write_key_file(storage.keys.file, ring)
            database = Between(storage.database, lambda: storage.database.write(lambda tx: retire_key(tx, old)))
            usable = await usable_ring(cast("Database", database), storage.keys, accept_unreadable=False)
            assert usable.ids == (last.key_id, key_id)
            assert set(await storage.database.read(known_key_ids)) == {last.key_id, key_id}

    asyncio.run(main())


class MadeMeanwhile(KeySource):
    """A key file that somebody makes right after it was found missing."""

    made: ClassVar[list[KeyRing]] = []

    @property
    def exists(self) -> bool:
        found = super().exists
        if self.made:
            write_key_file(self.file, self.made.pop())
        return found


def test_of_two_first_starts_in_one_folder_the_second_takes_the_ring_of_the_first(tmp_path: Path, empty_database_url: str) -> None:
    """Two databases may share a folder: their starts do not wait for each other."""

    async def main() -> None:
        ring, file = KeyRing(dict([new_key()]), ""), tmp_path / "keyring"
        MadeMeanwhile.made[:] = [ring]
        storage = await prepare_storage(parse_database_url(empty_database_url), MadeMeanwhile(file))
        await storage.database.close()
        assert not MadeMeanwhile.made
        assert read_key_file(file).equals(ring)
        assert storage.box.ring.equals(ring)

    asyncio.run(main())
