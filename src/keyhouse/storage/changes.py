"""Change notices: each write leaves one, and every process reads those it has not seen. They name what to drop, never what it is."""

from collections.abc import Sequence
from typing import Any

from keyhouse.storage.clock import now_us
from keyhouse.storage.database import ChangeNotice
from keyhouse.storage.statements import Row, Statement, Transaction

RETENTION_US = 3600 * 1_000_000
"""How long notices are kept. A process that looked away for longer drops everything it holds."""

_AT_ONCE = 1000
# The server's clock, which all machines share: by another one's a notice could be old before anybody has seen it.
SERVER_NOW_US = "(extract(epoch FROM clock_timestamp()) * 1000000)::bigint"
TRANSACTION_ID = "pg_current_xact_id()::text::bigint"
_INTO = "INSERT INTO changes (at, organization_id, project_id, revision, transaction_id) VALUES"
NOTE = Statement(
    f"{_INTO} ({SERVER_NOW_US}, :organization_id, :project_id, :revision, {TRANSACTION_ID})",
    sqlite=f"{_INTO} (:at, :organization_id, :project_id, :revision, NULL)",
)
# Numbers are given in another order than transactions commit. A look sees what its snapshot holds, so the rows that it has not seen are
# those of transactions that were under way then (xip) or began later (from xmax on): each once, however long another transaction lasts.
# https://www.postgresql.org/docs/15/functions-info.html#FUNCTIONS-PG-SNAPSHOT
_SNAPSHOT = "pg_current_snapshot()::text"
_BEGAN_LATER = "transaction_id >= pg_snapshot_xmax(:mark::pg_snapshot)::text::bigint"
_WAS_UNDER_WAY = "transaction_id = ANY(ARRAY(SELECT pg_snapshot_xip(:mark::pg_snapshot)::text::bigint))"
# Rows from there on came with a dump of another server, which numbers its transactions by itself.
_XMAX = "pg_snapshot_xmax(pg_current_snapshot())::text::bigint"
_NEWEST = Statement("SELECT", _SNAPSHOT, sqlite="SELECT coalesce(max(id), 0) FROM changes")
_NOTICE = "id, organization_id, project_id, revision"
# A dump that is restored in place makes the table anew, and its key once all tables are filled. Both have other files then.
_PLACE = "concat_ws('/', pg_relation_filenode(to_regclass('changes')), pg_relation_filenode(to_regclass('pk_changes')))"
AFTER = Statement(
    f"SELECT {_SNAPSHOT}, place, {_NOTICE}",
    f"FROM (SELECT {_PLACE} AS place) AS always",
    f"LEFT JOIN changes ON ({_BEGAN_LATER} OR {_WAS_UNDER_WAY}) AND transaction_id < {_XMAX} ORDER BY id",
    sqlite=" ".join(("SELECT NULL, NULL,", _NOTICE, "FROM changes WHERE id > :mark ORDER BY id")),
)
"""What a look asks: the notices since `mark`. On PostgreSQL each row names the next mark, and where the table is."""
# The newest stays: SQLite numbers the next row after it.
_OLDEST = "DELETE FROM changes WHERE id < (SELECT max(id) FROM changes) AND id IN (SELECT id FROM changes ORDER BY id LIMIT :limit)"
_PRUNE = Statement(
    _OLDEST, "AND at <", SERVER_NOW_US, "- :retention RETURNING id", sqlite=" ".join((_OLDEST, "AND at < :before RETURNING id"))
)


def note_change(tx: Transaction, organization_id: str | None, project_id: str | None, revision: int = 0) -> None:
    """Leave a notice, as a part of the write it tells of."""
    notice = ChangeNotice(organization_id, project_id, revision)
    tx.note(NOTE, notice, organization_id=organization_id, project_id=project_id, revision=revision, at=tx.now)


def newest_mark(tx: Transaction) -> Any:
    """Where a process that holds nothing yet begins to look: a notice's number on SQLite, on PostgreSQL a snapshot's text."""
    return tx.rows(_NEWEST)[0][0]


def noticed(rows: Sequence[Row]) -> dict[int, ChangeNotice]:
    """The notices by their number, of the rows that `AFTER` returned."""
    return {row[2]: ChangeNotice(*row[3:]) for row in rows if row[2] is not None}


def prune(tx: Transaction, retention_us: int = RETENTION_US) -> bool:
    """Forget some notices that everybody has seen long ago; whether there may be more of them."""
    return len(tx.rows(_PRUNE, limit=_AT_ONCE, retention=retention_us, before=now_us() - retention_us)) == _AT_ONCE
