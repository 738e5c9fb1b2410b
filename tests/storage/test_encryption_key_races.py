"""Retiring and rotating keys while others write, on both databases: no race lets a key go that still seals something."""

import asyncio
import contextlib
import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, ClassVar, cast

import pytest

from keyhouse.domain.credentials import Credentials
from keyhouse.domain.errors import Code, Error
from keyhouse.services.encryption_keys import retire, status
from keyhouse.settings import Settings
from keyhouse.storage.encryption_keys import retire_key
from keyhouse.storage.key_file import KeySource, read_key_file
from keyhouse.storage.key_ring import KeyRing
from keyhouse.storage.key_watch import NewerRing
from keyhouse.storage.model_providers import list_stored
from keyhouse.storage.opening import Storage
from keyhouse.storage.sealed_values import BEFORE_ALL, destroy_one, lock_sealed_under_other_keys, put_sealed
from keyhouse.storage.secret_box import SecretBox, Unreadable
from keyhouse.storage.sqlite_connection import SqliteTransaction, connect
from keyhouse.storage.statements import Row, Statement, Transaction
from tests.conftest import PostgresServer
from tests.storage.filled_houses import SECRETS, filled, keys_in_use, plaintexts, rotated
from tests.storage.held_writes import Held, waits_for_a_lock
from tests.storage.houses import openai_key, opened, project_caller, providers_of, run_on, sealed_values, settings_of


@pytest.fixture
def settings(tmp_path: Path, database_url: str) -> Settings:
    return settings_of(tmp_path, database_url)


def sealing(storage: Storage, tx: Transaction) -> None:
    put_sealed(tx, storage.box, ("", "a test"), "field", b"sk-racing")


@contextlib.contextmanager
def held_open(settings: Settings) -> Iterator[tuple[Transaction, sqlite3.Connection]]:
    """Another process's write transaction on SQLite, until it is committed."""
    connection = connect(Path(settings.url.removeprefix("sqlite:///")))
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield SqliteTransaction(connection), connection
    finally:
        connection.close()


async def two_keys(storage: Storage) -> str:
    """Rotate, and put the old key in front again, as a server has it that did not notice yet; the old key's id."""
    old = storage.box.ring
    await rotated(storage)
    storage.box.use(old)
    return old.writing_id


def test_a_value_that_another_write_holds_is_passed_over(tmp_path: Path, postgres_server: PostgresServer) -> None:
    async def main() -> None:
        async with filled(settings_of(tmp_path, postgres_server.new_database())) as storage:
            values, held = await sealed_values(storage), Held()
            place = values[0].place

            def destroy(tx: Transaction) -> None:
                destroy_one(tx, *place)
                held.wait(tx)

            destroying = asyncio.create_task(storage.database.write(destroy))
            await held.done.wait()
            found = await storage.database.write(lambda tx: lock_sealed_under_other_keys(tx, "another", BEFORE_ALL, 100))
            held.let_go()
            await destroying
            assert list(found) == [value for value in values if value.place != place]
            assert found

    asyncio.run(main())


def test_a_key_is_not_retired_while_a_write_with_it_is_under_way(settings: Settings) -> None:
    async def sqlite() -> None:
        async with filled(settings) as storage, opened(settings) as lagging:
            old = await two_keys(lagging)
            with held_open(settings) as (tx, connection):
                sealing(lagging, tx)
                retiring = asyncio.create_task(retire(storage, old))
                while not storage.database._writes.is_in_use:  # type: ignore[attr-defined]  # it has begun to wait for the other process
                    await asyncio.sleep(0)
                connection.execute("COMMIT")
                with pytest.raises(Error, match=f"The key {old} still seals 1 value"):
                    await retiring

    async def postgresql() -> None:
        async with filled(settings) as storage, opened(settings) as lagging:
            old, held = await two_keys(lagging), Held()
            writing = asyncio.create_task(lagging.database.write(lambda tx: (sealing(lagging, tx), held.wait(tx))))
            await held.done.wait()
            retiring = asyncio.create_task(retire(storage, old))
            await waits_for_a_lock(settings)
            held.let_go()
            await writing
            with pytest.raises(Error, match=f"The key {old} still seals 1 value"):
                await retiring
            assert old in read_key_file(settings.key_ring_file).ids
            assert b"sk-racing" in await plaintexts(storage)

    asyncio.run(sqlite() if settings.url.startswith("sqlite") else postgresql())


