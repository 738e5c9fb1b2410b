"""What a PUT may cost a database, counted and not timed: statements, round trips, pages."""

import asyncio
from collections import Counter
from pathlib import Path

from keyhouse.domain.model import CustomModel
from keyhouse.domain.model_provider import ModelProviderUpdate
from keyhouse.settings import Settings
from keyhouse.storage.postgres import PostgresDatabase
from keyhouse.storage.sqlite import SqliteDatabase
from tests.conftest import PostgresServer
from tests.storage.houses import openai_key, opened, project_caller, providers_of, settings_of, store_secrets

PUTS = 20


async def write_counted(settings: Settings, traced: Path, *, from_memory: bool) -> None:
    """What libpq sends for further PUTs, written down."""
    async with opened(settings) as storage:
        await store_secrets(storage, "sk-0", "sk-1")
        caller, providers, database = await project_caller(storage), providers_of(storage), storage.database
        assert isinstance(database, PostgresDatabase)
        # Other processes are woken over the same connections, at any time.
        if database._announcing is not None:
            await database._announcing
        database._announcing = asyncio.create_task(asyncio.sleep(3600))
        if from_memory:
            await providers.upsert(caller, "openai", openai_key("sk-2"), None)
            await database._drafts.opened()
        else:
            await database._drafts.close()
        await providers.upsert(caller, "openai", openai_key("sk-3"), None)
        with traced.open("w") as file:
            line = database._drafts._line
            pgconn = database._connections._idle[-1]._pgconn if line is None else line._pgconn
            pgconn.trace(file.fileno())
            for number in range(PUTS):
                await providers.upsert(caller, "openai", openai_key(f"sk-again-{number}"), None)
            pgconn.untrace()


def sent(traced: Path) -> Counter[str]:
    return Counter(fields[3] for line in traced.read_text().splitlines() if (fields := line.split("\t"))[1] == "F")


def test_a_put_from_memory_is_one_statement_and_prepares_nothing(tmp_path: Path, postgres_server: PostgresServer) -> None:
    traced = tmp_path / "libpq.trace"
    asyncio.run(write_counted(settings_of(tmp_path, postgres_server.new_database()), traced, from_memory=True))
    assert sent(traced) == dict.fromkeys(("Bind", "Describe", "Execute", "Sync"), PUTS)


def test_a_put_by_itself_is_two_round_trips_and_prepares_nothing(tmp_path: Path, postgres_server: PostgresServer) -> None:
    traced = tmp_path / "libpq.trace"
    asyncio.run(write_counted(settings_of(tmp_path, postgres_server.new_database()), traced, from_memory=False))
    counted = sent(traced)
    assert {kind: counted[kind] for kind in ("Flush", "Sync", "Parse")} == {"Flush": PUTS, "Sync": PUTS, "Parse": 0}
    assert counted["Execute"] <= 9 * PUTS


def test_a_put_is_nine_statements(tmp_path: Path) -> None:
    async def main() -> None:
        async with opened(settings_of(tmp_path, f"sqlite:///{tmp_path / 'keyhouse.db'}")) as storage:
            await store_secrets(storage, "sk-0", "sk-1")
            caller, providers, database = await project_caller(storage), providers_of(storage), storage.database
            await providers.list(caller.project_id or "")
            assert isinstance(database, SqliteDatabase)
            ran: list[str] = []
            database._writer.set_trace_callback(ran.append)
            for number in range(PUTS):
                await providers.upsert(caller, "openai", openai_key(f"sk-again-{number}"), None)
            database._writer.set_trace_callback(None)
            assert len([text for text in ran if not text.startswith("PRAGMA data_version")]) <= 9 * PUTS

    asyncio.run(main())


def test_a_put_alone_writes_ten_pages_at_most(tmp_path: Path) -> None:
    """Of the tables and indexes that it changes; each page goes to the log with a header of 24 bytes."""
    log = tmp_path / "keyhouse.db-wal"

    async def main() -> None:
        async with opened(settings_of(tmp_path, f"sqlite:///{tmp_path / 'keyhouse.db'}")) as storage:
            caller, providers = await project_caller(storage), providers_of(storage)
            models = tuple(CustomModel(f"model-{number}", f"Model {number}", "chat", max_tokens=4096) for number in range(12))
            before = 0
            for number in range(PUTS + 1):
                if number == 1:
                    before = log.stat().st_size
                key = {"OPENAI_API_KEY": f"sk-{number}"}
                await providers.upsert(caller, "openai", ModelProviderUpdate(enabled=True, custom_keys=key, custom_models=models), None)
            pages = (log.stat().st_size - before) / (4096 + 24) / PUTS
            assert pages <= 10

    asyncio.run(main())
