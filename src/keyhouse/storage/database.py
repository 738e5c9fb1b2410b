"""What a database does for the house, whichever of the two it is. Every write is one transaction; every read is one snapshot."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol, TypeVar

import msgspec

from keyhouse.domain.errors import Code, Error
from keyhouse.storage.statements import Transaction

T = TypeVar("T")
Work = Callable[[Transaction], T]


class ChangeNotice(msgspec.Struct, frozen=True):
    """Something changed: of a project, of a whole organization, or (both None) of the installation. `revision` is the project's then."""

    organization_id: str | None
    project_id: str | None
    revision: int


OnChanges = Callable[[Sequence[ChangeNotice] | None], None]
"""Told of every change, this process's own included. None: too much was missed, drop everything."""


class ConstraintBroken(Exception):  # noqa: N818 - it names what happened
    """A unique or foreign key refused a write; the transaction changed nothing."""


class WritingKeyRetired(ConstraintBroken):
    """The key that sealed a value of this write was retired in the meantime; the transaction changed nothing."""


_MOST_RETIREMENTS = 5
"""How many keys may be retired under one write, each just after the one before was taken up."""

OnRetiredKey = Callable[[], Awaitable[None]]
"""Asked for a newer key to seal with. Raises Error `storage_unavailable` where there is none."""


async def no_newer_key() -> None:
    """Until a key ring is there, a retired key is the end of a write."""
    raise storage_unavailable("the key that it seals with was retired.")


async def with_newer_keys(attempt: Callable[[], Awaitable[T]], on_retired_key: OnRetiredKey) -> T:
    """What an attempt at a write returns: again with a newer key, where the one it sealed with was retired meanwhile."""
    for _ in range(_MOST_RETIREMENTS):
        try:
            return await attempt()
        except WritingKeyRetired:
            await on_retired_key()
    return await attempt()


class Database(Protocol):
    """SQLite and PostgreSQL each ship one. All methods belong to one event loop."""

    dialect: str
    on_changes: OnChanges
    on_retired_key: OnRetiredKey

    async def read(self, work: Work[T]) -> T:
        """Run `work` on one snapshot. Raises Error `storage_unavailable`."""

    async def write(self, work: Work[T]) -> T:
        """Run `work` in a transaction and return once it is durable.

        `work` runs again, in a new transaction, where the key it sealed with was retired, or the database asks for it: it must leave
        nothing outside its transaction. Whatever it raises undoes it and comes back. `on_changes` has heard of what it noted when this
        returns. Raises Error `storage_unavailable` or `storage_full`; then nothing was written, unless the message says that this is not
        known.
        """

    async def catch_up(self) -> None:
        """Tell `on_changes` of everything committed before this call, by any process."""

    async def changed(self) -> None:
        """Return when another process may have changed something, at the latest after a second; at once where the last look failed."""

    async def close(self) -> None:
        """Let go of every connection."""


def storage_unavailable(why: str) -> Error:
    """The database cannot be used now."""
    return Error(Code.STORAGE_UNAVAILABLE, f"The database cannot be used now: {why} Nothing was changed; try again.")


def storage_full() -> Error:
    """There is no room for a write."""
    return Error(Code.STORAGE_FULL, "The disk that holds the database is full. Nothing was changed; make room and try again.")
