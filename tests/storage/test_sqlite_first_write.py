"""A first write that the system has no room for, as it needs a thread which waits for the disk: it fails at once, the next one is made."""

import asyncio
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from keyhouse.domain.errors import Code, Error
from keyhouse.storage.sqlite import SqliteDatabase
from keyhouse.storage.statements import Statement, insert_into
from tests.storage.houses import opened, settings_of
from tests.storage.no_room import TOLD, no_further_file, no_further_thread

_PUT = insert_into("installation", "name, value")
_VALUES = Statement("SELECT value FROM installation WHERE name LIKE 'given%'")


@pytest.mark.parametrize("nothing_further", [no_further_file, no_further_thread])
def test_what_there_is_no_room_for_fails_and_holds_up_nobody(
    tmp_path: Path, nothing_further: Callable[[], AbstractContextManager[None]]
) -> None:
    async def main() -> None:
        async with opened(settings_of(tmp_path, f"sqlite:///{tmp_path / 'keyhouse.db'}")):
            database = SqliteDatabase(tmp_path / "keyhouse.db")

        def given(number: int):  # type: ignore[no-untyped-def]
            return lambda tx: tx.run(_PUT, name=f"given {number}", value=str(number))

        async with asyncio.timeout(30):
            with nothing_further():
                outcomes = await asyncio.gather(*(database.write(given(number)) for number in range(3)), return_exceptions=True)
            assert [(type(outcome), str(outcome)) for outcome in outcomes] == [(Error, TOLD)] * 3
            assert {outcome.code for outcome in outcomes if isinstance(outcome, Error)} == {Code.STORAGE_UNAVAILABLE}
            await asyncio.gather(*(database.write(given(number)) for number in (7, 8)))
            assert await database.read(lambda tx: tx.rows(_VALUES)) == [("7",), ("8",)]
            await database.close()

    asyncio.run(main())
