"""The look for change notices on PostgreSQL, which waits for its answer on the event loop: cut, restarted, slow, ended, talked into."""

import asyncio
import contextlib
import subprocess
import threading
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
import uvloop

from keyhouse.domain.errors import Code, Error
from keyhouse.domain.tenancy import Caller
from keyhouse.services.model_providers import ModelProviders, Shown
from keyhouse.settings import Settings
from keyhouse.storage.changes import note_change
from keyhouse.storage.database import ChangeNotice
from keyhouse.storage.database_url import PostgresServer as ServerUrl
from keyhouse.storage.database_url import parse_database_url
from keyhouse.storage.opening import Storage
from keyhouse.storage.postgres_look import Look
from keyhouse.storage.postgres_server import PATIENCE_S, Connection, NoAnswer, connect
from keyhouse.storage.statements import Statement
from tests.conftest import PostgresServer, running_postgres
from tests.storage.held_writes import waits_for_a_lock
from tests.storage.houses import openai_key, opened, project_caller, providers_of, run_on, settings_of, store_secrets

_LOOKS = "FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid() AND query LIKE '%AS always LEFT JOIN%'"
_CUT = f"SELECT pg_terminate_backend(pid) {_LOOKS}"
_ONE = Statement("SELECT 1")


@pytest.fixture
def settings(tmp_path: Path, postgres_server: PostgresServer) -> Settings:
    return settings_of(tmp_path, postgres_server.new_database())


@contextlib.asynccontextmanager
async def listening(settings: Settings) -> AsyncIterator[tuple[Storage, list[ChangeNotice | None]]]:
    """A storage that has looked once, and what it hears of from then on; None: of anything."""
    async with opened(settings) as storage:
        await storage.database.catch_up()
        heard: list[ChangeNotice | None] = []
        storage.database.on_changes = lambda notices: heard.extend([None] if notices is None else notices)
        yield storage, heard


@contextlib.contextmanager
def no_answer(settings: Settings) -> Iterator[None]:
    """Looks wait meanwhile."""
    with psycopg.connect(settings.url) as connection:
        connection.execute("LOCK TABLE changes IN ACCESS EXCLUSIVE MODE")
        yield


def asked(settings: Settings, query: str) -> list[tuple[object, ...]]:
    """What a superuser's connection is told, one that nothing else uses."""
    with psycopg.connect(settings.url, autocommit=True) as connection:
        return connection.execute(query.encode()).fetchall()


async def note_elsewhere(settings: Settings, project_id: str) -> None:
    """A notice of another process."""
    async with opened(settings) as other:
        await other.database.write(lambda tx: note_change(tx, None, project_id, 1))


async def watched(storage: Storage) -> tuple[Caller, ModelProviders, Shown]:
    """The project's caller, its providers, which hear of changes, and their list as it is kept now."""
    caller, providers = await project_caller(storage), providers_of(storage)
    storage.database.on_changes = providers.forget
    await storage.database.catch_up()
    return caller, providers, await providers.list(caller.project_id or "")


def test_a_look_whose_connection_was_cut_is_made_again(settings: Settings) -> None:
    async def main() -> None:
        async with listening(settings) as (storage, heard):
            await note_elsewhere(settings, "project_1")
            assert asked(settings, _CUT) == [(True,)]
            await storage.database.catch_up()
            assert heard == [None]

    files = len(list(Path("/proc/self/fd").iterdir()))
    asyncio.run(main())
    assert len(list(Path("/proc/self/fd").iterdir())) == files


def test_a_look_that_is_cut_before_its_answer_is_made_again(settings: Settings) -> None:
    async def main() -> None:
        async with listening(settings) as (storage, heard):
            await note_elsewhere(settings, "project_1")
            with no_answer(settings):
                look = asyncio.create_task(storage.database.catch_up())
                await waits_for_a_lock(settings)
                assert asked(settings, _CUT) == [(True,)]
                await waits_for_a_lock(settings)
                assert not look.done()
            await look
            assert heard == [None]

    asyncio.run(main())