def test_a_write_that_waited_for_a_retirement_is_sealed_with_the_new_key(settings: Settings) -> None:
    async def sqlite() -> None:
        async with filled(settings) as storage, opened(settings) as lagging:
            old = await two_keys(lagging)
            with held_open(settings) as (tx, connection):
                retire_key(tx, old)
                writing = asyncio.create_task(lagging.database.write(lambda tx: sealing(lagging, tx)))
                while not lagging.database._writes.is_in_use:  # type: ignore[attr-defined]
                    await asyncio.sleep(0)
                connection.execute("COMMIT")
                await writing
            assert await keys_in_use(storage) == {lagging.box.ring.writing_id}
            assert lagging.box.ring.writing_id != old

    async def postgresql() -> None:
        async with filled(settings) as storage, opened(settings) as lagging:
            old, held = await two_keys(lagging), Held()
            retiring = asyncio.create_task(storage.database.write(lambda tx: (retire_key(tx, old), held.wait(tx))))
            await held.done.wait()
            writing = asyncio.create_task(lagging.database.write(lambda tx: sealing(lagging, tx)))
            await waits_for_a_lock(settings)
            held.let_go()
            await retiring
            await writing
            assert await keys_in_use(storage) == {lagging.box.ring.writing_id}
            assert lagging.box.ring.writing_id != old
            assert b"sk-racing" in await plaintexts(storage)

    asyncio.run(sqlite() if settings.url.startswith("sqlite") else postgresql())


