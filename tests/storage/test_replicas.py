"""Which processes use the database, on both databases; and that saying so makes nobody drop anything."""

import asyncio
from datetime import timedelta
from pathlib import Path

from msgspec.structs import replace

from keyhouse.services.replicas import Replicas
from keyhouse.storage.database import ChangeNotice
from keyhouse.storage.opening import Storage
from keyhouse.storage.replicas import FORGOTTEN_AFTER_S, Replica, see_replica
from keyhouse.storage.statements import Transaction
from tests.storage.houses import opened, run_on, settings_of


def test_each_process_is_seen_from_its_first_note_until_it_leaves(tmp_path: Path, database_url: str) -> None:
    async def work(storage: Storage) -> None:
        one, other = Replicas(storage, "1.0"), Replicas(storage, "1.1")
        assert await one.list() == ()
        await one.note()
        first = (await one.list())[0]
        await asyncio.gather(one.note(), other.note())
        seen = {replica.version: replica for replica in await one.list()}
        assert sorted(seen) == ["1.0", "1.1"]
        assert (seen["1.0"].id, seen["1.0"].started_at) == (first.id, first.started_at)
        assert seen["1.0"].seen_at > first.seen_at
        await one.leave()
        assert [replica.version for replica in await other.list()] == ["1.1"]

    run_on(settings_of(tmp_path, database_url), work)


def test_a_process_that_ended_without_a_word_is_forgotten(tmp_path: Path, database_url: str, monkeypatch) -> None:
    async def work(storage: Storage) -> None:
        await Replicas(storage, "1.0").note()
        gone = (await Replicas(storage, "1.0").list())[0]
        long_ago = gone.seen_at - timedelta(seconds=FORGOTTEN_AFTER_S + 1)

        def note_long_ago(tx: Transaction) -> None:
            with monkeypatch.context() as clock:
                clock.setattr("keyhouse.storage.replicas.now_us", lambda: int(long_ago.timestamp() * 1_000_000))
                see_replica(tx, replace(gone, id="replica_gone"))

        await storage.database.write(note_long_ago)
        listed: list[Replica] = list(await Replicas(storage, "1.0").list())
        assert [replica.id for replica in listed] == [gone.id]

    run_on(settings_of(tmp_path, database_url), work)


def test_a_note_is_no_change_to_anybody(tmp_path: Path, database_url: str) -> None:
    heard: list[ChangeNotice] = []

    async def main() -> None:
        settings = settings_of(tmp_path, database_url)
        async with opened(settings) as storage, opened(settings) as other:
            for each in (storage, other):
                each.database.on_changes = lambda notices: heard.extend(notices if notices is not None else [ChangeNotice(None, None, 0)])
            await Replicas(storage, "1.0").note()
            await other.database.catch_up()
            await storage.database.catch_up()

    asyncio.run(main())
    assert heard == []
