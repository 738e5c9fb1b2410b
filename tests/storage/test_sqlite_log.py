"""SQLite's write-ahead log: what a reader made it grow to, and what has to leave it, goes as soon as it can, and holds up no write."""

import asyncio
import contextlib
import sqlite3
from pathlib import Path

import pytest

from keyhouse.settings import Settings
from keyhouse.storage.opening import Storage
from keyhouse.storage.sqlite_connection import LOG_BYTES
from keyhouse.storage.statements import Transaction, insert_into
from tests.storage.houses import run_on, settings_of

_PUT = insert_into("installation", "name, value")


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return settings_of(tmp_path, f"sqlite:///{tmp_path / 'keyhouse.db'}")


def put(name: str):  # type: ignore[no-untyped-def]
    return lambda tx: tx.run(_PUT, name=name, value="written")


def put_without_trace(tx: Transaction) -> None:
    tx.run(_PUT, name="traceless", value="written")
    tx.leave_no_trace()


def test_the_log_that_a_long_reader_made_grow_is_small_again_after_it(settings: Settings, tmp_path: Path) -> None:
    log = tmp_path / "keyhouse.db-wal"

    async def main(storage: Storage) -> None:
        with contextlib.closing(sqlite3.connect(tmp_path / "keyhouse.db")) as reader:
            reader.execute("BEGIN")
            reader.execute("SELECT count(*) FROM installation").fetchone()
            await storage.database.write(lambda tx: tx.run(_PUT, name="long", value="x" * LOG_BYTES))
            await storage.database.write(lambda tx: tx.run(_PUT, name="longer", value="x" * LOG_BYTES))
            assert log.stat().st_size > LOG_BYTES
            reader.execute("COMMIT")
        for number in range(2):
            await storage.database.write(put(f"short {number}"))
        assert log.stat().st_size <= LOG_BYTES + 64 * 1024

    run_on(settings, main)


def test_a_log_that_a_reader_keeps_from_being_emptied_holds_up_no_write_and_is_emptied_after_it(settings: Settings, tmp_path: Path) -> None:
    log = tmp_path / "keyhouse.db-wal"

    async def main(storage: Storage) -> None:
        database = storage.database
        with contextlib.closing(sqlite3.connect(tmp_path / "keyhouse.db")) as reader:
            reader.execute("BEGIN")
            reader.execute("SELECT count(*) FROM installation").fetchone()
            await database.write(put_without_trace)
            first = asyncio.create_task(database.write(put("first")))
            await asyncio.sleep(0)
            changed = asyncio.create_task(database.changed())
            await asyncio.gather(first, *(database.write(put(f"{number}")) for number in range(3)))
            changed.cancel()
            assert log.stat().st_size > 0
        emptied: list[str] = []
        database._writer.set_trace_callback(lambda statement: emptied.append(statement) if "checkpoint" in statement else None)  # type: ignore[attr-defined]
        changed = asyncio.create_task(database.changed())
        async with asyncio.timeout(60):
            while log.stat().st_size > 0:
                await asyncio.sleep(0)
        changed.cancel()
        await database.write(put("last"))
        assert len(emptied) == 1

    run_on(settings, main)


def test_a_log_that_is_to_be_emptied_begins_no_second_write_beside_one_that_waits(settings: Settings, tmp_path: Path) -> None:
    async def main(storage: Storage) -> None:
        database = storage.database
        with contextlib.closing(sqlite3.connect(tmp_path / "keyhouse.db", isolation_level=None)) as other:
            other.execute("BEGIN")
            other.execute("SELECT count(*) FROM installation").fetchone()
            await database.write(put_without_trace)
            other.execute("COMMIT")
            other.execute("BEGIN IMMEDIATE")
            waiting = asyncio.create_task(database.write(put("first")))
            while (patient := database._writes._patient) is None or patient.done():  # type: ignore[attr-defined]
                await asyncio.sleep(0)
            changed = asyncio.create_task(database.changed())
            for _ in range(3):
                await asyncio.sleep(0)
            assert database._writes._patient is patient  # type: ignore[attr-defined]
            other.execute("COMMIT")
        await waiting
        changed.cancel()

    run_on(settings, main)


def test_a_write_is_made_though_the_log_could_not_be_emptied_after_it(settings: Settings) -> None:
    async def main(storage: Storage) -> None:
        writer = storage.database._writer  # type: ignore[attr-defined]
        writer.set_trace_callback(lambda statement: writer.interrupt() if "checkpoint" in statement else None)
        await storage.database.write(put_without_trace)
        assert storage.database._writes.transaction.left_traces  # type: ignore[attr-defined]
        writer.set_trace_callback(None)

    run_on(settings, main)
