"""A server goes on keeping up with others, whatever fails meanwhile: what is missed here, a revoked key above all, is never made up for."""

import asyncio
from pathlib import Path

from structlog.testing import capture_logs

from keyhouse.services.replicas import Replicas
from keyhouse.services.upkeep import Chore, upkeep
from keyhouse.settings import Settings
from keyhouse.storage.changes import note_change
from keyhouse.storage.statements import Statement
from tests.storage.houses import opened, settings_of

AWAY = Statement("ALTER TABLE replicas RENAME TO replicas_away")
BACK = Statement("ALTER TABLE replicas_away RENAME TO replicas")


def test_after_a_failure_that_nobody_foresaw_changes_of_others_are_heard(tmp_path: Path, database_url: str) -> None:
    asyncio.run(_main(settings_of(tmp_path, database_url)))


async def _main(settings: Settings) -> None:
    heard, failed = asyncio.Event(), asyncio.Event()
    async with opened(settings) as storage, opened(settings) as other:
        replicas = Replicas(storage, "1")

        async def note() -> None:
            try:
                await replicas.note()
            finally:
                failed.set()

        # As it is for a moment where somebody restores a backup with `pg_restore --clean`.
        await other.database.write(lambda tx: tx.run(AWAY))
        with capture_logs() as logs:
            async with asyncio.timeout(30), upkeep(storage, [Chore(3600, note, at_the_end=replicas.leave)]):
                await failed.wait()
                storage.database.on_changes = lambda notices: heard.set()
                await other.database.write(lambda tx: note_change(tx, "organization_1", None))
                await heard.wait()
        await other.database.write(lambda tx: tx.run(BACK))
    assert {entry["event"] for entry in logs if entry["log_level"] == "error"} == {"keeping up with other processes failed"}


def test_a_chore_that_has_to_wait_keeps_no_change_of_others_from_being_heard(tmp_path: Path, database_url: str) -> None:
    async def main() -> None:
        heard, waiting, never = asyncio.Event(), asyncio.Event(), asyncio.Event()

        async def wait() -> None:
            waiting.set()
            await never.wait()

        async def nothing() -> None:
            pass

        settings = settings_of(tmp_path, database_url)
        async with asyncio.timeout(30), opened(settings) as storage, opened(settings) as other:
            storage.database.on_changes = lambda notices: heard.set()
            async with upkeep(storage, [Chore(3600, wait, at_the_end=nothing)]):
                await waiting.wait()
                await other.database.write(lambda tx: note_change(tx, "organization_1", None))
                await heard.wait()

    asyncio.run(main())
