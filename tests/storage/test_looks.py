"""What one process sees of others on both databases: a read is one moment, a look misses nothing and drops no more than it must."""

import asyncio
import socket
import sqlite3
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path

import pytest
import uvloop
from sqlalchemy import text

from keyhouse.domain.errors import Code, Error
from keyhouse.settings import Settings
from keyhouse.storage.changes import RETENTION_US, note_change
from keyhouse.storage.database import ChangeNotice
from keyhouse.storage.database_url import parse_database_url
from keyhouse.storage.migration import engine_of
from keyhouse.storage.opening import Storage
from keyhouse.storage.sqlite_connection import connect
from keyhouse.storage.statements import Row, Statement, Transaction, insert_into
from tests.storage.houses import opened, run_on, settings_of

_PUT = insert_into("installation", "name, value")
_NAMES = Statement("SELECT name FROM installation")
_ADD = "INSERT INTO installation (name, value) VALUES ('elsewhere', '')"


@pytest.fixture
def on_both(tmp_path: Path, database_url: str) -> Settings:
    return settings_of(tmp_path, database_url)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return settings_of(tmp_path, f"sqlite:///{tmp_path / 'keyhouse.db'}")


def write_elsewhere(settings: Settings, statement: str) -> None:
    """What another process commits meanwhile."""
    engine = engine_of(parse_database_url(settings.url))
    with engine.begin() as connection:
        connection.execute(text(statement))
    engine.dispose()


def note(revision: int) -> Callable[[Transaction], None]:
    return lambda tx: note_change(tx, None, "project_1", revision)


def note_elsewhere(settings: Settings, revision: int) -> ChangeNotice:
    with closing(sqlite3.connect(settings.data_dir / "keyhouse.db")) as other, other:
        other.execute("INSERT INTO changes (at, project_id, revision) VALUES (0, 'project_1', ?)", [revision])
    return ChangeNotice(None, "project_1", revision)


def listen(storage: Storage) -> list[ChangeNotice | None]:
    """What the storage hears of from now on; None: of anything."""
    heard: list[ChangeNotice | None] = []
    storage.database.on_changes = lambda notices: heard.extend([None] if notices is None else notices)
    return heard


def test_a_read_sees_one_moment(on_both: Settings) -> None:
    def twice(tx: Transaction) -> tuple[list[Row], list[Row]]:
        before = tx.rows(_NAMES)
        write_elsewhere(on_both, _ADD)
        return before, tx.rows(_NAMES)

    async def main(storage: Storage) -> None:
        before, after = await storage.database.read(twice)
        assert before == after
        assert len(await storage.database.read(lambda tx: tx.rows(_NAMES))) == len(before) + 1

    run_on(on_both, main)


def test_who_looked_away_for_long_drops_everything_once(on_both: Settings) -> None:
    async def main() -> None:
        async with opened(on_both) as storage, opened(on_both) as other:
            heard = listen(storage)
            await storage.database.catch_up()
            storage.database._looked_at -= RETENTION_US * 3 // 4  # type: ignore[attr-defined]
            for revision in (1, 2):
                await other.database.write(note(revision))
                await storage.database.catch_up()
            assert heard == [None, ChangeNotice(None, "project_1", 2)]
            await storage.database.write(note(3))
            assert heard[2:] == [ChangeNotice(None, "project_1", 3)], "its own it hears of at once"

    asyncio.run(main())


def test_who_looked_while_there_was_nothing_to_hear_missed_nothing(on_both: Settings) -> None:
    async def main() -> None:
        async with opened(on_both) as storage, opened(on_both) as other:
            heard = listen(storage)
            await storage.database.catch_up()
            storage.database._looked_at -= RETENTION_US // 3  # type: ignore[attr-defined]
            await asyncio.sleep(0)
            await storage.database.catch_up()
            storage.database._looked_at -= RETENTION_US // 3  # type: ignore[attr-defined]
            await other.database.write(note(1))
            await asyncio.sleep(0)
            await storage.database.catch_up()
            assert heard == [ChangeNotice(None, "project_1", 1)]

    asyncio.run(main())


