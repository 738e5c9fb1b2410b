"""What only SQLite does: many writes in one commit, and a file that is never made by accident."""

import asyncio
import sqlite3
from pathlib import Path

import pytest
from sqlalchemy import bindparam, column, select, table

from keyhouse.domain.errors import Code, Error
from keyhouse.settings import Settings
from keyhouse.storage.database import ConstraintBroken
from keyhouse.storage.sqlite import SqliteDatabase
from keyhouse.storage.statements import Statement, Transaction
from keyhouse.storage.tables import installation
from tests.storage.houses import opened, settings_of, store_secrets

_PUT = Statement(installation.insert().values(name=bindparam("name"), value=bindparam("value")))
_NAMES = Statement(select(installation.c.name))
_NO_TABLE = Statement(select(column("x")).select_from(table("there_is_none")))


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return settings_of(tmp_path, f"sqlite:///{tmp_path / 'keyhouse.db'}")


def put(name: str):  # type: ignore[no-untyped-def]
    return lambda tx: tx.run(_PUT, name=name, value="written")


def put_then_fail(row: str, statement: Statement, **values: object):  # type: ignore[no-untyped-def]
    def work(tx: Transaction) -> None:
        tx.run(_PUT, name=row, value="written")
        tx.run(statement, **values)

    return work


def refuse(tx: Transaction) -> None:
    tx.run(_PUT, name="refused", value="written")
    raise Error(Code.CONFLICT, "It is refused.")


def test_a_write_that_fails_takes_nobody_along(settings: Settings) -> None:
    async def main() -> None:
        async with opened(settings) as storage:
            works = [
                put("first"),
                put_then_fail("no table", _NO_TABLE),
                put("second"),
                refuse,
                put_then_fail("broken", _PUT, name="first", value="twice"),
                put_then_fail("unbound", _PUT, name="no value"),
                put_then_fail("odd type", _PUT, name="odd", value=object()),
                put_then_fail("huge", _PUT, name="number", value=2**80),
                put("third"),
            ]
            outcomes = await asyncio.gather(*(storage.database.write(work) for work in works), return_exceptions=True)
            kinds = [type(outcome) for outcome in outcomes]
            assert kinds[0] is kinds[2] is kinds[8] is type(None)
            assert kinds[1:2] + kinds[3:8] == [
                sqlite3.OperationalError,
                Error,
                ConstraintBroken,
                KeyError,
                sqlite3.ProgrammingError,
                OverflowError,
            ]
            names = {row[0] for row in await storage.database.read(lambda tx: tx.rows(_NAMES))}
            assert names >= {"first", "second", "third"}
            assert names.isdisjoint({"no table", "refused", "broken", "unbound", "odd type", "huge"})

    asyncio.run(main())


def test_opening_makes_no_file(tmp_path: Path) -> None:
    with pytest.raises(Error, match="its file is missing"):
        SqliteDatabase(tmp_path / "keyhouse.db")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["with space", "question?mode=ro", "percent%20", "hash#tag", "ümlaut"])
def test_any_folder_name_will_do(tmp_path: Path, name: str) -> None:
    folder = tmp_path / name
    folder.mkdir()

    async def main() -> None:
        async with opened(Settings(data_dir=folder)) as storage:
            await store_secrets(storage, "sk-planted")

    asyncio.run(main())
    assert (folder / "keyhouse.db").exists()


def test_every_commit_is_on_the_disk_before_it_is_answered(settings: Settings) -> None:
    async def main() -> None:
        async with opened(settings) as storage:
            assert isinstance(storage.database, SqliteDatabase)
            for connection in (storage.database._reader, storage.database._writer):
                pragmas = {
                    name: connection.execute(f"PRAGMA {name}").fetchone()[0]
                    for name in ("journal_mode", "synchronous", "foreign_keys", "secure_delete")
                }
                assert pragmas == {"journal_mode": "wal", "synchronous": 2, "foreign_keys": 1, "secure_delete": 1}

    asyncio.run(main())