def test_rotation_and_deletion_do_not_wait_for_each_other_in_a_circle(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("keyhouse.services.key_rotation._BATCH", 4)

    async def main() -> None:
        async with filled(settings) as storage, opened(settings) as other:
            caller, providers = await project_caller(other), providers_of(other)

            async def store_and_delete() -> None:
                for number in range(15):
                    for secret in range(4):
                        await providers.upsert(caller, "openai", openai_key(f"sk-{number}-{secret}"), None)
                    await providers.delete(caller, "openai", None)

            deleting = asyncio.create_task(store_and_delete())
            while not deleting.done():
                await rotated(storage)
            await deleting
            assert (await status(storage.database, storage.keys)).unreadable == 0

    asyncio.run(main())


class Overtaken:
    """A transaction in which something else happens right after its first rows were read."""

    def __init__(self, tx: Transaction, meanwhile: Callable[[], None]) -> None:
        self._tx = tx
        self._meanwhile = meanwhile

    def __getattr__(self, name: str) -> Any:
        return getattr(self._tx, name)

    def rows(self, statement: Statement, **values: object) -> list[Row]:
        found, meanwhile, self._meanwhile = self._tx.rows(statement, **values), self._meanwhile, lambda: None
        meanwhile()
        return found


def in_another_thread(settings: Settings, work: Callable[[Storage], Awaitable[Any]]) -> None:
    """Do it and return, also on a running event loop."""
    with ThreadPoolExecutor() as thread:
        thread.submit(run_on, settings, work).result()


async def replace_every_key(storage: Storage) -> None:
    await rotated(storage)
    for key_id in storage.box.ring.ids[1:]:
        await retire(storage, key_id)


class Overtaking:
    """Reads a provider's credentials in a process that is slow to notice keys; the first time, all keys are replaced under its reading."""

    def __init__(self, lagging: Storage, settings: Settings, project_id: str) -> None:
        self._lagging = lagging
        self._settings = settings
        self._project_id = project_id
        self.replaced = 0

    def __call__(self, tx: Transaction) -> Credentials:
        overtaken = tx if self.replaced else cast("Transaction", Overtaken(tx, self._replace))
        return list_stored(overtaken, self._lagging.box, self._project_id)["openai"].provider.credentials

    def or_refuse(self, tx: Transaction) -> Credentials:
        credentials = self(tx)
        if not credentials.readable:
            raise Error(Code.CREDENTIALS_UNREADABLE, "They cannot be read.")
        return credentials

    def _replace(self) -> None:
        self.replaced += 1
        in_another_thread(self._settings, replace_every_key)


@contextlib.asynccontextmanager
async def overtaken_in(settings: Settings) -> AsyncIterator[tuple[Storage, Overtaking]]:
    async with filled(settings) as storage, opened(settings) as lagging:
        caller = await project_caller(lagging)
        await rotated(storage)
        yield lagging, Overtaking(lagging, settings, caller.project_id or "")


def test_a_value_that_is_sealed_anew_between_its_reading_and_its_opening_is_read_again(settings: Settings) -> None:
    async def main() -> None:
        async with overtaken_in(settings) as (lagging, overtaking):
            found = await lagging.database.read(overtaking)
            assert (found.opened(), overtaking.replaced) == ({"OPENAI_API_KEY": SECRETS[-1]}, 1)

    asyncio.run(main())


@pytest.mark.parametrize("refuses", [False, True])
def test_so_is_one_that_a_write_reads(tmp_path: Path, postgres_server: PostgresServer, *, refuses: bool) -> None:
    """On SQLite nothing is sealed anew while a write is under way."""

    async def main() -> None:
        async with overtaken_in(settings_of(tmp_path, postgres_server.new_database())) as (lagging, overtaking):
            found = await lagging.database.write(overtaking.or_refuse if refuses else overtaking)
            assert (found.opened(), overtaking.replaced) == ({"OPENAI_API_KEY": SECRETS[-1]}, 1)

    asyncio.run(main())


def test_keys_that_are_replaced_again_and_again_are_told_of(settings: Settings) -> None:
    async def main() -> None:
        async with filled(settings) as storage:
            times = []

            def replaced(tx: Transaction) -> None:
                times.append(storage.box.use(storage.box.ring))

            with pytest.raises(Error, match="keys are being replaced again and again") as refused:
                await storage.database.read(replaced)
            assert refused.value.code is Code.STORAGE_UNAVAILABLE
            with pytest.raises(Error, match="keys are being replaced again and again"):
                await storage.database.write(replaced)
            assert len(times) == 12

    asyncio.run(main())


class RotatedFile(KeySource):
    """A key file to which a rotation adds a key right after it was read, as often as there are settings of a house to rotate."""

    houses: ClassVar[list[Settings]] = []

    def load(self) -> KeyRing:
        ring = super().load()
        if self.houses:
            in_another_thread(self.houses.pop(), rotated)
        return ring


def test_a_status_that_a_rotation_overtakes_calls_nothing_unreadable(settings: Settings) -> None:
    async def main() -> None:
        async with filled(settings) as storage:
            RotatedFile.houses[:] = [settings]
            seen = await status(storage.database, RotatedFile(storage.keys.file))
            assert not RotatedFile.houses
            assert (seen.unreadable, [key.canary for key in seen.keys], [key.values > 0 for key in seen.keys]) == (
                0,
                ["right", "right"],
                [True, False],
            )

    asyncio.run(main())


def test_what_came_since_opens_although_an_older_ring_was_just_checked(settings: Settings) -> None:
    """The ring that a process has checked may be older than the one that it has opened a value with meanwhile."""

    async def main() -> None:
        async with filled(settings) as storage, opened(settings) as lagging:
            await rotated(storage)
            checked = storage.box.ring
            await rotated(storage)
            before = await plaintexts(storage)
            assert await plaintexts(lagging) == before
            lagging.box.use(checked)
            assert await plaintexts(lagging) == before

    asyncio.run(main())


class FailingFile(KeySource):
    """A key file that cannot be read the first time, as where a process has too many files open."""

    failures: ClassVar[list[Error]] = []

    def load(self) -> KeyRing:
        if self.failures:
            raise self.failures.pop()
        return super().load()


def test_a_file_that_could_not_be_read_once_is_read_again(settings: Settings) -> None:
    async def main() -> None:
        async with filled(settings) as storage:
            key_id, old = storage.box.ring.writing_id, storage.box.ring
            await rotated(storage)
            value = (await sealed_values(storage))[0]
            FailingFile.failures[:] = [Error(Code.CONFIGURATION, "Too many open files.")]
            box = SecretBox(old, NewerRing(FailingFile(storage.keys.file)))
            with pytest.raises(Unreadable):
                box.open(value.blob, value.context)
            assert box.open(value.blob, value.context)
            assert box.ring.writing_id == key_id

    asyncio.run(main())
