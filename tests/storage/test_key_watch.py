"""What a running process makes of a key file that changes under it, on both databases."""

import asyncio
import contextlib
from pathlib import Path
from typing import ClassVar

import pytest

from keyhouse.domain.errors import Code, Error
from keyhouse.settings import Settings
from keyhouse.storage.database import OnChanges, WritingKeyRetired
from keyhouse.storage.database_url import parse_database_url
from keyhouse.storage.key_file import KeySource, read_key_file, write_key_file
from keyhouse.storage.key_ring import KeyRing, new_key
from keyhouse.storage.key_watch import KeyWatch, NewerRing, usable_ring
from keyhouse.storage.opening import Storage, open_database
from keyhouse.storage.sqlite_connection import connect
from keyhouse.storage.statements import Transaction
from tests.storage.houses import run_on, settings_of, store_secrets


@pytest.fixture
def settings(tmp_path: Path, database_url: str) -> Settings:
    return settings_of(tmp_path, database_url)


def test_a_ring_that_is_no_good_is_told_of_once_and_replaces_nothing(settings: Settings) -> None:
    async def main(storage: Storage) -> None:
        await store_secrets(storage, "sk-1")
        file, ring = settings.key_ring_file, storage.box.ring
        good = file.read_text()
        assert await storage.key_watch.look() is None
        for _ in range(2):
            file.write_text("key-1 = c2VjcmV0")
            assert await storage.key_watch.look() == f"Entry 1 of the key file {file} is not a key: write `id = base64 of 32 bytes`."
            assert await storage.key_watch.look() is None
            file.write_text(good)
            assert await storage.key_watch.look() is None
        file.write_text("")
        assert "holds no key" in (await storage.key_watch.look() or "")
        assert storage.box.ring is ring

    run_on(settings, main)


def test_a_new_key_in_front_writes_and_what_was_opened_before_is_dropped(settings: Settings) -> None:
    async def main(storage: Storage) -> None:
        heard: list[object] = []
        on_changes: OnChanges = heard.append
        storage.database.on_changes = on_changes
        key_id, key = new_key()
        write_key_file(settings.key_ring_file, read_key_file(settings.key_ring_file).with_first(key_id, key))
        assert await storage.key_watch.look() is None
        assert (storage.box.ring.writing_id, heard) == (key_id, [None])
        assert await storage.key_watch.look() is None
        assert heard == [None]
        await store_secrets(storage, "sk-1")

    run_on(settings, main)


def nothing(tx: Transaction) -> None:
    """A write that looks for the database and leaves it as it is."""


def test_a_database_that_is_away_is_no_fault_of_the_ring(tmp_path: Path) -> None:
    database = tmp_path / "keyhouse.db"
    settings = settings_of(tmp_path, f"sqlite:///{database}")

    async def main(storage: Storage) -> None:
        settings.key_ring_file.write_text(f"# as it was\n{settings.key_ring_file.read_text()}")
        database.rename(tmp_path / "elsewhere.db")
        for ask in (lambda: storage.database.write(nothing), storage.key_watch.look):
            with pytest.raises(Error) as refused:
                await ask()
            assert refused.value.code is Code.STORAGE_UNAVAILABLE
        (tmp_path / "elsewhere.db").rename(database)
        await storage.database.write(nothing)
        assert await storage.key_watch.look() is None

    run_on(settings, main)


def test_nor_does_a_write_whose_key_was_retired_meanwhile_blame_the_ring(tmp_path: Path) -> None:
    database = tmp_path / "keyhouse.db"

    async def main(storage: Storage) -> None:
        database.rename(tmp_path / "elsewhere.db")
        with pytest.raises(Error, match="its file was moved"):
            await storage.database.write(nothing)
        with pytest.raises(Error, match="its file was moved") as refused:
            await storage.key_watch.replace_retired()
        assert refused.value.code is Code.STORAGE_UNAVAILABLE

    run_on(settings_of(tmp_path, f"sqlite:///{database}"), main)


class ReadFile(KeySource):
    """A key file that counts how often it is read."""

    times: ClassVar[list[int]] = []

    def load(self) -> KeyRing:
        self.times.append(1)
        return super().load()


def test_a_ring_without_the_key_of_what_is_stored_replaces_nothing(settings: Settings) -> None:
    async def main(storage: Storage) -> None:
        await store_secrets(storage, "sk-1")
        ring = storage.box.ring
        write_key_file(settings.key_ring_file, KeyRing(dict([new_key()]), "a test"))
        assert ring.writing_id in (await storage.key_watch.look() or "")
        assert storage.box.ring is ring

    run_on(settings, main)


def test_a_file_that_did_not_change_is_not_read_again(settings: Settings) -> None:
    async def main(storage: Storage) -> None:
        ReadFile.times.clear()
        watch = KeyWatch(storage.database, storage.box, ReadFile(settings.key_ring_file), accept_unreadable=False)
        for times in (1, 1, 1):
            assert await watch.look() is None
            assert len(ReadFile.times) == times

    run_on(settings, main)


def test_a_box_is_brought_a_file_once_for_each_change_and_never_one_that_is_no_good(tmp_path: Path) -> None:
    source, first, second = KeySource(tmp_path / "keyring"), KeyRing(dict([new_key()]), "a test"), KeyRing(dict([new_key()]), "a test")
    newer = NewerRing(source)
    assert newer(anew=True) is None
    for ring in (first, second):
        write_key_file(source.file, ring)
        for anew in (False, True):
            assert (brought := newer(anew=anew)) is not None
            assert brought.equals(ring)
            assert newer(anew=False) is None
    source.file.write_text("key-1 = c2VjcmV0")
    assert newer(anew=True) is None
    write_key_file(source.file, first)
    assert newer(anew=False) is not None


def test_keys_that_the_database_knows_are_looked_at_while_another_process_writes(tmp_path: Path) -> None:
    database = tmp_path / "keyhouse.db"

    async def main(storage: Storage) -> None:
        with contextlib.closing(connect(database)) as other:
            other.execute("BEGIN IMMEDIATE")
            assert (await usable_ring(storage.database, storage.keys, accept_unreadable=False)).equals(storage.box.ring)

    run_on(settings_of(tmp_path, f"sqlite:///{database}"), main)


def test_before_there_is_a_ring_a_retired_key_is_the_end_of_a_write(database_url: str) -> None:
    def seal(tx: Transaction) -> None:
        raise WritingKeyRetired

    async def main() -> None:
        database = open_database(parse_database_url(database_url))
        try:
            with pytest.raises(Error, match="was retired") as refused:
                await database.write(seal)
            assert refused.value.code is Code.STORAGE_UNAVAILABLE
        finally:
            await database.close()

    asyncio.run(main())