def test_a_question_to_a_connection_that_has_just_been_cut_is_answered_at_once(settings: Settings) -> None:
    """The server's last words and the reset come in one event, and uvloop tells of a connection with an error only once."""

    async def main() -> None:
        async with opened(settings):
            url = parse_database_url(settings.url)
            assert isinstance(url, ServerUrl)
            look = Look(lambda: connect(url, autocommit=True))
            await look.after("3:3:")
            assert asked(settings, _CUT) == [(True,)]
            while asked(settings, f"SELECT count(*) {_LOOKS}") != [(0,)]:
                pass
            with pytest.raises(psycopg.OperationalError) as lost:
                await look.after("3:3:")
            assert not isinstance(lost.value, NoAnswer)
            await look.after("3:3:")
            look.close()

    uvloop.run(main())


def test_what_was_kept_of_a_database_is_dropped_where_another_took_its_place(tmp_path: Path, postgres_server: PostgresServer) -> None:
    """It was restored from a backup, or a standby that lacks the last changes took over."""
    url = postgres_server.new_database()
    name = url.rpartition("/")[2]
    settings = settings_of(tmp_path, url)
    run_on(settings, lambda storage: store_secrets(storage, "sk-old"))
    with psycopg.connect(postgres_server.url("postgres"), autocommit=True) as admin:
        admin.execute(f"CREATE DATABASE {name}_backup TEMPLATE {name}".encode())

        async def main() -> None:
            async with opened(settings) as storage:
                caller, providers, kept = await watched(storage)
                await providers.upsert(caller, "openai", openai_key("sk-new"), None)
                changed = await providers.list(caller.project_id or "")
                await storage.database.catch_up()
                for step in (
                    f"ALTER DATABASE {name} ALLOW_CONNECTIONS false",
                    f"SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity WHERE datname = '{name}'",
                    f"ALTER DATABASE {name} RENAME TO {name}_lost",
                    f"ALTER DATABASE {name}_backup RENAME TO {name}",
                ):
                    admin.execute(step.encode())
                await storage.database.catch_up()
                assert await providers.list(caller.project_id or "") == kept != changed

        asyncio.run(main())


def test_notices_of_the_server_that_a_dump_came_from_are_passed_over(settings: Settings) -> None:
    """Its transactions have other numbers: by them an hour's notices could be new at every look, for as long as they are kept."""

    async def main() -> None:
        async with listening(settings) as (storage, heard):
            await note_elsewhere(settings, "project_1")
            with psycopg.connect(settings.url) as connection:
                connection.execute(
                    "INSERT INTO changes (at, project_id, revision, transaction_id) VALUES (0, 'project_2', 1, 1000000000000)"
                )
            await storage.database.catch_up()
            await note_elsewhere(settings, "project_3")
            await storage.database.catch_up()
            assert [notice and notice.project_id for notice in heard] == ["project_1", "project_3"]

    asyncio.run(main())


def test_a_slow_answer_holds_up_nothing_else_and_is_shared(settings: Settings) -> None:
    async def main() -> None:
        async with listening(settings) as (storage, heard):
            await note_elsewhere(settings, "project_1")
            with no_answer(settings):
                looks = [asyncio.create_task(storage.database.catch_up())]
                await waits_for_a_lock(settings)
                looks += [asyncio.create_task(storage.database.catch_up()) for _ in range(20)]
                assert await storage.database.read(lambda tx: tx.rows(_ONE)[0][0]) == 1
                assert not any(look.done() for look in looks)
            await asyncio.gather(*looks)
            assert heard == [ChangeNotice(None, "project_1", 1)]

    asyncio.run(main())


def test_a_database_that_closes_waits_for_no_answer(settings: Settings) -> None:
    async def main() -> None:
        async with listening(settings) as (storage, _):
            with no_answer(settings):
                looks = [asyncio.create_task(storage.database.catch_up()) for _ in range(2)]
                await waits_for_a_lock(settings)
                looks.append(asyncio.create_task(storage.database.catch_up()))
                await storage.database.close()
                ends = await asyncio.gather(*looks, return_exceptions=True)
            assert [end.code for end in ends if isinstance(end, Error)] == [Code.STORAGE_UNAVAILABLE] * 3
            with pytest.raises(Error, match="cannot be used now"):
                await storage.database.catch_up()

    asyncio.run(main())


def test_a_database_that_closes_before_the_look_connects_leaves_no_connection(settings: Settings) -> None:
    async def main() -> None:
        async with opened(settings) as storage:
            look = asyncio.create_task(storage.database.catch_up())
            await asyncio.sleep(0)
            await storage.database.close()
            with pytest.raises(Error, match="cannot be used now"):
                await look

    asyncio.run(main())
    others = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
    for _ in range(1000):
        if asked(settings, others) == [(0,)]:
            return
    raise AssertionError("a connection was left open")


