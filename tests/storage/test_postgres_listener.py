"""The connection on which a process hears at once that another one wrote."""

import asyncio
import logging
import os
import threading
from pathlib import Path

import psycopg
import pytest

from keyhouse.settings import Settings
from keyhouse.storage.changes import note_change
from tests.conftest import PostgresServer
from tests.storage.houses import opened, settings_of

_LISTENING = "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND query LIKE 'LISTEN%' AND state = 'idle'"


@pytest.fixture
def settings(tmp_path: Path, postgres_server: PostgresServer, monkeypatch: pytest.MonkeyPatch) -> Settings:
    monkeypatch.setattr("keyhouse.storage.postgres_listener._LISTENS_FOR_S", 3600.0)
    return settings_of(tmp_path, postgres_server.new_database())


async def listening(administrator: psycopg.Connection[tuple[int]], but: int = 0) -> int:
    """The process id of the session that listens, once there is one."""
    async with asyncio.timeout(60):
        while True:
            found = [number for (number,) in administrator.execute(_LISTENING.encode()) if number != but]
            if found:
                return found[0]
            await asyncio.sleep(0)


def listeners() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name == "keyhouse-listen"]


def test_a_write_of_another_process_is_heard(settings: Settings) -> None:
    async def main() -> None:
        async with opened(settings) as storage, opened(settings) as other:
            await storage.database.catch_up()
            with psycopg.connect(settings.url, autocommit=True) as administrator:
                for number in range(3):
                    waiting = [asyncio.create_task(storage.database.changed()) for _ in range(2)]
                    await listening(administrator)
                    await other.database.write(lambda tx, number=number: note_change(tx, None, "project_1", number + 1))  # type: ignore[misc]
                    async with asyncio.timeout(60):
                        await asyncio.gather(*waiting)
            assert listeners() == ["keyhouse-listen"]

    asyncio.run(main())


def test_who_cannot_look_at_changes_listens_for_none(settings: Settings) -> None:
    """Whoever is told looks, which opens the connection for that anew."""

    async def main() -> None:
        async with opened(settings) as storage, asyncio.timeout(60):
            await storage.database.changed()
            assert listeners() == []

    asyncio.run(main())


def test_where_nobody_writes_who_listens_looks_by_itself(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("keyhouse.storage.postgres_listener._LISTENS_FOR_S", 0.0)

    async def main() -> None:
        async with opened(settings) as storage:
            await storage.database.catch_up()
            for _ in range(3):
                await storage.database.changed()
            assert storage.database._listener._waiters == set()  # type: ignore[attr-defined]

    asyncio.run(main())


def test_a_session_that_listens_and_was_ended_comes_back_without_a_line_in_the_log(
    settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    """psycopg would write down the connection, with its host and database."""

    async def main() -> None:
        async with opened(settings) as storage, opened(settings) as other:
            await storage.database.catch_up()
            waiting = asyncio.create_task(storage.database.changed())
            with psycopg.connect(settings.url, autocommit=True) as administrator:
                session = await listening(administrator)
                administrator.execute("SELECT pg_terminate_backend(%s, 10000)", [session])
                await listening(administrator, but=session)
            await other.database.write(lambda tx: note_change(tx, None, "project_1", 1))
            async with asyncio.timeout(60):
                await waiting

    with caplog.at_level(logging.WARNING):
        asyncio.run(main())
    assert caplog.messages == []


def test_nothing_of_it_is_left_when_the_database_is_closed(settings: Settings) -> None:
    async def main() -> None:
        async with opened(settings) as storage:
            await storage.database.catch_up()
            waiting = asyncio.create_task(storage.database.changed())
            with psycopg.connect(settings.url, autocommit=True) as administrator:
                await listening(administrator)
            waiting.cancel()
            await asyncio.wait([waiting])
        assert listeners() == []

    asyncio.run(main())
    opened_files = len(os.listdir("/proc/self/fd"))
    asyncio.run(main())
    assert len(os.listdir("/proc/self/fd")) == opened_files
