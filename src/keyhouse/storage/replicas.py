"""The processes that serve, as each of them notes itself. No notice goes with that: nobody holds anything that it would make old."""

from datetime import datetime

import msgspec

from keyhouse.storage.clock import now_us, to_datetime, to_microseconds
from keyhouse.storage.statements import Statement, Transaction, insert_into

FORGOTTEN_AFTER_S = 120
"""A process that said nothing for this long ended without saying so."""

_COLUMNS = "id, host, process_id, version, started_at, seen_at"
_INSERT = insert_into("replicas", _COLUMNS)
_SEE = Statement("UPDATE replicas SET seen_at = :seen_at WHERE id = :row_id RETURNING id")
_DELETE = Statement("DELETE FROM replicas WHERE id = :id")
_DELETE_OLD = Statement("DELETE FROM replicas WHERE seen_at < :before")
_LIST = Statement("SELECT", _COLUMNS, "FROM replicas WHERE seen_at >= :since ORDER BY host, started_at, id")


class Replica(msgspec.Struct, frozen=True):
    """A process that serves: one worker of one server."""

    id: str
    host: str
    process_id: int
    version: str
    started_at: datetime
    seen_at: datetime


def see_replica(tx: Transaction, replica: Replica) -> None:
    """Note that a process is there, now, and forget those that have not been for long."""
    now = now_us()
    if tx.row(_SEE, row_id=replica.id, seen_at=now) is None:
        fixed = {"id": replica.id, "host": replica.host, "process_id": replica.process_id, "version": replica.version}
        tx.run(_INSERT, **fixed, started_at=to_microseconds(replica.started_at), seen_at=now)
    tx.run(_DELETE_OLD, before=now - FORGOTTEN_AFTER_S * 1_000_000)


def delete_replica(tx: Transaction, replica_id: str) -> None:
    """A process ends."""
    tx.run(_DELETE, id=replica_id)


def list_replicas(tx: Transaction) -> tuple[Replica, ...]:
    """Every process that was seen lately, by host and age."""
    rows = tx.rows(_LIST, since=now_us() - FORGOTTEN_AFTER_S * 1_000_000)
    return tuple(
        Replica(row_id, host, process_id, version, to_datetime(started_at), to_datetime(seen_at))
        for row_id, host, process_id, version, started_at, seen_at in rows
    )
