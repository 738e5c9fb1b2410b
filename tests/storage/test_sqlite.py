"""What only SQLite does: many writes in one commit, and a file that is never made by accident."""

import asyncio
import contextlib
import json
import os
import sqlite3
import threading
from pathlib import Path

import pytest

from keyhouse.domain.credentials import MASK
from keyhouse.domain.errors import Code, Error
from keyhouse.domain.headers import ExtraHeader
from keyhouse.domain.model_provider import ModelProviderUpdate
from keyhouse.settings import Settings
from keyhouse.storage.changes import note_change
from keyhouse.storage.database import ChangeNotice, ConstraintBroken
from keyhouse.storage.opening import Storage
from keyhouse.storage.sqlite import SqliteDatabase
from keyhouse.storage.sqlite_files import OpenFiles
from keyhouse.storage.statements import Statement, Transaction, insert_into
from tests.storage.houses import openai_key, opened, project_caller, providers_of, run_on, settings_of, store_secrets

_PUT = insert_into("installation", "name, value")
_NAMES = Statement("SELECT name FROM installation")
_NO_TABLE = Statement("SELECT x FROM there_is_none")
_PUT_AND_TELL = Statement("INSERT INTO installation (name, value) VALUES ('first', 'twice') RETURNING name")


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
                lambda tx: tx.rows(_PUT_AND_TELL),
            ]
            outcomes = await asyncio.gather(*(storage.database.write(work) for work in works), return_exceptions=True)
            kinds = [type(outcome) for outcome in outcomes]
            assert kinds[0] is kinds[2] is kinds[8] is type(None)
            assert kinds[1:2] + kinds[3:8] + kinds[9:] == [
                sqlite3.OperationalError,
                Error,
                ConstraintBroken,
                KeyError,
                sqlite3.ProgrammingError,
                OverflowError,
                ConstraintBroken,
            ]
            names = {row[0] for row in await storage.database.read(lambda tx: tx.rows(_NAMES))}
            assert names >= {"first", "second", "third"}
            assert names.isdisjoint({"no table", "refused", "broken", "unbound", "odd type", "huge"})
            with pytest.raises(sqlite3.OperationalError):
                await storage.database.read(lambda tx: tx.rows(_NO_TABLE))

    asyncio.run(main())


def test_a_failure_that_is_everybody_s_undoes_all_and_the_next_write_is_made(settings: Settings) -> None:
    async def main(storage: Storage) -> None:
        writer, asked = storage.database._writer, []  # type: ignore[attr-defined]

        def interrupted(tx: Transaction) -> None:
            tx.run(_PUT, name="interrupted", value="written")
            writer.set_progress_handler(lambda: asked.append(1) or len(asked) == 1, 1)
            tx.rows(_NAMES)

        outcomes = await asyncio.gather(*map(storage.database.write, (put("beside it"), interrupted)), return_exceptions=True)
        writer.set_progress_handler(None, 0)
        assert list(map(str, outcomes)) == ["The database cannot be used now: SQLITE_INTERRUPT. Nothing was changed; try again."] * 2
        writer.execute("PRAGMA query_only=ON")
        with pytest.raises(Error, match="the file or its folder is not writable"):
            await storage.database.write(put("refused"))
        writer.execute("PRAGMA query_only=OFF")
        await storage.database.write(put("after"))
        names = [name for (name,) in await storage.database.read(lambda tx: tx.rows(_NAMES))]
        assert ("after" in names, {"beside it", "interrupted"} & {*names}) == (True, set())

    run_on(settings, main)


