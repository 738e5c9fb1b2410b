"""A PostgreSQL that is there and says nothing: whoever asks is told so in time, and it heals by itself."""

import asyncio
import contextlib
import os
import signal
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psycopg
import pytest

from keyhouse.domain.errors import Code, Error
from keyhouse.settings import Settings
from keyhouse.storage.database import Database
from keyhouse.storage.database_url import PostgresServer as ServerUrl
from keyhouse.storage.database_url import parse_database_url
from keyhouse.storage.postgres_connections import Connections
from keyhouse.storage.statements import Statement, Transaction, insert_into
from tests.conftest import PostgresServer, running_postgres
from tests.storage.houses import opened, settings_of

_ONE = Statement("SELECT 1")
_PUT = insert_into("installation", "name, value")
_GET = Statement("SELECT value FROM installation WHERE name = :name")
_BACKENDS = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"


@pytest.fixture(scope="module")
def lonely_server() -> Iterator[PostgresServer]:
    with running_postgres() as server:
        yield server


@pytest.fixture
def settings(tmp_path: Path, lonely_server: PostgresServer) -> Settings:
    return settings_of(tmp_path, lonely_server.empty_database())


@contextlib.contextmanager
def frozen(server: PostgresServer) -> Iterator[None]:
    """Nothing of the server runs meanwhile; its connections stay open, and new ones wait."""
    assert server.process is not None
    main = server.process.pid
    os.kill(main, signal.SIGSTOP)
    processes = [main, *map(int, Path(f"/proc/{main}/task/{main}/children").read_text().split())]
    for process in processes:
        os.kill(process, signal.SIGSTOP)
    try:
        yield
    finally:
        for process in reversed(processes):  # the main one takes away those that have ended
            os.kill(process, signal.SIGCONT)


