"""What only PostgreSQL does: connections that are cut, servers that restart, deadlocks."""

import asyncio
import logging
import threading
from pathlib import Path

import psycopg
import pytest
from sqlalchemy import text

from keyhouse.domain.errors import Code, Error
from keyhouse.settings import Settings
from keyhouse.storage.changes import note_change
from keyhouse.storage.database import ConstraintBroken
from keyhouse.storage.database_url import parse_database_url
from keyhouse.storage.migration import engine_of
from keyhouse.storage.opening import Storage
from keyhouse.storage.projects import advance_project, lock_project
from keyhouse.storage.schema import start_lock
from keyhouse.storage.statements import Statement, Transaction, insert_into
from tests.conftest import PostgresServer
from tests.storage.held_writes import Held, waits_for_a_lock
from tests.storage.houses import openai_key, opened, project_caller, providers_of, run_on, settings_of, store_secrets

_CUT = Statement("SELECT pg_terminate_backend(pg_backend_pid())")
_SESSION = Statement("SELECT pg_backend_pid()")
_PUT = insert_into("installation", "name, value")
_CHANGE = Statement("UPDATE installation SET value = :value WHERE name = :which")
_GET = Statement("SELECT value FROM installation WHERE name = :name")


@pytest.fixture
def settings(tmp_path: Path, postgres_server: PostgresServer) -> Settings:
    return settings_of(tmp_path, postgres_server.new_database())


def value_of(tx: Transaction, name: str) -> str | None:
    row = tx.row(_GET, name=name)
    return None if row is None else str(row[0])


def test_a_restarted_server_is_no_failure(tmp_path: Path, lonely_server: PostgresServer) -> None:
    """Every connection in the pool is dead then: no request is answered with that."""
    settings = settings_of(tmp_path, lonely_server.empty_database())

    async def main() -> None:
        async with opened(settings) as storage:
            caller, providers = await project_caller(storage), providers_of(storage)
            for number in range(2):
                await store_secrets(storage, *(f"sk-{number}-{version}" for version in range(3)))
                await asyncio.gather(*(storage.database.read(lambda tx: value_of(tx, "nothing")) for _ in range(12)))
                lonely_server.stop()
                lonely_server.start()
                await asyncio.gather(*(providers.get(caller.project_id or "", "openai") for _ in range(6)))
                await asyncio.gather(*(providers.upsert(caller, "openai", openai_key(f"sk-after-{version}"), None) for version in range(6)))

    asyncio.run(main())


def test_a_server_that_is_away_is_said_to_be(tmp_path: Path, lonely_server: PostgresServer) -> None:
    settings = settings_of(tmp_path, lonely_server.empty_database())

    async def main() -> None:
        async with opened(settings) as storage:
            lonely_server.stop()
            try:
                for work in (storage.database.read, storage.database.write):
                    with pytest.raises(Error, match="PostgreSQL does not answer") as refused:
                        await work(lambda tx: value_of(tx, "nothing"))
                    assert refused.value.code is Code.STORAGE_UNAVAILABLE
            finally:
                lonely_server.start()
            await storage.database.write(lambda tx: tx.run(_PUT, name="after", value="written"))

    asyncio.run(main())


def test_a_server_that_refuses_us_is_said_to(settings: Settings, postgres_server: PostgresServer) -> None:
    """A password that was changed, more connections than it allows, a database that is being restored."""
    name = settings.url.rpartition("/")[2]

    async def main() -> None:
        async with opened(settings) as storage:
            with psycopg.connect(postgres_server.url("postgres"), autocommit=True) as admin:
                admin.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS false".encode())
                admin.execute(f"SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity WHERE datname = '{name}'".encode())
                for ask in (lambda: storage.database.read(lambda tx: value_of(tx, "nothing")), storage.database.catch_up):
                    with pytest.raises(Error, match=r"PostgreSQL does not answer, or refuses the connection\. Nothing was changed"):
                        await ask()
                admin.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS true".encode())
            await storage.database.catch_up()

    asyncio.run(main())


