"""A PostgreSQL that allows fewer connections than a process would open: requests wait for those there are, and none is hoarded."""

import asyncio
import contextlib
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import psycopg
import pytest

from keyhouse.domain.errors import Code, Error
from keyhouse.settings import Settings
from keyhouse.storage import postgres_connections
from keyhouse.storage import postgres_server as postgres_server_module
from keyhouse.storage.changes import note_change
from keyhouse.storage.database_url import PostgresServer as ServerUrl
from keyhouse.storage.database_url import parse_database_url
from keyhouse.storage.opening import Storage
from keyhouse.storage.postgres_connections import Connections
from keyhouse.storage.postgres_pipeline import Pipeline
from keyhouse.storage.statements import Statement, Transaction
from tests.conftest import PostgresServer
from tests.storage.houses import opened, settings_of

_SESSION = Statement("SELECT pg_backend_pid()", sqlite="SELECT 1")
_SLOW = Statement("SELECT pg_sleep(0.02)", sqlite="SELECT 1")


@pytest.fixture
def settings(tmp_path: Path, postgres_server: PostgresServer) -> Iterator[Settings]:
    """A database whose user may have few connections: two of them for transactions, once a process looks and listens."""
    url = postgres_server.empty_database()
    name = url.rpartition("/")[2]
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(f"CREATE ROLE few_{name} LOGIN".encode())
        connection.execute(f"ALTER DATABASE {name} OWNER TO few_{name}".encode())
        connection.execute(f"GRANT ALL ON SCHEMA public TO few_{name}".encode())
    yield settings_of(tmp_path, url.replace("keyhouse@", f"few_{name}@"))
    with contextlib.suppress(psycopg.Error), psycopg.connect(url, autocommit=True) as connection:
        connection.execute(f"ALTER ROLE few_{name} CONNECTION LIMIT -1".encode())


def allow(settings: Settings, postgres_server: PostgresServer, connections: int) -> None:
    name = settings.url.rpartition("/")[2]
    with psycopg.connect(postgres_server.url(name), autocommit=True) as connection:
        connection.execute(f"ALTER ROLE few_{name} CONNECTION LIMIT {connections}".encode())


def sessions(settings: Settings, postgres_server: PostgresServer) -> int:
    name = settings.url.rpartition("/")[2]
    with psycopg.connect(postgres_server.url(name)) as connection:
        found = connection.execute("SELECT count(*) FROM pg_stat_activity WHERE usename = %s", [f"few_{name}"]).fetchone()
    assert found is not None
    return int(found[0])


async def work(storage: Storage, callers: int) -> None:
    """Reads and writes of several callers at once, none of them quick."""
    reads = [storage.database.read(lambda tx: tx.rows(_SLOW)) for _ in range(callers)]
    writes = [storage.database.write(lambda tx: note_change(tx, None, None)) for _ in range(callers)]
    await asyncio.gather(*reads, *writes)


def test_requests_wait_for_the_connections_that_the_server_allows(settings: Settings, postgres_server: PostgresServer) -> None:
    async def main() -> None:
        async with opened(settings) as storage:
            await storage.database.catch_up()
            await storage.database.changed()
            allow(settings, postgres_server, 4)
            await work(storage, 40)
            assert sessions(settings, postgres_server) <= 4
            kept = storage.database._connections  # type: ignore[attr-defined]
            assert kept._open <= 2

    asyncio.run(main())


def test_reads_and_writes_share_connections(settings: Settings, postgres_server: PostgresServer) -> None:
    async def main() -> None:
        async with opened(settings) as storage:
            await storage.database.read(lambda tx: tx.rows(_SLOW))
            await storage.database.write(lambda tx: note_change(tx, None, None))
            assert sessions(settings, postgres_server) == 1

    asyncio.run(main())


