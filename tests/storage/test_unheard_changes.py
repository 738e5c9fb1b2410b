"""Whoever is to hear of a write may fail at that: the write was committed all the same, and the next look tells of it again."""

import asyncio
import contextlib
import logging
import sqlite3
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from keyhouse.storage.changes import note_change
from keyhouse.storage.database import ChangeNotice
from keyhouse.storage.opening import Storage
from keyhouse.storage.sqlite import SqliteDatabase
from keyhouse.storage.statements import Statement, Transaction, insert_into
from tests.storage.houses import run_on, settings_of

_PUT = insert_into("installation", "name, value")
_NAMES = Statement("SELECT name FROM installation WHERE name LIKE 'told%' ORDER BY name")
_WENT_ON = "Nobody could be told of what was committed."


class Listener:
    """Fails as often as it is to."""

    def __init__(self, failures: int) -> None:
        self.left = failures
        self.heard: list[ChangeNotice] = []

    def __call__(self, notices: Sequence[ChangeNotice] | None) -> None:
        if self.left:
            self.left -= 1
            raise LookupError("It can not listen.")
        self.heard += notices or ()


def told(number: int, *, without_trace: bool = False) -> Callable[[Transaction], int]:
    def work(tx: Transaction) -> int:
        tx.run(_PUT, name=f"told {number}", value="written")
        note_change(tx, None, f"project_{number}", 1)
        if without_trace:
            tx.leave_no_trace()
        return number

    return work


def failing(tx: Transaction) -> int:
    tx.run(_PUT, name="told never", value="written")
    return 1 // 0


async def names_of(storage: Storage) -> list[str]:
    return [name for (name,) in await storage.database.read(lambda tx: tx.rows(_NAMES))]


def test_a_write_that_nobody_could_be_told_of_is_made_and_told_of_later(
    tmp_path: Path, database_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    async def main(storage: Storage) -> None:
        listener = storage.database.on_changes = Listener(2)
        async with asyncio.timeout(30):
            assert [await storage.database.write(told(number)) for number in (0, 1)] == [0, 1]
            assert await names_of(storage) == ["told 0", "told 1"]
            assert listener.heard == []
            listener.left = 1
            with pytest.raises(LookupError):
                await storage.database.catch_up()
            await asyncio.sleep(0)
            await storage.database.catch_up()
            assert {notice.project_id for notice in listener.heard} == {"project_0", "project_1"}
            listener.heard.clear()
            assert await storage.database.write(told(2)) == 2
            assert [notice.project_id for notice in listener.heard] == ["project_2"]

    with caplog.at_level(logging.ERROR, "keyhouse.storage"):
        run_on(settings_of(tmp_path, database_url), main)
    assert [record.getMessage() for record in caplog.records] == [_WENT_ON] * 2
    assert all(record.exc_info is not None and record.exc_info[0] is LookupError for record in caplog.records)


@pytest.mark.parametrize("way", ["one fails beside it", "without a trace", "another process writes"])
def test_so_is_one_that_took_longer_on_sqlite(tmp_path: Path, way: str) -> None:
    file = tmp_path / "keyhouse.db"

    async def main(storage: Storage) -> None:
        storage.database.on_changes = Listener(1)
        works = [told(0, without_trace=way == "without a trace"), *([failing] if way == "one fails beside it" else [])]
        async with asyncio.timeout(30):
            with contextlib.closing(sqlite3.connect(file, isolation_level=None)) as other:
                if way == "another process writes":
                    other.execute("BEGIN IMMEDIATE")
                writing = [asyncio.create_task(storage.database.write(work)) for work in works]
                await asyncio.sleep(0)
                await asyncio.sleep(0)
            outcomes = await asyncio.gather(*writing, return_exceptions=True)
            assert [outcomes[0], *map(type, outcomes[1:])] == [0, *([ZeroDivisionError] if len(works) > 1 else [])]
            assert await storage.database.write(told(1)) == 1
            assert await names_of(storage) == ["told 0", "told 1"]

    run_on(settings_of(tmp_path, f"sqlite:///{file}"), main)


def test_one_who_could_not_hear_that_too_much_was_missed_hears_of_it_later(tmp_path: Path, database_url: str) -> None:
    async def main(storage: Storage) -> None:
        failures, heard = [LookupError("It can not listen.")], list[object]()

        def listen(notices: Sequence[ChangeNotice] | None) -> None:
            if failures:
                raise failures.pop()
            heard.append(notices)

        storage.database.on_changes = lambda notices: None
        await storage.database.catch_up()
        storage.database.on_changes = listen
        if isinstance(storage.database, SqliteDatabase):
            storage.database._looked_at, storage.database._writes.foreign_version = 0, -1
        else:
            storage.database._watch._line.close()  # type: ignore[attr-defined]
        await asyncio.sleep(0)
        with pytest.raises(LookupError):
            await storage.database.catch_up()
        await asyncio.sleep(0)
        await storage.database.catch_up()
        assert heard == [None]

    run_on(settings_of(tmp_path, database_url), main)