def test_behind_another_writer_nobody_waits_for_more_than_one_turn(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> None:
        async with opened(settings) as storage:
            monkeypatch.setattr("keyhouse.storage.sqlite_writing.PATIENCE_MS", 100)
            with contextlib.closing(sqlite3.connect(settings.data_dir / "keyhouse.db", isolation_level=None)) as other:
                other.execute("BEGIN IMMEDIATE")
                writes = [asyncio.create_task(storage.database.write(put(f"late {number}"))) for number in range(300)]
                await asyncio.wait(writes, return_when=asyncio.FIRST_COMPLETED)
                await asyncio.sleep(0)
                assert all(write.done() for write in writes)
                outcomes = await asyncio.gather(*writes, return_exceptions=True)
                assert {str(outcome) for outcome in outcomes} == {
                    "The database cannot be used now: another process has been writing for too long. Nothing was changed; try again."
                }
            await storage.database.write(put("after"))
            names = await storage.database.read(lambda tx: tx.rows(_NAMES))
            assert [name for (name,) in names if name.startswith("late")] == []

    asyncio.run(main())


@pytest.mark.parametrize("name", ["keyhouse.db", "keyhouse.db-wal"])
@pytest.mark.parametrize("replaced", [False, True])
def test_nothing_is_written_to_a_file_that_nobody_can_find(settings: Settings, tmp_path: Path, name: str, replaced: bool) -> None:
    file, elsewhere = tmp_path / name, tmp_path / "elsewhere"

    async def main() -> None:
        async with opened(settings) as storage:
            database = storage.database
            await database.write(put("before"))
            file.rename(elsewhere)
            if replaced:
                file.write_bytes(elsewhere.read_bytes())
            for ask in (
                lambda: database.write(put("lost")),
                database.changed,
                lambda: database.read(lambda tx: tx.rows(_NAMES)),
                database.catch_up,
                database.catch_up,
            ):
                with pytest.raises(Error, match="moved, removed or replaced while it was open") as refused:
                    await ask()
                assert refused.value.code is Code.STORAGE_UNAVAILABLE
            elsewhere.rename(file)
            await database.write(put("after"))
            await database.catch_up()
            names = {row[0] for row in await database.read(lambda tx: tx.rows(_NAMES))}
            assert names >= {"before", "after"}
            assert "lost" not in names

    asyncio.run(main())


def test_opening_makes_no_file(tmp_path: Path) -> None:
    with pytest.raises(Error, match="its file is missing"):
        SqliteDatabase(tmp_path / "keyhouse.db")
    with pytest.raises(Error, match="its file is missing or cannot be opened"):
        SqliteDatabase(tmp_path)
    with pytest.raises(sqlite3.OperationalError, match="was moved"):
        OpenFiles(tmp_path / "keyhouse.db")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("content", "told"),
    [(b"no database at all, though it is a file" * 99, "the file is damaged"), (b"", "no such table")],
    ids=["damaged", "without a schema"],
)
def test_a_file_that_cannot_be_opened_is_not_kept_open(tmp_path: Path, content: bytes, told: str) -> None:
    path = tmp_path / "keyhouse.db"
    path.write_bytes(content)
    # What was raised still holds all that was there when it was.
    with pytest.raises((Error, sqlite3.OperationalError), match=told) as refused:
        SqliteDatabase(path)
    assert refused.value.__traceback__ is not None
    assert str(path) not in [os.path.realpath(each) for each in Path("/proc/self/fd").iterdir()]


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
                    for name in ("journal_mode", "synchronous", "foreign_keys", "secure_delete", "trusted_schema", "temp_store")
                }
                assert list(pragmas.values()) == ["wal", 2, 1, 1, 0, 2], pragmas

    asyncio.run(main())


def test_a_write_of_another_process_right_after_a_look_is_seen_by_the_next_one(settings: Settings) -> None:
    async def main() -> None:
        async with opened(settings) as storage:
            heard: list[ChangeNotice] = []
            storage.database.on_changes = lambda notices: heard.extend(notices or ())
            await storage.database.catch_up()
            with sqlite3.connect(settings.data_dir / "keyhouse.db") as other:
                other.execute("INSERT INTO changes (at, project_id, revision) VALUES (0, 'project_1', 7)")
            other.close()
            await storage.database.changed()
            await storage.database.catch_up()
            assert heard == [ChangeNotice(None, "project_1", 7)]

    asyncio.run(main())


