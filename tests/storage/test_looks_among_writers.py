"""A look on PostgreSQL among transactions that end in another order than they began: each notice is read once, however long others last."""

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import psycopg
import pytest

from keyhouse.storage.changes import newest_mark, note_change
from keyhouse.storage.database_url import PostgresServer as PostgresUrl
from keyhouse.storage.database_url import parse_database_url
from keyhouse.storage.opening import Storage
from keyhouse.storage.postgres_look import Look
from keyhouse.storage.postgres_server import connect
from tests.conftest import PostgresServer
from tests.storage.houses import opened, settings_of

_NOTE = """INSERT INTO changes (at, project_id, revision, transaction_id)
    VALUES (extract(epoch FROM clock_timestamp())::bigint * 1000000, %s, 1, pg_current_xact_id()::text::bigint)"""


@contextlib.asynccontextmanager
async def looking(storage: Storage, url: str) -> AsyncIterator[Callable[[], "asyncio.Task[list[str | None]]"]]:
    """Look again and again, each time from where the last one ended: the projects that the rows name."""
    server = parse_database_url(url)
    assert isinstance(server, PostgresUrl)
    look = Look(lambda: connect(server, autocommit=True))
    mark = await storage.database.read(newest_mark)

    async def once() -> list[str | None]:
        nonlocal mark
        notices, mark = await look.after(mark)
        return [notice.project_id for notice in notices.values()]

    try:
        yield lambda: asyncio.create_task(once())
    finally:
        look.close()


def test_a_long_transaction_elsewhere_has_nothing_read_twice(tmp_path: Path, postgres_server: PostgresServer) -> None:
    url, neighbour = postgres_server.new_database(), postgres_server.new_database()

    async def main() -> None:
        async with opened(settings_of(tmp_path, url)) as storage, looking(storage, url) as look:
            with psycopg.connect(neighbour) as long:
                long.execute("SELECT pg_current_xact_id()")
                for number in range(20):
                    await storage.database.write(lambda tx, name=f"project_{number}": note_change(tx, None, name, 1))  # type: ignore[misc]
                    assert await look() == [f"project_{number}"]
                assert await look() == []

    asyncio.run(main())


@pytest.mark.parametrize("seed", range(4))
def test_each_notice_is_read_once_in_whatever_order_its_writers_end(tmp_path: Path, postgres_server: PostgresServer, seed: int) -> None:
    url, chance = postgres_server.new_database(), random.Random(seed)

    async def main() -> None:
        read: list[str | None] = []
        committed: list[str] = []
        with contextlib.ExitStack() as held:
            async with opened(settings_of(tmp_path, url)) as storage, looking(storage, url) as look:
                writers = [held.enter_context(psycopg.connect(url)) for _ in range(6)]
                begun: dict[int, list[str]] = {}
                for step in range(200):
                    number = chance.randrange(len(writers))
                    if number not in begun or chance.random() < 0.3:
                        begun.setdefault(number, []).append(f"project_{step}")
                        writers[number].execute(_NOTE, [f"project_{step}"])
                    elif chance.random() < 0.2:
                        writers[number].rollback()
                        del begun[number]
                    else:
                        writers[number].commit()
                        committed += begun.pop(number)
                    if chance.random() < 0.4:
                        read += await look()
                        assert sorted(map(str, read)) == sorted(committed)
                read += await look()
        assert sorted(map(str, read)) == sorted(committed)
        assert len(committed) > 20

    asyncio.run(main())
