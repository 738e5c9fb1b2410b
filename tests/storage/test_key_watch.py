"""What a running process makes of a key file that changes under it, on both databases."""

from pathlib import Path

import pytest

from keyhouse.domain.errors import Code, Error
from keyhouse.settings import Settings
from keyhouse.storage.database import OnChanges
from keyhouse.storage.key_file import read_key_file, write_key_file
from keyhouse.storage.key_ring import new_key
from keyhouse.storage.opening import Storage
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
