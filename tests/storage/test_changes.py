"""Change notices are forgotten when everybody has seen them, a few at a time."""

import asyncio
from pathlib import Path

from keyhouse.services.upkeep import forget_old_notices
from keyhouse.storage.changes import note_change, prune
from keyhouse.storage.statements import Statement, Transaction
from tests.storage.houses import opened, settings_of

_COUNT = Statement("SELECT count(*), max(id) FROM changes")
_AGE = Statement("UPDATE changes SET at = 1")


def note_many(tx: Transaction) -> None:
    for _ in range(2500):
        note_change(tx, None, None)


def test_old_notices_go_and_the_newest_stays(tmp_path: Path, database_url: str) -> None:
    async def main() -> None:
        async with opened(settings_of(tmp_path, database_url)) as storage:
            await storage.database.write(note_many)
            count, newest = (await storage.database.read(lambda tx: tx.rows(_COUNT)))[0]
            await forget_old_notices(storage)
            assert tuple((await storage.database.read(lambda tx: tx.rows(_COUNT)))[0]) == (count, newest), "nobody may have seen them"
            more = [await storage.database.write(lambda tx: prune(tx, retention_us=-1_000_000)) for _ in range(4)]
            assert more == [True, True, False, False]
            assert tuple((await storage.database.read(lambda tx: tx.rows(_COUNT)))[0]) == (1, newest)

    asyncio.run(main())


def test_all_old_notices_go_at_once(tmp_path: Path, database_url: str) -> None:
    async def main() -> None:
        async with opened(settings_of(tmp_path, database_url)) as storage:
            await storage.database.write(note_many)
            await storage.database.write(lambda tx: tx.run(_AGE))
            await forget_old_notices(storage)
            assert (await storage.database.read(lambda tx: tx.rows(_COUNT)))[0][0] == 1

    asyncio.run(main())