@pytest.mark.parametrize(("set_for_all", "ours"), [("off", "on"), ("on", "on"), ("local", "local"), ("remote_apply", "remote_apply")])
def test_what_is_committed_is_on_the_disk_whatever_other_applications_are_allowed(settings: Settings, set_for_all: str, ours: str) -> None:
    with psycopg.connect(settings.url, autocommit=True) as admin:
        admin.execute(f"ALTER DATABASE {admin.info.dbname} SET synchronous_commit = {set_for_all}".encode())

    async def main() -> None:
        async with opened(settings) as storage:
            assert await storage.database.write(lambda tx: tx.rows(Statement("SHOW synchronous_commit"))) == [(ours,)]

    asyncio.run(main())


def test_a_statement_that_the_server_breaks_off_is_told_of(settings: Settings) -> None:
    with psycopg.connect(settings.url, autocommit=True) as admin:
        admin.execute(f"ALTER DATABASE {admin.info.dbname} SET statement_timeout = '1s'".encode())

    async def main() -> None:
        async with opened(settings) as storage:
            with pytest.raises(Error, match="it broke off a statement, perhaps by its statement_timeout") as refused:
                await storage.database.read(lambda tx: tx.rows(Statement("SELECT pg_sleep(30)")))
            assert refused.value.code is Code.STORAGE_UNAVAILABLE
            await storage.database.read(lambda tx: value_of(tx, "nothing"))

    asyncio.run(main())


@pytest.mark.parametrize(
    ("sqlstate", "code", "said", "attempts"),
    [
        ("53100", Code.STORAGE_FULL, "The disk that holds the database is full", 1),
        ("25006", Code.STORAGE_UNAVAILABLE, "it is read-only, perhaps a standby", 1),
        ("40001", Code.STORAGE_UNAVAILABLE, "PostgreSQL does not answer", 3),
    ],
)
def test_what_the_server_refuses_is_named(settings: Settings, sqlstate: str, code: Code, said: str, attempts: int) -> None:
    refusing, made = Statement(f"DO $$ BEGIN RAISE EXCEPTION USING ERRCODE = '{sqlstate}'; END $$"), []

    def refused_write(tx: Transaction) -> None:
        made.append(1)
        tx.run(refusing)

    async def main() -> None:
        async with opened(settings) as storage:
            with pytest.raises(Error, match=said) as refused:
                await storage.database.write(refused_write)
            assert (refused.value.code, len(made)) == (code, attempts)

    asyncio.run(main())


@pytest.mark.parametrize("refused_at", ["the next read", "the commit"])
def test_a_refused_write_leaves_no_line_in_the_log(settings: Settings, caplog: pytest.LogCaptureFixture, refused_at: str) -> None:
    """psycopg would write down the connection, with its host and database, beside the error that it raises."""

    def put_twice(tx: Transaction) -> None:
        tx.run(_PUT, name="a", value="1")
        tx.run(_PUT, name="a", value="2")
        if refused_at == "the next read":
            value_of(tx, "a")

    async def main() -> None:
        async with opened(settings) as storage:
            with pytest.raises(ConstraintBroken):
                await storage.database.write(put_twice)
            with pytest.raises(Error, match="PostgreSQL went away"):
                await storage.database.write(lambda tx: tx.run(_CUT))

    # Libraries are heard from there on.
    with caplog.at_level(logging.WARNING):
        asyncio.run(main())
    assert caplog.messages == []


def test_a_write_that_was_cut_before_its_commit_is_done_again(settings: Settings) -> None:
    async def main() -> None:
        async with opened(settings) as storage:
            attempts = []

            def work(tx: Transaction) -> None:
                tx.run(_PUT, name="once", value="written")
                attempts.append(1)
                if len(attempts) == 1:
                    tx.rows(_CUT)

            await storage.database.write(work)
            assert (len(attempts), await storage.database.read(lambda tx: value_of(tx, "once"))) == (2, "written")
            kept = storage.database._connections  # type: ignore[attr-defined]
            assert kept._open == len(kept._idle) > 0

    asyncio.run(main())


