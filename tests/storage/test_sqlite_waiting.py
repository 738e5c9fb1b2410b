"""Writes on SQLite that wait: for another process, for a second attempt, for the log to be emptied."""

import asyncio
import contextlib
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from keyhouse.domain.errors import Error
from keyhouse.storage.changes import note_change
from keyhouse.storage.database import ChangeNotice
from keyhouse.storage.opening import Storage
from keyhouse.storage.sqlite import SqliteDatabase
from keyhouse.storage.statements import Transaction, insert_into
from tests.storage.houses import opened, run_on, settings_of
from tests.storage.no_room import TOLD, no_further_thread

_PUT = insert_into("installation", "name, value")
_CHANGE = "INSERT INTO changes (at, organization_id, project_id, revision) VALUES (1, NULL, 'theirs', 1)"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "keyhouse.db"


@contextlib.contextmanager
def other_writer(file: Path) -> Iterator[sqlite3.Connection]:
    """Another process, which writes."""
    with contextlib.closing(sqlite3.connect(file, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        yield other


def put(tx: Transaction) -> None:
    tx.run(_PUT, name="given", value="written")
    note_change(tx, None, "ours", 1)


def put_then_fail(tx: Transaction) -> None:
    tx.run(_PUT, name="undone", value="written")
    note_change(tx, None, "ours", 2)
    raise LookupError


def listening(storage: Storage) -> list[ChangeNotice]:
    heard: list[ChangeNotice] = []
    storage.database.on_changes = lambda notices: heard.extend(notices or ())
    return heard


async def begun(storage: Storage) -> "asyncio.Task[None]":
    """A write that waits for another process."""
    writing = asyncio.create_task(storage.database.write(put))
    for _ in range(5):
        await asyncio.sleep(0)
    return writing


def test_what_was_written_while_a_write_waited_is_heard_of(tmp_path: Path, file: Path) -> None:
    async def main(storage: Storage) -> None:
        await storage.database.write(lambda tx: note_change(tx, None, "ours", 0))
        heard = listening(storage)
        with other_writer(file) as other:
            writing = await begun(storage)
            other.execute(_CHANGE)
            other.execute("COMMIT")
            await writing
        await storage.database.catch_up()
        assert {notice.project_id for notice in heard} == {"ours", "theirs"}

    run_on(settings_of(tmp_path, f"sqlite:///{file}"), main)


def test_what_takes_the_number_of_a_notice_that_was_undone_is_heard_of(tmp_path: Path, file: Path) -> None:
    async def main(storage: Storage) -> None:
        heard = listening(storage)
        outcomes = await asyncio.gather(*map(storage.database.write, (put, put_then_fail)), return_exceptions=True)
        assert [type(outcome) for outcome in outcomes] == [type(None), LookupError]
        heard.clear()
        with other_writer(file) as other:
            other.execute(_CHANGE)
            other.execute("COMMIT")
        await storage.database.catch_up()
        assert "theirs" in {notice.project_id for notice in heard}

    run_on(settings_of(tmp_path, f"sqlite:///{file}"), main)


def test_nothing_is_confirmed_into_a_file_that_went_while_a_write_waited(tmp_path: Path, file: Path) -> None:
    async def main(storage: Storage) -> None:
        with other_writer(file) as other:
            writing = await begun(storage)
            file.rename(tmp_path / "elsewhere")
            other.execute("COMMIT")
            with pytest.raises(Error, match="moved, removed or replaced"):
                await writing
        (tmp_path / "elsewhere").rename(file)
        await storage.database.write(put)

    run_on(settings_of(tmp_path, f"sqlite:///{file}"), main)


def test_a_write_that_would_wait_and_has_no_thread_for_it_fails(tmp_path: Path, file: Path) -> None:
    async def main() -> None:
        async with opened(settings_of(tmp_path, f"sqlite:///{file}")):
            database = SqliteDatabase(file)
        with other_writer(file), no_further_thread(), pytest.raises(Error) as refused:
            async with asyncio.timeout(30):
                await database.write(put)
        assert refused.value.message == TOLD
        await database.write(put)
        await database.close()

    asyncio.run(main())


def test_what_is_to_leave_no_trace_has_left_the_log_when_it_is_told(tmp_path: Path, file: Path) -> None:
    def without_trace(tx: Transaction) -> None:
        put(tx)
        tx.leave_no_trace()

    async def main(storage: Storage) -> None:
        await storage.database.write(without_trace)
        assert (tmp_path / "keyhouse.db-wal").stat().st_size == 0

    run_on(settings_of(tmp_path, f"sqlite:///{file}"), main)


def test_one_who_fails_as_it_is_told_keeps_nobody_waiting(tmp_path: Path, file: Path) -> None:
    async def main(storage: Storage) -> None:
        def fail(*_: object) -> None:
            raise LookupError

        assert storage.database.at_once is not None
        storage.database.at_once.begin_write(lambda tx: None, lambda given: given, fail)
        storage.database.at_once.begin_write(lambda tx: None, lambda given: given, fail)
        async with asyncio.timeout(30):
            await asyncio.gather(storage.database.write(put), storage.database.write(lambda tx: None))

    run_on(settings_of(tmp_path, f"sqlite:///{file}"), main)


def test_one_who_closes_and_goes_keeps_no_other_from_it(tmp_path: Path, file: Path) -> None:
    async def main() -> None:
        async with opened(settings_of(tmp_path, f"sqlite:///{file}")) as storage:
            with other_writer(file):
                writing = await begun(storage)
                gone, stays = (asyncio.create_task(storage.database.close()) for _ in range(2))
                await asyncio.sleep(0)
                gone.cancel()
            async with asyncio.timeout(30):
                await writing
                await stays

    asyncio.run(main())
