"""What a database does for the house, whichever of the two it is. Every write is one transaction; every read is one snapshot."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar

from keyhouse.domain.errors import Code, Error
from keyhouse.storage.statements import Transaction

T = TypeVar("T")
Work = Callable[[Transaction], T]


@dataclass(frozen=True, slots=True)
class ChangeNotice:
    """Something changed: of a project, of a whole organization, or (both None) of the installation. `revision` is the project's then."""

    organization_id: str | None
    project_id: str | None
    revision: int


OnChanges = Callable[[Sequence[ChangeNotice] | None], None]
"""Told of every change, this process's own included. None: too much was missed, drop everything."""


class ConstraintBroken(Exception):  # noqa: N818 - it names what happened
    """A unique or foreign key refused a write; the transaction changed nothing."""


class Database(Protocol):
    """SQLite and PostgreSQL each ship one. All methods belong to one event loop."""

    dialect: str
    on_changes: OnChanges

    async def read(self, work: Work[T]) -> T:
        """Run `work` on one snapshot. Raises Error `storage_unavailable`."""

    async def write(self, work: Work[T]) -> T:
        """Run `work` in a transaction and return once it is durable.

        Whatever `work` raises undoes it and comes back. Raises Error `storage_unavailable` or `storage_full`; then nothing was written.
        """

    async def catch_up(self) -> None:
        """Tell `on_changes` of everything committed before this call, by any process."""

    async def changed(self) -> None:
        """Return when another process may have changed something, at the latest after a second."""

    async def close(self) -> None:
        """Let go of every connection."""


def storage_unavailable(why: str) -> Error:
    """The database cannot be used now."""
    return Error(Code.STORAGE_UNAVAILABLE, f"The database cannot be used now: {why} Nothing was changed; try again.")


def storage_full() -> Error:
    """There is no room for a write."""
    return Error(Code.STORAGE_FULL, "The disk that holds the database is full. Nothing was changed; make room and try again.")
