"""When keys and providers were last used, by their ids. Written in batches, and no notice goes with it: nobody is to drop anything."""

from collections.abc import Iterable, Mapping
from datetime import datetime

from keyhouse.storage import encoding
from keyhouse.storage.clock import to_datetime
from keyhouse.storage.statements import Statement, Transaction, is_one_of

# All of them in the order of their ids, so that two processes wait for each other and never for themselves.
_PUT = Statement("""
INSERT INTO last_uses (id, used_at)
SELECT given.key, CAST(given.value AS BIGINT) FROM json_each_text(CAST(:uses AS JSON)) AS given WHERE TRUE ORDER BY given.key
ON CONFLICT (id) DO UPDATE SET used_at = excluded.used_at WHERE excluded.used_at > last_uses.used_at
""")
_LIST = Statement("SELECT id, used_at FROM last_uses WHERE", is_one_of("id", "ids"))


def put_last_uses(tx: Transaction, uses: Mapping[str, int]) -> None:
    """Note uses, in microseconds by id. An earlier one than what is stored changes nothing."""
    tx.run(_PUT, uses=encoding.encoded(uses))


def list_last_uses(tx: Transaction, ids: Iterable[str]) -> dict[str, datetime]:
    """The last uses of those that were ever used."""
    return {use_id: to_datetime(used_at) for use_id, used_at in tx.rows(_LIST, ids=encoding.encoded(list(ids)))}