@pytest.mark.parametrize("sqlstate", ["57P01", "57P02", "40001", "40P01"])
def test_what_a_server_ends_or_undoes_is_done_again(settings: Settings, sqlstate: str) -> None:
    """As it does to all when one of its processes crashed, and to one of two that are in each other's way."""
    ended, attempts = Statement(f"DO $$ BEGIN RAISE EXCEPTION USING ERRCODE = '{sqlstate}'; END $$"), []

    def work(tx: Transaction) -> None:
        tx.run(_PUT, name="once", value="written")
        attempts.append(1)
        if len(attempts) == 1:
            tx.rows(ended)

    async def main() -> None:
        async with opened(settings) as storage:
            await storage.database.write(work)
            assert (len(attempts), await storage.database.read(lambda tx: value_of(tx, "once"))) == (2, "written")

    asyncio.run(main())


def test_what_breaks_a_rule_is_told_from_a_mistake_of_ours(settings: Settings) -> None:
    with psycopg.connect(settings.url, autocommit=True) as admin:
        admin.execute("CREATE TABLE parents (id int PRIMARY KEY); CREATE TABLE children (parent int REFERENCES parents)")

    async def main() -> None:
        async with opened(settings) as storage:
            with pytest.raises(ConstraintBroken):
                await storage.database.write(lambda tx: tx.run(Statement("INSERT INTO children VALUES (1)")))
            with pytest.raises(psycopg.errors.UndefinedTable):
                await storage.database.write(lambda tx: tx.run(Statement("INSERT INTO nobodys VALUES (1)")))

    asyncio.run(main())


def test_reads_one_after_the_other_share_a_session(settings: Settings) -> None:
    async def main() -> None:
        async with opened(settings) as storage:
            sessions = [await storage.database.read(lambda tx: tx.rows(_SESSION)) for _ in range(3)]
            assert sessions == [sessions[0]] * 3

    asyncio.run(main())


def announcement() -> "asyncio.Task[None]":
    """The task that is about to wake the other processes."""
    [found] = [task for task in asyncio.all_tasks() if getattr(task.get_coro(), "__name__", "") == "_announce"]
    return found


def test_a_write_that_cannot_be_announced_is_no_failure(settings: Settings) -> None:
    """Other processes look for it by themselves."""
    name = settings.url.rpartition("/")[2]

    async def main() -> None:
        async with opened(settings) as storage:
            with psycopg.connect(settings.url.rpartition("/")[0] + "/postgres", autocommit=True) as admin:
                await storage.database.write(lambda tx: note_change(tx, None, "project_1", 1))
                announcing = announcement()
                admin.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS false".encode())
                admin.execute(f"SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity WHERE datname = '{name}'".encode())
                await asyncio.wait([announcing])
                assert announcing.exception() is None

    asyncio.run(main())


def test_a_database_that_is_closed_after_a_write_announces_nothing_more(settings: Settings) -> None:
    async def main() -> None:
        async with opened(settings) as storage:
            await storage.database.write(lambda tx: note_change(tx, None, "project_1", 1))
            announcing = announcement()
        await asyncio.wait([announcing])
        assert announcing.cancelled()

    asyncio.run(main())


def test_who_looks_for_changes_while_a_database_is_closed_is_answered_first(settings: Settings) -> None:
    async def main() -> None:
        async with opened(settings) as storage:
            await storage.database.catch_up()
            looking = asyncio.create_task(storage.database.catch_up())
            await asyncio.sleep(0)
        assert looking.done()
        await asyncio.wait([looking])
        assert isinstance(looking.exception(), Error | None)

    asyncio.run(main())


def test_each_write_wakes_other_processes_and_no_thread_outlives_the_database(settings: Settings) -> None:
    async def main() -> None:
        async with opened(settings) as storage:
            with psycopg.connect(settings.url, autocommit=True) as other:
                other.execute("LISTEN keyhouse_changes")
                for revision in (1, 2):
                    await storage.database.write(lambda tx, revision=revision: note_change(tx, None, "project_1", revision))  # type: ignore[misc]
                    [notice] = await asyncio.to_thread(lambda: list(other.notifies(timeout=30, stop_after=1)))
                    assert notice.channel == "keyhouse_changes"

    asyncio.run(main())
    assert "keyhouse-postgresql" not in [thread.name for thread in threading.enumerate()]


