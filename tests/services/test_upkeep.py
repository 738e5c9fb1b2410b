"""A server goes on keeping up with others, whatever fails meanwhile: what is missed here, a revoked key above all, is never made up for."""

import asyncio
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from keyhouse.services.replicas import Replicas
from keyhouse.services.upkeep import Chore, upkeep
from keyhouse.settings import Settings
from keyhouse.storage.changes import note_change
from keyhouse.storage.key_file import read_key_file, write_key_file
from keyhouse.storage.key_ring import new_key
from keyhouse.storage.statements import Statement
from tests.storage.houses import opened, settings_of

AWAY = Statement("ALTER TABLE replicas RENAME TO replicas_away")
AGE = Statement("UPDATE changes SET at = 1")
COUNT = Statement("SELECT count(*) FROM changes")
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

        settings = settings_of(tmp_path, database_url)
        async with asyncio.timeout(30), opened(settings) as storage, opened(settings) as other:
            storage.database.on_changes = lambda notices: heard.set()
            async with upkeep(storage, [Chore(3600, wait, at_the_end=nothing)]):
                await waiting.wait()
                await other.database.write(lambda tx: note_change(tx, "organization_1", None))
                await heard.wait()

    asyncio.run(main())


async def nothing() -> None:
    pass


def test_after_a_look_that_failed_changes_of_others_are_heard(tmp_path: Path, database_url: str) -> None:
    async def main() -> None:
        failed, heard = asyncio.Event(), asyncio.Event()

        def fail_once(notices: object) -> None:
            if failed.is_set():
                heard.set()
                return
            failed.set()
            raise RuntimeError("nobody foresaw this")

        settings = settings_of(tmp_path, database_url)
        async with asyncio.timeout(30), opened(settings) as storage, opened(settings) as other:
            storage.database.on_changes = fail_once
            async with upkeep(storage, []):
                for told in (failed, heard):
                    await other.database.write(lambda tx: note_change(tx, "organization_1", None))
                    await told.wait()

    asyncio.run(main())


def test_a_chore_is_done_when_it_is_due_again_though_it_failed_and_one_that_is_not_due_waits(tmp_path: Path) -> None:
    async def main() -> None:
        again, times, early = asyncio.Event(), list[int](), list[int]()

        async def fail() -> None:
            times.append(1)
            if len(times) == 3:
                again.set()
            raise RuntimeError("nobody foresaw this")

        async def begin() -> None:
            early.append(1)

        settings = settings_of(tmp_path, f"sqlite:///{tmp_path / 'keyhouse.db'}")
        async with (
            asyncio.timeout(30),
            opened(settings) as storage,
            upkeep(storage, [Chore(0, fail, at_the_end=nothing), Chore(0, begin, at_the_end=nothing, after_s=3600)]),
        ):
            await again.wait()
        assert early == []

    asyncio.run(main())


def test_what_is_done_at_the_end_is_overtaken_by_nothing_that_was_under_way(tmp_path: Path) -> None:
    """As where a process says that it leaves, and another time that it is there."""

    async def main() -> None:
        begun, done = asyncio.Event(), list[str]()

        async def note() -> None:
            begun.set()
            try:
                await asyncio.Event().wait()
            finally:
                done.append("noted")

        async def leave() -> None:
            done.append("left")

        settings = settings_of(tmp_path, f"sqlite:///{tmp_path / 'keyhouse.db'}")
        async with asyncio.timeout(30), opened(settings) as storage, upkeep(storage, [Chore(3600, note, at_the_end=leave)]):
            await begun.wait()
        assert done == ["noted", "left"]

    asyncio.run(main())


def test_a_server_takes_up_new_keys_and_forgets_old_notices_by_itself(
    tmp_path: Path, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("keyhouse.services.upkeep._NOTICES_FORGOTTEN_EVERY_S", 0.0)
    settings = settings_of(tmp_path, database_url)

    async def main() -> None:
        async with asyncio.timeout(30), opened(settings) as storage:
            for _ in range(2):
                await storage.database.write(lambda tx: note_change(tx, "organization_1", None))
            await storage.database.write(lambda tx: tx.run(AGE))
            key_id, key = new_key()
            async with upkeep(storage, []):
                write_key_file(settings.key_ring_file, read_key_file(settings.key_ring_file).with_first(key_id, key))
                while storage.box.ring.writing_id != key_id or await storage.database.read(lambda tx: tx.rows(COUNT)) != [(1,)]:
                    await asyncio.sleep(0)

    asyncio.run(main())