def test_a_look_that_is_closed_while_it_connects_leaves_no_connection(settings: Settings) -> None:
    url = parse_database_url(settings.url)
    assert isinstance(url, ServerUrl)
    connected, closed, made = threading.Event(), threading.Event(), []

    def connect_slowly() -> Connection:
        made.append(connect(url, autocommit=True))
        connected.set()
        assert closed.wait(PATIENCE_S)
        return made[0]

    async def main() -> None:
        look = Look(connect_slowly)
        asking = asyncio.create_task(look.after("3:3:"))
        assert await asyncio.to_thread(connected.wait, PATIENCE_S)
        look.close()
        closed.set()
        with pytest.raises(psycopg.OperationalError):
            await asking

    asyncio.run(main())
    assert made[0].closed


class Timed(asyncio.SelectorEventLoop):
    """Keeps what is to happen later."""

    def __init__(self) -> None:
        super().__init__()
        self.later: list[asyncio.TimerHandle] = []

    def call_later(self, *arguments: Any, **options: Any) -> asyncio.TimerHandle:
        self.later.append(super().call_later(*arguments, **options))
        return self.later[-1]


def test_a_look_that_was_answered_is_not_given_up_later(settings: Settings) -> None:
    """Its connection would go, and all that is kept of the database with it."""
    url = parse_database_url(settings.url)
    assert isinstance(url, ServerUrl)
    loop = Timed()

    async def main() -> None:
        look = Look(lambda: connect(url, autocommit=True))
        await look.after("3:3:")
        look.close()
        assert [each.cancelled() for each in loop.later] == [True, True, True]

    with asyncio.Runner(loop_factory=lambda: loop) as runner:
        runner.run(main())


def test_what_the_server_says_unasked_is_no_answer(settings: Settings) -> None:
    """At this level PostgreSQL sends a notice or several before and after each answer, and a changed setting with one."""
    with psycopg.connect(settings.url, autocommit=True) as connection:
        connection.execute(f"ALTER DATABASE {connection.info.dbname} SET client_min_messages = debug5".encode())

    async def main() -> None:
        async with listening(settings) as (storage, heard):
            for number in range(3):
                await storage.database.catch_up()
                await note_elsewhere(settings, f"project_{number}")
                await storage.database.catch_up()
            assert [notice and notice.project_id for notice in heard] == ["project_0", "project_1", "project_2"]

    asyncio.run(main())


def test_looks_go_on_after_the_server_was_away(tmp_path: Path) -> None:
    with running_postgres() as server:
        settings = settings_of(tmp_path, server.empty_database())

        async def main() -> None:
            async with listening(settings) as (storage, heard):
                server.stop()
                with pytest.raises(Error, match="PostgreSQL does not answer") as refused:
                    await storage.database.catch_up()
                assert refused.value.code is Code.STORAGE_UNAVAILABLE
                server.start()
                await note_elsewhere(settings, "project_1")
                await storage.database.catch_up()
                server.stop()
                server.start()
                await note_elsewhere(settings, "project_2")
                await asyncio.gather(*(storage.database.catch_up() for _ in range(20)))
                assert heard == [None, None]

        asyncio.run(main())


def test_what_was_kept_of_a_database_is_dropped_where_an_older_dump_is_restored_in_it(
    tmp_path: Path, postgres_server: PostgresServer
) -> None:
    settings = settings_of(tmp_path, postgres_server.new_database())
    run_on(settings, lambda storage: store_secrets(storage, "sk-old"))
    taken = [postgres_server.binaries / "pg_dump", "--clean", "--if-exists", "--inserts", "--dbname", settings.url]
    dump = subprocess.run(taken, check=True, capture_output=True).stdout
    restoring = b"\n".join(line for line in dump.splitlines() if not line.startswith(b"\\"))

    async def main() -> None:
        async with opened(settings) as storage:
            caller, providers, kept = await watched(storage)
            for secret in ("sk-new", "sk-newer"):
                await providers.upsert(caller, "openai", openai_key(secret), None)
            await storage.database.catch_up()
            changed = await providers.list(caller.project_id or "")
            with psycopg.connect(settings.url) as connection:
                connection.execute(restoring)
            await storage.database.catch_up()
            assert await providers.list(caller.project_id or "") == kept != changed

    asyncio.run(main())