def test_what_rests_is_given_up_but_for_one(settings: Settings, postgres_server: PostgresServer, monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> None:
        async with opened(settings) as storage:
            await storage.database.catch_up()
            await storage.database.changed()
            await work(storage, 20)
            assert sessions(settings, postgres_server) > 3
            kept = storage.database._connections  # type: ignore[attr-defined]
            before = kept._open
            kept.shed()
            assert kept._open == before
            monkeypatch.setattr(postgres_connections, "IDLE_S", 0.0)
            await storage.database.changed()
            async with asyncio.timeout(30):
                while sessions(settings, postgres_server) > 3:
                    await asyncio.sleep(0)
            assert (kept._open, len(kept._idle)) == (1, 1)
            await work(storage, 2)

    asyncio.run(main())


def test_a_write_that_is_refused_costs_no_connection(settings: Settings) -> None:
    async def main() -> None:
        async with opened(settings) as storage:

            def refused(tx: Transaction) -> None:
                note_change(tx, None, None)
                raise Error(Code.CONFLICT, f"{tx.rows(_SESSION)}")

            with pytest.raises(Error) as told:
                await storage.database.write(refused)
            assert told.value.message == f"{await storage.database.read(lambda tx: tx.rows(_SESSION))}"

    asyncio.run(main())


def test_a_process_that_has_no_connection_is_told_at_once(
    settings: Settings, postgres_server: PostgresServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def main() -> None:
        async with opened(settings) as storage:
            allow(settings, postgres_server, 0)
            cut = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = %s"
            name = settings.url.rpartition("/")[2]
            with psycopg.connect(postgres_server.url(name), autocommit=True) as connection:
                connection.execute(cut, [f"few_{name}"])
            monkeypatch.setattr(postgres_server_module, "PATIENCE_S", 60.0)
            for _ in range(2):
                with pytest.raises(Error) as refused:
                    async with asyncio.timeout(30):
                        await storage.database.read(lambda tx: tx.rows(_SLOW))
                assert refused.value.code is Code.STORAGE_UNAVAILABLE
            assert storage.database._connections._open == 0  # type: ignore[attr-defined]
            allow(settings, postgres_server, -1)
            await storage.database.read(lambda tx: tx.rows(_SLOW))

    asyncio.run(main())


@pytest.mark.parametrize("others_refused_s", [0.0, 3600.0])
def test_who_waits_in_vain_for_a_connection_is_told(
    settings: Settings, postgres_server: PostgresServer, monkeypatch: pytest.MonkeyPatch, others_refused_s: float
) -> None:
    """Others may ask, and be refused, as often as they like: who has waited long enough asks once more."""
    connections = Connections(server_of(settings))
    with ThreadPoolExecutor(1) as pool, connections.one("BEGIN"):
        allow(settings, postgres_server, 1)
        connections._refused_until = time.monotonic() + others_refused_s
        monkeypatch.setattr(postgres_server_module, "PATIENCE_S", 0.0)
        with pytest.raises(Error) as refused:
            pool.submit(connections._another).result(30)
        assert refused.value.code is Code.STORAGE_UNAVAILABLE
    with connections.one("BEGIN") as pipeline:
        assert pipeline.idle
    connections.close()
    assert connections._open == 0


@contextlib.contextmanager
def one_refused(connections: Connections) -> Iterator["Future[Pipeline]"]:
    """While the only connection is in use, somebody who was refused another one and waits."""
    with ThreadPoolExecutor(1) as pool, connections.one("BEGIN"):
        asks = pool.submit(connections._another)
        deadline = time.monotonic() + 30
        while not connections._waiting and not asks.done():
            assert time.monotonic() < deadline
        yield asks
    connections._give_back(asks.result())
    connections.close()
    assert connections._open == 0


def test_who_is_refused_waits_for_the_only_connection_and_leaves_the_server_alone(
    settings: Settings, postgres_server: PostgresServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(postgres_server_module, "PATIENCE_S", 60.0)
    monkeypatch.setattr(postgres_connections, "_NOT_ASKED_AGAIN_S", 60.0)
    connections = Connections(server_of(settings))
    with connections.one("BEGIN") as only:
        pass
    allow(settings, postgres_server, 1)
    with one_refused(connections) as asks:
        assert connections._refused_until > time.monotonic()
    assert asks.result() is only


def test_who_is_refused_asks_again_soon(settings: Settings, postgres_server: PostgresServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(postgres_server_module, "PATIENCE_S", 3600.0)
    connections = Connections(server_of(settings))
    with connections.one("BEGIN") as only:
        pass
    allow(settings, postgres_server, 1)
    with one_refused(connections) as asks:
        allow(settings, postgres_server, -1)
        assert asks.result(30) is not only


def test_who_finds_no_connection_open_does_not_wait_for_one_to_be_given_back(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(postgres_server_module, "PATIENCE_S", 60.0)
    connections = Connections(server_of(settings))
    connections._refused_until = time.monotonic() + 3600.0
    with ThreadPoolExecutor(1) as pool:
        pipeline = pool.submit(connections._another).result(30)
        assert pipeline.idle
        connections._give_back(pipeline)
        # Given back by another thread since this one found none.
        assert pool.submit(connections._another).result(30) is pipeline
    connections._give_back(pipeline)
    connections.close()


def server_of(settings: Settings) -> ServerUrl:
    url = parse_database_url(settings.url)
    assert isinstance(url, ServerUrl)
    return url
