"""Forgetting what is old: states that a provider once had, with the secrets that only they held, and records of the audit log."""

from keyhouse.storage import encoding
from keyhouse.storage.statements import Row, Statement, Transaction, is_one_of

_AT_ONCE = 1000
_NEXT_PROJECTS = Statement(
    "SELECT DISTINCT project_id FROM model_provider_history WHERE project_id > :after AND at < :before ORDER BY project_id LIMIT :limit"
)
_LOCK = Statement("SELECT id FROM projects WHERE id = :id FOR UPDATE")
_FORGET_STATES = Statement(
    "DELETE FROM model_provider_history WHERE project_id = :project_id AND at < :before",
    """AND version < (
        SELECT max(newest.version) FROM model_provider_history AS newest
        WHERE newest.project_id = model_provider_history.project_id AND newest.provider = model_provider_history.provider
        AND newest.at < :before
    ) RETURNING row_id, credentials_id, headers_id""",
)
_STATE_OF = "SELECT 1 FROM model_provider_history AS change WHERE change.project_id = :project_id AND change.row_id = :owner_id"
_ROW_OF = "SELECT 1 FROM model_providers AS stored WHERE stored.id = :owner_id"
_DESTROY_UNUSED = Statement(
    "DELETE FROM sealed_values WHERE owner_id = :owner_id AND",
    is_one_of("id", "ids"),
    f"AND NOT EXISTS ({_STATE_OF} AND sealed_values.id IN (change.credentials_id, change.headers_id))",
    f"AND NOT EXISTS ({_ROW_OF} AND sealed_values.id IN (stored.credentials_id, stored.headers_id)) RETURNING id",
)
_FORGET_RECORDS = Statement(
    "DELETE FROM audit_log WHERE id IN (SELECT id FROM audit_log WHERE at < :before ORDER BY id LIMIT :limit) RETURNING id"
)


def next_projects(tx: Transaction, after: str, before: int) -> list[str]:
    """Ids of the next projects after one, in order, whose history goes back beyond a moment, in microseconds."""
    return [row[0] for row in tx.rows(_NEXT_PROJECTS, after=after, before=before, limit=_AT_ONCE)]


def forget_states(tx: Transaction, project_id: str, before: int) -> tuple[int, int]:
    """Forget a project's states that were replaced before a moment, in microseconds, and destroy secrets that no other state has. The state
    that was in force at that moment stays: whatever was changed since can be rolled back.

    Returns how many states and how many sealed values went.
    """
    tx.row(_LOCK, id=project_id)  # nobody brings a state back meanwhile
    forgotten: list[Row] = tx.rows(_FORGET_STATES, project_id=project_id, before=before)
    held: dict[str, set[str]] = {}
    for owner_id, *ids in forgotten:
        held.setdefault(owner_id, set()).update(value_id for value_id in ids if value_id)
    destroyed = 0
    for owner_id in sorted(held):
        ids = encoding.encoded(sorted(held[owner_id]))
        destroyed += len(tx.rows(_DESTROY_UNUSED, project_id=project_id, owner_id=owner_id, ids=ids))
    if destroyed:
        tx.leave_no_trace()
    return len(forgotten), destroyed


def forget_records(tx: Transaction, before: int) -> int:
    """Forget some of the audit log's records from before a moment; how many, 0 where there are no more."""
    return len(tx.rows(_FORGET_RECORDS, before=before, limit=_AT_ONCE))
