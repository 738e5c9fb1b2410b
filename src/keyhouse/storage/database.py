"""What a database does for the house, whichever of the two it is. Every write is one transaction; every read is one snapshot."""

import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Protocol, TypeVar

import msgspec

from keyhouse.domain.errors import Code, Error
from keyhouse.storage.statements import Transaction

_log = logging.getLogger("keyhouse.storage")
T = TypeVar("T")
Done = TypeVar("Done")
Work = Callable[[Transaction], T]


class ChangeNotice(msgspec.Struct, frozen=True):
    """Something changed: of a project, of a whole organization, or (both None) of the installation. `revision` is the project's then."""

    organization_id: str | None
    project_id: str | None
    revision: int


OnChanges = Callable[[Sequence[ChangeNotice] | None], None]
"""Told of every change, this process's own included. None: too much was missed, drop everything.

What it raises comes out of `catch_up`, time and again until it was heard.
"""


def heard_of_own(on_changes: OnChanges, notices: Sequence[ChangeNotice]) -> bool:
    """Tell of what this process committed; whether that was heard. It is committed in any case, and the next look tells of it again."""
    try:
        on_changes(notices)
    except Exception as error:  # noqa: BLE001 - whoever wrote has nothing to do with it
        _log.error("Nobody could be told of what was committed.", exc_info=error)
        return False
    return True


Told = Callable[[Any, BaseException | None], object]
"""Told what came of a write: what its work returned, or what was raised. It raises nothing itself."""


class ConstraintBroken(Exception):  # noqa: N818 - it names what happened
    """A unique or foreign key refused a write; the transaction changed nothing."""


class WritingKeyRetired(ConstraintBroken):
    """The key that sealed a value of this write was retired in the meantime; the transaction changed nothing."""


class KeysChanged(Exception):  # noqa: N818 - it names what happened
    """What can be opened changed while a transaction ran: what it read may read otherwise now. It changed nothing."""


_MOST_CHANGES_OF_KEYS = 5
"""How often keys may change under one transaction, each time just after it took up what was new."""

KeyGeneration = Callable[[], object]
"""Another object whenever what can be opened changes."""

OnRetiredKey = Callable[[], Awaitable[None]]
"""Asked for a newer key to seal with. Raises Error `storage_unavailable` where there is none."""


def no_keys() -> object:
    """The generation while no key ring is there."""
    return None


async def no_newer_key() -> None:
    """Until a key ring is there, a retired key is the end of a write."""
    raise storage_unavailable("the key that it seals with was retired.")


def on_one_ring(work: Work[T], generation: KeyGeneration) -> Work[T]:
    """The same work, which raises KeysChanged where what can be opened changed before its end.

    A value may have been read just before another process sealed it anew, retired its key and took that out of the key file.
    """

    def watched(tx: Transaction) -> T:
        before = generation()
        try:
            result = work(tx)
        except Error:
            if generation() is not before:
                raise KeysChanged from None
            raise
        if generation() is not before:
            raise KeysChanged
        return result

    return watched


async def with_newer_keys(database: "Database", work: Work[T], attempt: Callable[[Work[T]], Awaitable[Done]]) -> Done:
    """What an attempt at a transaction returns: again with newer keys, where they changed or the one that it sealed with was retired."""
    watched = on_one_ring(work, database.key_generation)
    for _ in range(_MOST_CHANGES_OF_KEYS):
        try:
            return await attempt(watched)
        except KeysChanged:
            continue
        except WritingKeyRetired:
            await database.on_retired_key()
    try:
        return await attempt(watched)
    except KeysChanged:
        raise storage_unavailable("its keys are being replaced again and again.") from None


class AtOnce(Protocol):
    """What a database does without a task, where its statements run on the event loop."""

    def catch_up_at_once(self) -> None:
        """See `Database.catch_up`. Raises Error `storage_unavailable`."""

    def begin_write(self, work: Work[T], meanwhile: Callable[[T], object], told: Told) -> None:
        """See `Database.write`, of which this is one attempt: `told` is also told of KeysChanged and WritingKeyRetired.

        `meanwhile` makes of what the work returned what is told, while the disk is waited for; it undoes nothing any more.
        """


class Database(Protocol):
    """SQLite and PostgreSQL each ship one. All methods belong to one event loop."""

    dialect: str
    on_changes: OnChanges
    on_retired_key: OnRetiredKey
    key_generation: KeyGeneration

    @property
    def at_once(self) -> AtOnce | None:
        """What it does without a task, if anything."""

    async def read(self, work: Work[T]) -> T:
        """Run `work` on one snapshot, again where keys changed meanwhile. Raises Error `storage_unavailable`."""

    async def write(self, work: Work[T], of_project: str | None = None) -> T:
        """Run `work` in a transaction and return once it is durable.

        Where `of_project` is given, `work` may first run on a draft (see drafts.py), for which it must write to that project alone, advance
        it, and go by nothing but what is so while the project has the revision that it takes it to have.

        `work` runs again, in a new transaction, where keys changed, the one it sealed with was retired, or the database asks for it: it
        must leave nothing outside its transaction. Whatever it raises undoes it and comes back. `on_changes` has heard of what it noted
        when this returns. Raises Error `storage_unavailable` or `storage_full`; then nothing was written, unless the message says that
        this is not known.
        """

    async def catch_up(self) -> None:
        """Tell `on_changes` of everything committed before this call, by any process."""

    async def changed(self) -> None:
        """Return when another process may have changed something, at the latest after a second; at once where the last look failed."""

    async def close(self) -> None:
        """Let go of every connection."""


NO_ROOM = "its process can open no further file or start no further thread."
"""Why, where the system says so."""


def storage_unavailable(why: str) -> Error:
    """The database cannot be used now."""
    return Error(Code.STORAGE_UNAVAILABLE, f"The database cannot be used now: {why} Nothing was changed; try again.")


def storage_full() -> Error:
    """There is no room for a write."""
    return Error(Code.STORAGE_FULL, "The disk that holds the database is full. Nothing was changed; make room and try again.")