def test_a_commit_that_was_not_answered_is_not_called_undone(settings: Settings) -> None:
    run_on(settings, project_caller)
    engine = engine_of(parse_database_url(settings.url))
    cut = "$$ BEGIN PERFORM pg_terminate_backend(pg_backend_pid()); RETURN NULL; END $$"
    at_commit = "DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION cut()"
    with engine.begin() as connection:
        connection.execute(text(f"CREATE FUNCTION cut() RETURNS trigger LANGUAGE plpgsql AS {cut}"))
        connection.execute(text(f"CREATE CONSTRAINT TRIGGER cut AFTER INSERT ON installation {at_commit}"))
    engine.dispose()

    async def main() -> None:
        async with opened(settings) as storage:
            attempts = []

            def work(tx: Transaction) -> None:
                attempts.append(1)
                tx.run(_PUT, name="once", value="written")

            with pytest.raises(Error, match=r"the change may have been made\. Read before you try again") as refused:
                await storage.database.write(work)
            assert (refused.value.code, len(attempts)) == (Code.STORAGE_UNAVAILABLE, 1)

    asyncio.run(main())


def test_of_two_writes_in_a_deadlock_both_are_made(settings: Settings) -> None:
    async def main() -> None:
        async with opened(settings) as storage:
            for name in ("a", "b"):
                await storage.database.write(lambda tx, name=name: tx.run(_PUT, name=name, value="before"))
            both = threading.Barrier(2, timeout=30)
            first_time = {"ab": True, "ba": True}

            def work(tx: Transaction, order: str) -> None:
                tx.run(_CHANGE, which=order[0], value=order)
                assert value_of(tx, order[0]) == order
                if first_time[order]:
                    first_time[order] = False
                    both.wait()
                tx.run(_CHANGE, which=order[1], value=order)
                value_of(tx, order[1])

            await asyncio.gather(*(storage.database.write(lambda tx, order=order: work(tx, order)) for order in ("ab", "ba")))
            values = {await storage.database.read(lambda tx, name=name: value_of(tx, name)) for name in ("a", "b")}
            assert len(values) == 1

    asyncio.run(main())


def test_an_old_server_is_refused(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    url = parse_database_url(settings.url)
    with start_lock(url):
        pass
    monkeypatch.setattr("keyhouse.storage.postgres_server._OLDEST", 10_000)
    with pytest.raises(Error, match="PostgreSQL 10000 or newer is needed"), start_lock(url):
        pass


def test_a_write_that_waited_for_another_one_goes_on_with_what_that_left(settings: Settings) -> None:
    async def main(storage: Storage) -> None:
        project_id = (await project_caller(storage)).project_id or ""
        held, begun, revisions = Held(), list[int](), list[int]()

        def advance(tx: Transaction) -> None:
            begun.append(1)
            revisions.append(advance_project(tx, lock_project(tx, project_id), None))

        first = asyncio.create_task(storage.database.write(lambda tx: (advance(tx), held.wait(tx))))
        await held.done.wait()
        second = asyncio.create_task(storage.database.write(advance))
        await waits_for_a_lock(settings)
        held.let_go()
        await asyncio.gather(first, second)
        assert revisions == [revisions[0], revisions[0] + 1]
        assert len(begun) == 2, "neither was begun anew"

    run_on(settings, main)


def test_a_refusal_is_told_though_the_connection_is_lost_before_it_is_rolled_back(settings: Settings) -> None:
    times = list[int]()

    def refuse(tx: Transaction) -> None:
        times.append(1)
        tx.run(_CUT)
        raise Error(Code.CONFLICT, "It is refused.")

    async def main(storage: Storage) -> None:
        with pytest.raises(Error) as refused:
            await storage.database.write(refuse)
        assert refused.value.code is Code.CONFLICT
        assert len(times) == 1

    run_on(settings, main)
