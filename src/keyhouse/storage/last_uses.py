"""When keys and providers were last used, by their ids. Written in batches, and no notice goes with it: nobody is to drop anything."""

from collections.abc import Iterable, Mapping
from datetime import datetime

from sqlalchemy import BigInteger, Text, bindparam, cast, column, func, select, true
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.dialects.postgresql import JSON

from keyhouse.storage import encoding
from keyhouse.storage.clock import to_datetime
from keyhouse.storage.scopes import is_one_of
from keyhouse.storage.statements import Statement, Transaction
from keyhouse.storage.tables import last_uses

_row = last_uses.c
_pair = (column("key", Text), column("value", Text))
_given = bindparam("uses", type_=Text)


def _upsert(insert: "sqlite.Insert | postgresql.Insert", unpacked: object) -> Statement:
    """One statement for all of them, in the order of their ids, so that two processes wait for each other and never for themselves."""
    rows = unpacked.table_valued(*_pair).alias("given")  # type: ignore[attr-defined]
    values = select(rows.c.key, cast(rows.c.value, BigInteger)).where(true()).order_by(rows.c.key)
    filled = insert.from_select(["id", "used_at"], values)
    return Statement(
        filled.on_conflict_do_update(
            index_elements=["id"], set_={"used_at": filled.excluded.used_at}, where=filled.excluded.used_at > _row.used_at
        )
    )


_PUT = {
    "sqlite": _upsert(sqlite.insert(last_uses), func.json_each(_given)),
    "postgresql": _upsert(postgresql.insert(last_uses), func.json_each_text(cast(_given, JSON))),
}
_LIST = Statement(select(_row.id, _row.used_at).where(is_one_of(_row.id, "ids")))


def put_last_uses(tx: Transaction, uses: Mapping[str, int]) -> None:
    """Note uses, in microseconds by id. An earlier one than what is stored changes nothing."""
    tx.run(_PUT[tx.dialect], uses=encoding.encoded(uses))


def list_last_uses(tx: Transaction, ids: Iterable[str]) -> dict[str, datetime]:
    """The last uses of those that were ever used."""
    return {use_id: to_datetime(used_at) for use_id, used_at in tx.rows(_LIST, ids=encoding.encoded(list(ids)))}
