"""A write is known to its own process when it returns, so that the next request already sees it."""

import asyncio

from keyhouse.app import open_storage
from keyhouse.settings import Settings
from keyhouse.storage.changes import note_change


def test_a_process_has_heard_of_its_own_write_when_the_write_returns(tmp_path, database_url):
    async def heard() -> tuple[list[tuple[str | None, int]], list[tuple[str | None, int]]]:
        storage = await open_storage(Settings(data_dir=tmp_path, database_url=database_url))
        told: list[tuple[str | None, int]] = []
        storage.database.on_changes = lambda notices: told.extend((notice.project_id, notice.revision) for notice in notices or ())
        try:
            await storage.database.write(lambda tx: note_change(tx, None, "project_1", 7))
            first = list(told)
            await storage.database.write(lambda tx: None)
            return first, told
        finally:
            await storage.database.close()

    first, after_an_empty_write = asyncio.run(heard())
    assert first == [("project_1", 7)]
    assert after_an_empty_write == first