def test_what_this_process_wrote_is_not_read_again(settings: Settings) -> None:
    async def main() -> None:
        async with opened(settings) as storage:
            heard: list[ChangeNotice] = []
            storage.database.on_changes = lambda notices: heard.extend(notices or ())
            statements: list[str] = []
            storage.database._reader.set_trace_callback(statements.append)  # type: ignore[attr-defined]
            for revision in (1, 2):
                await storage.database.write(lambda tx, revision=revision: note_change(tx, None, "project_1", revision))  # type: ignore[misc]
                await storage.database.catch_up()
            assert heard == [ChangeNotice(None, "project_1", 1), ChangeNotice(None, "project_1", 2)]
            assert not [statement for statement in statements if statement.startswith("SELECT")]

    asyncio.run(main())


@pytest.mark.parametrize(("callers", "most"), [(1, 1.0), (16, 0.3)])
def test_writes_that_wait_share_one_fsync(settings: Settings, callers: int, most: float) -> None:
    async def main() -> None:
        async with opened(settings) as storage:
            commits: list[str] = []
            storage.database._writer.set_trace_callback(lambda text: commits.append(text) if text == "COMMIT" else None)  # type: ignore[attr-defined]

            async def caller(number: int) -> None:
                for count in range(20):
                    await storage.database.write(put(f"{number}-{count}"))

            await asyncio.gather(*(caller(number) for number in range(callers)))
            assert len(commits) <= most * callers * 20

    asyncio.run(main())


def test_writes_that_come_turn_by_turn_share_one_commit_once_there_is_company(settings: Settings) -> None:
    async def main() -> None:
        async with opened(settings) as storage:
            commits: list[str] = []
            storage.database._writer.set_trace_callback(lambda text: commits.append(text) if text == "COMMIT" else None)  # type: ignore[attr-defined]

            async def after(turns: int, name: str) -> None:
                for _ in range(turns):
                    await asyncio.sleep(0)
                await storage.database.write(put(name))

            await asyncio.gather(after(0, "one"), after(0, "other"))
            assert len(commits) == 1
            await asyncio.gather(*(after(turns, f"later-{turns}") for turns in range(8)))
            assert len(commits) == 2

    asyncio.run(main())


def test_a_write_of_a_known_project_reads_its_head_alone(settings: Settings) -> None:
    async def main() -> None:
        async with opened(settings) as storage:
            caller, providers = await project_caller(storage), providers_of(storage)
            storage.database.on_changes = providers.forget  # type: ignore[assignment]
            await providers.upsert(caller, "openai", openai_key("sk-first"), None)
            statements: list[str] = []
            storage.database._writer.set_trace_callback(statements.append)  # type: ignore[attr-defined]
            await providers.upsert(caller, "openai", openai_key("sk-second"), None)
            assert [statement.split()[0] for statement in statements] == ["BEGIN", "PRAGMA", "SELECT", *_SIX_WRITES, "COMMIT"]

    asyncio.run(main())


# The project's revision, the notice, the sealed value, the row, its history, the audit record.
_SIX_WRITES = ["UPDATE", "INSERT", "INSERT", "UPDATE", "INSERT", "INSERT"]


def test_what_another_process_wrote_is_read_before_the_next_write(settings: Settings) -> None:
    """Memory is only as good as the revision: a second process's provider is in the answer, and its header is kept."""

    async def main() -> None:
        async with opened(settings) as one, opened(settings) as other:
            caller, here, there = await project_caller(one), providers_of(one), providers_of(other)
            one.database.on_changes = here.forget  # type: ignore[assignment]
            await here.upsert(caller, "openai", openai_key("sk-first"), None)
            header = (ExtraHeader("X-Team", "theirs"),)
            await there.upsert(caller, "openai", ModelProviderUpdate(enabled=True, extra_headers=header), None)
            await there.upsert(caller, "anthropic", ModelProviderUpdate(enabled=True), None)
            shown = json.loads((await here.upsert(caller, "openai", openai_key("sk-second"), None)).body)
            assert shown["openai"]["extraHeaders"] == [{"key": "X-Team", "value": MASK}]
            assert "id" in shown["anthropic"]

    asyncio.run(main())