def test_what_others_write_is_heard_while_a_write_of_ours_waits(settings: Settings) -> None:
    async def main(storage: Storage) -> None:
        heard = listen(storage)
        with closing(connect(settings.data_dir / "keyhouse.db")) as other:
            other.execute("BEGIN IMMEDIATE")
            other.execute("INSERT INTO changes (at, project_id, revision) VALUES (0, 'project_1', 1)")
            writing = asyncio.create_task(storage.database.write(lambda tx: tx.run(_PUT, name="ours", value="")))
            while not storage.database._writes.is_in_use:  # type: ignore[attr-defined]
                await asyncio.sleep(0)
            other.execute("COMMIT")
            await storage.database.catch_up()
            assert heard == [ChangeNotice(None, "project_1", 1)]
            await writing

    run_on(settings, main)


@pytest.mark.parametrize("loop_factory", [asyncio.new_event_loop, uvloop.new_event_loop], ids=["asyncio", "uvloop"])
def test_who_asks_in_the_turn_of_a_look_still_hears_what_was_written_after_it(
    settings: Settings, loop_factory: Callable[[], asyncio.AbstractEventLoop]
) -> None:
    async def main() -> None:
        async with opened(settings) as storage:
            database, asked = storage.database, asyncio.Event()
            at_once, heard = database.at_once, listen(storage)
            assert at_once is not None

            def ask() -> None:
                at_once.catch_up_at_once()
                asked.set()

            request, wire = socket.socketpair()
            with request, wire:
                asyncio.get_running_loop().add_reader(request, ask)
                await asyncio.sleep(0)
                await database.catch_up()
                written = note_elsewhere(settings, 1)
                wire.send(b"!")
                await asked.wait()
                asyncio.get_running_loop().remove_reader(request)
            assert heard == [written]

    with asyncio.Runner(loop_factory=loop_factory) as loop:
        loop.run(main())


def test_what_others_write_is_read_once_and_what_they_say_nothing_of_drops_nothing(settings: Settings) -> None:
    async def main(storage: Storage) -> None:
        heard, statements = listen(storage), list[str]()
        first = note_elsewhere(settings, 1)
        await storage.database.catch_up()
        write_elsewhere(settings, _ADD)
        await asyncio.sleep(0)
        await storage.database.catch_up()
        assert heard == [first]
        for connection in (storage.database._reader, storage.database._writer):  # type: ignore[attr-defined]
            connection.set_trace_callback(statements.append)
        await asyncio.sleep(0)
        await storage.database.catch_up()
        assert statements == ["PRAGMA data_version"]

    run_on(settings, main)


def test_a_notice_that_comes_while_others_are_read_is_read_next(settings: Settings) -> None:
    async def main(storage: Storage) -> None:
        heard, noted = listen(storage), list[ChangeNotice]()

        def note_after_the_notices(statement: str) -> None:
            if "max(id)" in statement and not noted:
                noted.append(note_elsewhere(settings, 1))

        write_elsewhere(settings, _ADD)
        storage.database._reader.set_trace_callback(note_after_the_notices)  # type: ignore[attr-defined]
        for _ in range(2):
            await storage.database.catch_up()
            await asyncio.sleep(0)
        assert heard == noted == [ChangeNotice(None, "project_1", 1)]

    run_on(settings, main)


def test_all_that_share_a_commit_are_told_of_once_it_is_there(settings: Settings) -> None:
    async def main(storage: Storage) -> None:
        heard: list[tuple[Sequence[ChangeNotice] | None, int]] = []

        def hear(notices: Sequence[ChangeNotice] | None) -> None:
            with closing(sqlite3.connect(settings.data_dir / "keyhouse.db")) as other:
                heard.append((notices, other.execute("SELECT count(*) FROM changes").fetchone()[0]))

        storage.database.on_changes = hear
        await asyncio.gather(*(storage.database.write(note(revision)) for revision in (1, 2)))
        assert heard == [([ChangeNotice(None, "project_1", revision) for revision in (1, 2)], 2)]

    run_on(settings, main)


