"""Every read is one snapshot, on either database: what others write meanwhile is not half in it."""

from pathlib import Path

from sqlalchemy import insert

from keyhouse.storage.database_url import parse_database_url
from keyhouse.storage.migration import engine_of
from keyhouse.storage.opening import Storage
from keyhouse.storage.statements import Statement, Transaction
from keyhouse.storage.tables import last_uses
from tests.storage.houses import run_on, settings_of

COUNT = Statement("SELECT count(*) FROM last_uses")


def count(tx: Transaction) -> object:
    return tx.rows(COUNT)[0][0]


def test_what_another_process_writes_during_a_read_is_not_in_it(tmp_path: Path, database_url: str) -> None:
    engine = engine_of(parse_database_url(database_url))

    def twice(tx: Transaction) -> tuple[object, object]:
        before = count(tx)
        with engine.begin() as other:
            other.execute(insert(last_uses).values(id="key", used_at=1))
        return before, count(tx)

    async def work(storage: Storage) -> None:
        assert await storage.database.read(twice) == (0, 0)
        assert await storage.database.read(count) == 1

    run_on(settings_of(tmp_path, database_url), work)
    engine.dispose()
