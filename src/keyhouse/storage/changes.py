"""Change notices: each write leaves one, and every process reads those it has not seen. They name what to drop, never what it is."""

from sqlalchemy import BigInteger, ColumnClause, bindparam, delete, func, literal_column, select

from keyhouse.storage.clock import now_us
from keyhouse.storage.database import ChangeNotice
from keyhouse.storage.statements import Statement, Transaction, insert_row
from keyhouse.storage.tables import changes

RETENTION_US = 3600 * 1_000_000
"""How long notices are kept. A process that looked away for longer drops everything it holds."""

_WRITE_SQLITE = insert_row(changes, left_out=("id",))
_transaction_id: ColumnClause[int] = literal_column("pg_current_xact_id()::text::bigint")
# The server's clock, which all machines share: by another one's a notice could be old before anybody has seen it.
_server_now_us: ColumnClause[int] = literal_column("(extract(epoch from clock_timestamp()) * 1000000)::bigint")
_WRITE_POSTGRESQL = Statement(
    changes.insert().values(
        **{name: bindparam(name) for name in ("organization_id", "project_id", "revision")},
        at=_server_now_us,
        transaction_id=_transaction_id,
    )
)
_columns = (changes.c.id, changes.c.organization_id, changes.c.project_id, changes.c.revision)
_AFTER_SQLITE = Statement(select(*_columns).where(changes.c.id > bindparam("mark")).order_by(changes.c.id))
# Numbers are given in another order than transactions commit. Every transaction below the snapshot's xmin has ended and was seen, so the
# rows to look at are those of transactions from the last look's xmin on, some of them a second time.
# https://www.postgresql.org/docs/15/functions-info.html#FUNCTIONS-PG-SNAPSHOT
_xmin: ColumnClause[int] = literal_column("pg_snapshot_xmin(pg_current_snapshot())::text::bigint")
_one = select(literal_column("1").label("one")).subquery()
_AFTER_POSTGRESQL = Statement(
    select(_xmin, *_columns).select_from(_one.outerjoin(changes, changes.c.transaction_id >= bindparam("mark"))).order_by(changes.c.id)
)
_NEWEST = Statement(select(func.coalesce(func.max(changes.c.id), 0)))
_newest = select(func.max(changes.c.id)).scalar_subquery()
# The newest stays: SQLite numbers the next row after it.
_AT_ONCE = 1000
_oldest = (changes.c.id < _newest, changes.c.id.in_(select(changes.c.id).order_by(changes.c.id).limit(_AT_ONCE)))
_PRUNE_SQLITE = Statement(delete(changes).where(*_oldest, changes.c.at < bindparam("before")).returning(changes.c.id))
_old = changes.c.at < _server_now_us - bindparam("retention", type_=BigInteger)
_PRUNE_POSTGRESQL = Statement(delete(changes).where(*_oldest, _old).returning(changes.c.id))


def note_change(tx: Transaction, organization_id: str | None, project_id: str | None, revision: int = 0) -> None:
    """Leave a notice, as a part of the write it tells of."""
    notice = ChangeNotice(organization_id, project_id, revision)
    values = {"organization_id": organization_id, "project_id": project_id, "revision": revision}
    if tx.dialect == "sqlite":
        tx.note(_WRITE_SQLITE, notice, **values, at=now_us(), transaction_id=None)
    else:
        tx.note(_WRITE_POSTGRESQL, notice, **values)


def newest_mark(tx: Transaction) -> int:
    """Where a process that holds nothing yet begins to look."""
    if tx.dialect == "sqlite":
        return int(tx.rows(_NEWEST)[0][0])
    return int(tx.rows(_AFTER_POSTGRESQL, mark=2**62)[0][0])


def after_mark(tx: Transaction, mark: int) -> tuple[dict[int, ChangeNotice], int]:
    """The notices since `mark` by their number, and the next mark. On PostgreSQL some may have been seen before."""
    if tx.dialect == "sqlite":
        notices = {row[0]: ChangeNotice(*row[1:]) for row in tx.rows(_AFTER_SQLITE, mark=mark)}
        return notices, max(notices, default=mark)
    rows = tx.rows(_AFTER_POSTGRESQL, mark=mark)
    return {row[1]: ChangeNotice(*row[2:]) for row in rows if row[1] is not None}, int(rows[0][0])


def prune(tx: Transaction, retention_us: int = RETENTION_US) -> bool:
    """Forget some notices that everybody has seen long ago; whether there may be more of them."""
    if tx.dialect == "sqlite":
        return len(tx.rows(_PRUNE_SQLITE, before=now_us() - retention_us)) == _AT_ONCE
    return len(tx.rows(_PRUNE_POSTGRESQL, retention=retention_us)) == _AT_ONCE