def test_a_notice_between_two_attempts_at_a_write_is_heard(settings: Settings) -> None:
    """Of writes that share a commit one fails, so that all are made again, and just before that another process makes one."""

    def note_and_fail(tx: Transaction) -> None:
        note(8)(tx)
        raise Error(Code.CONFLICT, "It is refused.")

    async def main(storage: Storage) -> None:
        heard, begun, noted = listen(storage), list[str](), list[ChangeNotice]()

        def note_before_the_second_attempt(statement: str) -> None:
            begun.extend([statement] if statement == "BEGIN IMMEDIATE" else ())
            if len(begun) == 2 and not noted:
                noted.append(note_elsewhere(settings, 9))

        storage.database._writer.set_trace_callback(note_before_the_second_attempt)  # type: ignore[attr-defined]
        await asyncio.gather(*map(storage.database.write, (note(1), note_and_fail)), return_exceptions=True)
        await storage.database.catch_up()
        assert heard[0] == ChangeNotice(None, "project_1", 1)
        assert noted[0] in heard

    run_on(settings, main)


def test_a_second_attempt_at_a_write_waits_for_another_process_that_was_sooner(settings: Settings) -> None:
    def put_and_fail(tx: Transaction) -> None:
        tx.run(_PUT, name="refused", value="")
        raise Error(Code.CONFLICT, "It is refused.")

    async def main(storage: Storage) -> None:
        begun = list[str]()
        with closing(connect(settings.data_dir / "keyhouse.db")) as other:

            def write_before_the_second_attempt(statement: str) -> None:
                begun.extend([statement] if statement == "BEGIN IMMEDIATE" else ())
                if statement == "BEGIN IMMEDIATE" and len(begun) in (2, 3):
                    other.execute("BEGIN IMMEDIATE" if len(begun) == 2 else "COMMIT")

            storage.database._writer.set_trace_callback(write_before_the_second_attempt)  # type: ignore[attr-defined]
            works: list[Callable[[Transaction], None]] = [lambda tx: tx.run(_PUT, name="made", value=""), put_and_fail]
            made, refused = await asyncio.gather(*map(storage.database.write, works), return_exceptions=True)
            storage.database._writer.set_trace_callback(None)  # type: ignore[attr-defined]
        assert made is None
        assert isinstance(refused, Error)
        assert refused.code is Code.CONFLICT
        assert len(begun) == 3

    run_on(settings, main)


def test_after_a_backup_was_restored_each_further_notice_is_heard(settings: Settings) -> None:
    async def main(storage: Storage) -> None:
        with closing(sqlite3.connect(settings.data_dir / "keyhouse.db")) as file, closing(sqlite3.connect(":memory:")) as copy:
            file.backup(copy)
            for revision in (1, 2):
                await storage.database.write(note(revision))
            copy.backup(file)
        heard = listen(storage)
        await storage.database.catch_up()
        for revision in (3, 4, 5):
            note_elsewhere(settings, revision)
            await asyncio.sleep(0)
            await storage.database.catch_up()
        assert heard == [None, *(ChangeNotice(None, "project_1", revision) for revision in (3, 4, 5))]

    run_on(settings, main)


def test_a_loop_goes_on_while_its_writes_wait_for_another_process(settings: Settings) -> None:
    def patience(storage: Storage) -> list[int]:
        connections = (storage.database._writer, storage.database._reader)  # type: ignore[attr-defined]
        return [each.execute("PRAGMA busy_timeout").fetchone()[0] for each in connections]

    async def main(storage: Storage) -> None:
        before = patience(storage)
        with closing(sqlite3.connect(settings.data_dir / "keyhouse.db", isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            begun: list[str] = []
            storage.database._writer.set_trace_callback(begun.append)  # type: ignore[attr-defined]
            write = asyncio.create_task(storage.database.write(lambda tx: tx.run(_PUT, name="late", value="")))
            while begun.count("BEGIN IMMEDIATE") < 2:
                await asyncio.sleep(0)
            for _ in range(10):
                await storage.database.catch_up()
                await asyncio.sleep(0)
            assert not write.done()
            other.execute("COMMIT")
        await write
        # Of the writer only a thread may wait.
        assert before == patience(storage) == [0, 10_000]

    run_on(settings, main)
