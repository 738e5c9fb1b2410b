"""A process that was stopped for a while hears of what it missed before it serves anything from memory."""

import asyncio
import time
from pathlib import Path

import pytest

from keyhouse.services import attention as attention_module
from keyhouse.services.attention import Attention
from keyhouse.storage.changes import note_change
from keyhouse.storage.database import ChangeNotice
from tests.conftest import running_postgres
from tests.storage.houses import opened, settings_of


class Clock:
    """The wall clock as it is, and later after a process was stopped."""

    def __init__(self) -> None:
        self.ahead_s = 0.0

    def time(self) -> float:
        return time.time() + self.ahead_s


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(attention_module, "time", made)
    # A machine that is busy holds this process up, too.
    monkeypatch.setattr(attention_module, "_LONGEST_GAP_S", 60.0)
    return made


async def beats() -> None:
    """Until those that are due have been."""
    for _ in range(3):
        await asyncio.sleep(0)


@pytest.mark.parametrize("ahead_s", [3600.0, -3600.0])
def test_what_was_missed_is_heard(tmp_path: Path, database_url: str, clock: Clock, ahead_s: float) -> None:
    async def main() -> None:
        heard: list[ChangeNotice] = []
        settings = settings_of(tmp_path, database_url)
        async with asyncio.timeout(60), opened(settings) as storage, opened(settings) as other:
            await storage.database.catch_up()
            storage.database.on_changes = lambda notices: heard.extend(notices or ())
            attention = Attention(storage.database)
            async with attention.kept():
                await beats()
                assert not attention.is_lost
                await other.database.write(lambda tx: note_change(tx, "organization_1", None))
                clock.ahead_s = ahead_s
                assert attention.is_lost
                await attention.regain()
                assert [notice.organization_id for notice in heard] == ["organization_1"]
                assert not attention.is_lost

    asyncio.run(main())


def test_a_gap_that_a_beat_saw_first_is_a_gap(tmp_path: Path, database_url: str, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attention_module, "_BEAT_S", 0.0)

    async def main() -> None:
        async with asyncio.timeout(60), opened(settings_of(tmp_path, database_url)) as storage:
            attention = Attention(storage.database)
            async with attention.kept():
                await beats()
                clock.ahead_s = 3600.0
                await beats()
                assert attention.is_lost
                await attention.regain()
                assert not attention.is_lost

    asyncio.run(main())


def test_where_nobody_keeps_it_nothing_is_missed(tmp_path: Path, database_url: str, clock: Clock) -> None:
    async def main() -> None:
        async with opened(settings_of(tmp_path, database_url)) as storage:
            attention = Attention(storage.database)
            clock.ahead_s = 3600.0
            assert not attention.is_lost
            async with attention.kept():
                await beats()
            clock.ahead_s = 7200.0
            assert not attention.is_lost

    asyncio.run(main())


def test_where_the_database_is_away_memory_is_as_good_as_there_is(tmp_path: Path, clock: Clock) -> None:
    with running_postgres() as server:

        async def main() -> None:
            async with asyncio.timeout(60), opened(settings_of(tmp_path, server.empty_database())) as storage:
                attention = Attention(storage.database)
                async with attention.kept():
                    await beats()
                    server.stop()
                    clock.ahead_s = 3600.0
                    await attention.regain()
                    assert not attention.is_lost

        asyncio.run(main())
