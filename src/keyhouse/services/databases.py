"""The use cases of a database as a whole: copy it into another one, and forget what is old in it."""

from collections.abc import AsyncIterator, Iterator
from typing import TYPE_CHECKING

import msgspec
from msgspec.structs import replace

from keyhouse.domain.tenancy import Actor
from keyhouse.storage.clock import now_us
from keyhouse.storage.database_url import parse_database_url
from keyhouse.storage.history import INSTALLATION, put_audit
from keyhouse.storage.opening import Storage
from keyhouse.storage.pruning import forget_records, forget_states, next_projects
from keyhouse.storage.statements import Transaction

if TYPE_CHECKING:
    from keyhouse.storage.copying import CopyProgress

_ACTOR = Actor("keyhouse", "keyhouse database")
_DAY_US = 24 * 3600 * 1_000_000


def copy_database(source_url: str, target_url: str, *, while_serving: bool = False) -> "Iterator[CopyProgress]":
    """Copy all that one database holds, as it is at one moment, into an empty one, and read it back there. Either may be of either kind.

    All or nothing. Raises Error `configuration` for a target that is not empty, `conflict` where processes serve on the source unless
    `while_serving`, `storage_unavailable` or `storage_full`.
    """
    # Loads SQLAlchemy, which no server needs.
    from keyhouse.storage.copying import copy

    yield from copy(parse_database_url(source_url), parse_database_url(target_url), while_serving=while_serving)


class Pruned(msgspec.Struct, frozen=True):
    """What was forgotten so far: states of providers, sealed values that only those held, and records of the audit log."""

    states: int = 0
    values: int = 0
    records: int = 0


async def prune(storage: Storage, *, history_days: int | None = None, audit_days: int | None = None) -> AsyncIterator[Pruned]:
    """Forget states of providers that were replaced, and records of the audit log that were made, more than so many days ago.

    None leaves them. Runs while servers serve, a little at a time, and may be stopped at any moment. That it ran is a record of the audit
    log itself. Raises Error `storage_unavailable` or `storage_full`.
    """
    pruned = Pruned()
    write = storage.database.write
    if history_days is not None:
        before = _before(history_days)
        await write(lambda tx: _note(tx, "history.pruned", history_days))
        async for project_id in _projects(storage, before):
            states, values = await write(lambda tx, each=project_id: forget_states(tx, each, before))  # type: ignore[misc]
            pruned = replace(pruned, states=pruned.states + states, values=pruned.values + values)
            yield pruned
    if audit_days is not None:
        # Noted first: what is numbered last stays, so that no number is given twice.
        await write(lambda tx: _note(tx, "audit_log.pruned", audit_days))
        before = _before(audit_days)
        while records := await write(lambda tx: forget_records(tx, before)):
            pruned = replace(pruned, records=pruned.records + records)
            yield pruned
    yield pruned


async def _projects(storage: Storage, before: int) -> AsyncIterator[str]:
    """Ids of the projects whose history goes back beyond a moment."""
    after = ""
    while found := await storage.database.read(lambda tx, start=after: next_projects(tx, start, before)):  # type: ignore[misc]
        for project_id in found:
            yield project_id
        after = found[-1]


def _before(days: int) -> int:
    """The moment so many days ago, in microseconds; not before time began, which is more than a database can count."""
    return max(0, now_us() - days * _DAY_US)


def _note(tx: Transaction, action: str, days: int) -> None:
    put_audit(tx, _ACTOR, action, f"older than {days} days", organization_id=INSTALLATION)