def test_what_was_kept_is_dropped_where_a_backup_is_restored_into_the_open_file(tmp_path: Path) -> None:
    settings = settings_of(tmp_path, f"sqlite:///{tmp_path / 'keyhouse.db'}")

    async def main() -> None:
        heard: list[object] = []
        async with opened(settings) as storage:
            await storage.database.write(lambda tx: note_change(tx, None, "project_1", 1))
            with (
                contextlib.closing(sqlite3.connect(tmp_path / "keyhouse.db")) as file,
                contextlib.closing(sqlite3.connect(tmp_path / "copy.db")) as copy,
            ):
                file.backup(copy)
                for revision in (2, 3):
                    await storage.database.write(lambda tx, revision=revision: note_change(tx, None, "project_1", revision))  # type: ignore[misc]
                storage.database.on_changes = heard.append
                copy.backup(file)
            await storage.database.catch_up()
            await storage.database.write(lambda tx: note_change(tx, None, "project_1", 2))
            assert heard[0] is None

    asyncio.run(main())


def test_closing_finishes_what_was_begun_and_leaves_nothing_open(settings: Settings, tmp_path: Path) -> None:
    async def main() -> None:
        async with opened(settings) as storage:
            writes = [asyncio.create_task(storage.database.write(put(f"{number}"))) for number in range(200)]
            await asyncio.sleep(0)
            writes[0].cancel()
        assert [write.result() for write in writes[1:] if write.done()] == [None] * 199

    asyncio.run(main())
    assert [path for path in map(os.path.realpath, Path("/proc/self/fd").iterdir()) if path.startswith(str(tmp_path))] == []
    assert "keyhouse-commit" not in [thread.name for thread in threading.enumerate()]


def test_an_answer_is_prepared_while_the_disk_is_waited_for_and_told_after_the_commit(settings: Settings) -> None:
    async def main(storage: Storage) -> None:
        database, done, happened = storage.database.at_once, asyncio.Event(), list[object]()
        prepared = threading.Event()
        assert database is not None

        def hold(statement: str) -> None:
            if statement == "COMMIT":
                assert prepared.wait(30)
                happened.append("committed")

        def prepare(result: str) -> str:
            happened.append("prepared")
            prepared.set()
            return result.upper()

        def told(result: object, failure: BaseException | None) -> None:
            happened.append((result, failure))
            done.set()

        storage.database._writer.set_trace_callback(hold)  # type: ignore[attr-defined]
        database.begin_write(lambda tx: put("meanwhile")(tx) or "written", prepare, told)
        await done.wait()
        storage.database._writer.set_trace_callback(None)  # type: ignore[attr-defined]
        assert happened == ["prepared", "committed", ("WRITTEN", None)]

    run_on(settings, main)


@pytest.mark.parametrize("has_company", [False, True])
def test_a_write_that_another_process_holds_up_is_prepared_and_told_as_well(settings: Settings, has_company: bool) -> None:
    async def main(storage: Storage) -> None:
        database, told = storage.database.at_once, asyncio.Queue[object]()
        assert database is not None
        with contextlib.closing(sqlite3.connect(settings.data_dir / "keyhouse.db", isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            for number in range(1 + has_company):
                work = put(f"held up {number}")
                database.begin_write(work, lambda result: "prepared", lambda result, failure: told.put_nowait((result, failure)))
            await asyncio.sleep(0)
            assert told.empty()
            other.execute("COMMIT")
        assert [await told.get() for _ in range(1 + has_company)] == [("prepared", None)] * (1 + has_company)

    run_on(settings, main)


def test_what_fails_while_an_answer_is_prepared_is_told_and_the_write_stands(settings: Settings) -> None:
    async def main(storage: Storage) -> None:
        database, told = storage.database.at_once, asyncio.Queue[object]()
        assert database is not None

        def fail(result: object) -> None:
            raise KeyError("unprepared")

        database.begin_write(put("stands"), fail, lambda result, failure: told.put_nowait((result, type(failure))))
        assert await told.get() == (None, KeyError)
        await storage.database.write(put("next"))
        names = {name for (name,) in await storage.database.read(lambda tx: tx.rows(_NAMES))}
        assert names >= {"stands", "next"}

    run_on(settings, main)
