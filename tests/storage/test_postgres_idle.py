"""Sessions that PostgreSQL ends because they asked nothing for too long, as its administrators may wish: nobody hears of it."""

import asyncio
from pathlib import Path

import psycopg
import pytest

from keyhouse.settings import Settings
from keyhouse.storage.statements import Statement, insert_into
from tests.conftest import PostgresServer
from tests.storage.houses import opened, settings_of

_PUT = insert_into("installation", "name, value")
_NAMES = Statement("SELECT name FROM installation WHERE value = 'idle' ORDER BY name")


@pytest.fixture
def settings(tmp_path: Path, postgres_server: PostgresServer) -> Settings:
    url = postgres_server.new_database()
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(f"ALTER DATABASE {connection.info.dbname} SET idle_session_timeout = '300ms'".encode())
    return settings_of(tmp_path, url)


def wait_until_ended(settings: Settings) -> None:
    """Until all sessions are, but the one that asks and the one that listens."""
    others = "datname = current_database() AND query NOT LIKE 'LISTEN%' AND pid <> pg_backend_pid()"
    with psycopg.connect(settings.url, autocommit=True) as connection:
        for _ in range(100_000):
            if connection.execute(f"SELECT count(*) FROM pg_stat_activity WHERE {others}".encode()).fetchone() == (0,):
                return
    raise AssertionError("the sessions go on")


def test_idle_sessions_may_be_ended(settings: Settings) -> None:
    async def main() -> None:
        async with opened(settings) as storage:
            database = storage.database
            for number in range(3):
                await asyncio.gather(*(database.read(lambda tx: tx.rows(_NAMES)) for _ in range(6)))
                wait_until_ended(settings)
                # A write whose first answer is that of its commit, and a read.
                await database.write(lambda tx, name=f"name {number}": tx.run(_PUT, name=name, value="idle"))  # type: ignore[misc]
                assert len(await database.read(lambda tx: tx.rows(_NAMES))) == number + 1
                await database.catch_up()

    asyncio.run(main())