@contextlib.asynccontextmanager
async def warm(settings: Settings) -> AsyncIterator[Database]:
    """A database with a connection of each kind open."""
    async with opened(settings) as storage:
        await storage.database.catch_up()
        await storage.database.read(one)
        await storage.database.write(lambda tx: tx.run(_PUT, name="before", value="written"))
        yield storage.database


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Makes waiting shorter from when it is called."""
    return lambda: monkeypatch.setattr("keyhouse.storage.postgres_server.PATIENCE_S", 1.0)


def one(tx: Transaction) -> object:
    return tx.rows(_ONE)[0][0]


def put(name: str) -> Callable[[Transaction], None]:
    return lambda tx: tx.run(_PUT, name=name, value="written")


def put_after_a_read(name: str) -> Callable[[Transaction], None]:
    def work(tx: Transaction) -> None:
        tx.rows(_ONE)
        tx.run(_PUT, name=name, value="written")

    return work


async def refusal(asked: Awaitable[object]) -> str:
    """What is said to who asked; that it takes for ever is a failure."""
    with pytest.raises(Error) as refused:
        async with asyncio.timeout(60):
            await asked
    assert refused.value.code is Code.STORAGE_UNAVAILABLE
    return refused.value.message


async def heals(ask: Callable[[], Awaitable[object]]) -> None:
    for _ in range(100):
        with contextlib.suppress(Error):
            await ask()
            return
    raise AssertionError("it does not heal")


def test_a_frozen_server_is_asked_once(settings: Settings, lonely_server: PostgresServer, impatient: Callable[[], None]) -> None:
    """Not on one connection after the other, each for as long as patience lasts."""
    together, asked = threading.Barrier(3, timeout=30), []

    def ask(tx: Transaction) -> None:
        asked.append(1)
        one(tx)

    async def main() -> None:
        async with warm(settings) as database:
            await asyncio.gather(*(database.read(lambda tx: (one(tx), together.wait())) for _ in range(3)))
            impatient()
            with frozen(lonely_server):
                await refusal(database.read(ask))
            assert len(asked) == 1

    asyncio.run(main())


def test_who_asks_a_frozen_server_is_told_so_and_it_heals(
    settings: Settings, lonely_server: PostgresServer, impatient: Callable[[], None]
) -> None:
    async def main() -> None:
        async with warm(settings) as database:
            impatient()
            with frozen(lonely_server):
                asked = [database.catch_up(), database.catch_up(), database.read(one), database.write(put_after_a_read("undone"))]
                for message in await asyncio.gather(*map(refusal, asked)):
                    assert message == "The database cannot be used now: PostgreSQL does not answer. Nothing was changed; try again."
            await heals(database.catch_up)
            await heals(lambda: database.read(one))
            await heals(lambda: database.write(put("after")))
            assert [await database.read(lambda tx, name=name: tx.rows(_GET, name=name)) for name in ("undone", "after")] == [  # type: ignore[misc]
                [],
                [("written",)],
            ]

    asyncio.run(main())


def test_a_commit_that_a_frozen_server_does_not_answer_is_not_called_undone(
    settings: Settings, lonely_server: PostgresServer, impatient: Callable[[], None]
) -> None:
    async def main() -> None:
        async with warm(settings) as database:
            impatient()
            with frozen(lonely_server):
                assert "may have been made. Read before you try again" in await refusal(database.write(put("perhaps")))

    asyncio.run(main())


def test_who_waits_in_line_behind_others_is_told_too(
    settings: Settings, lonely_server: PostgresServer, impatient: Callable[[], None]
) -> None:
    """A few threads ask for everybody: each round of them may wait as long as it takes to give up."""

    async def main() -> None:
        async with warm(settings) as database:
            await asyncio.gather(*(database.read(one) for _ in range(50)))
            impatient()
            with frozen(lonely_server):
                said = await asyncio.gather(*(refusal(database.read(one)) for _ in range(500)))
                assert any("too many requests wait for PostgreSQL" in message for message in said)
            await heals(lambda: database.read(one))

    asyncio.run(main())


def test_a_database_on_a_frozen_server_closes(settings: Settings, lonely_server: PostgresServer, impatient: Callable[[], None]) -> None:
    async def main() -> None:
        async with warm(settings) as database:
            impatient()
            with frozen(lonely_server):
                asked = [asyncio.create_task(refusal(ask)) for ask in (database.catch_up(), database.read(one))]
                await asyncio.sleep(0)
                await database.close()
                await asyncio.gather(*asked)

    asyncio.run(main())


def test_who_waits_for_a_lock_is_told_by_the_server_and_no_wait_is_left(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    bound = "SET lock_timeout = '100ms'"
    monkeypatch.setattr("keyhouse.storage.postgres_pipeline.BOUND_LOCKS", bound)
    monkeypatch.setattr("keyhouse.storage.postgres_look.BOUND_LOCKS", bound)

    async def main() -> None:
        async with warm(settings) as database:
            with psycopg.connect(settings.url) as other:
                other.execute("LOCK TABLE installation, changes IN ACCESS EXCLUSIVE MODE")
                before = other.execute(_BACKENDS).fetchone()
                for _ in range(3):
                    for ask in (database.catch_up(), database.write(put("late"))):
                        assert "another transaction has held a lock for too long. Nothing was changed" in await refusal(ask)
                assert other.execute(_BACKENDS).fetchone() == before
            await database.catch_up()
            await database.write(put("late"))

    asyncio.run(main())


def test_who_asks_a_frozen_server_for_another_connection_waits_for_no_other(
    settings: Settings, lonely_server: PostgresServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that does not answer gives back none of those that are in use."""
    monkeypatch.setattr("keyhouse.storage.postgres_server.PATIENCE_S", 60.0)
    monkeypatch.setattr("keyhouse.storage.postgres_server._CONNECT_TIMEOUT_S", 2)
    url = parse_database_url(settings.url)
    assert isinstance(url, ServerUrl)
    connections = Connections(url)
    with ThreadPoolExecutor(1) as pool, connections.one("BEGIN"):
        with frozen(lonely_server), pytest.raises(Error, match="PostgreSQL does not answer") as told:
            pool.submit(connections._another).result(30)
        assert told.value.code is Code.STORAGE_UNAVAILABLE
    connections.close()
