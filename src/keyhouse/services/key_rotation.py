"""Rotation of the key-encryption keys while servers serve. It may be killed at any moment and run again; no value is ever lost."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator

import msgspec

from keyhouse.domain.errors import Code, Error
from keyhouse.domain.tenancy import Actor
from keyhouse.storage.changes import note_change
from keyhouse.storage.database import ConstraintBroken
from keyhouse.storage.encryption_keys import forget_unused_key, register_keys, values_by_key
from keyhouse.storage.history import INSTALLATION, put_audit
from keyhouse.storage.key_file import KeySource, change_key_file, key_file_lock
from keyhouse.storage.key_ring import KeyRing, new_key
from keyhouse.storage.opening import Storage
from keyhouse.storage.sealed_values import (
    BEFORE_ALL,
    SealedValue,
    list_sealed_under_other_keys,
    lock_sealed_under_other_keys,
    rewrap,
)
from keyhouse.storage.secret_box import SecretBox, Unreadable
from keyhouse.storage.statements import Transaction

_ACTOR = Actor("keyhouse", "keyhouse keys")
_BATCH = 100
_SETTLE_S = 2.0
"""Longer than a server takes to notice that the key file changed."""
_PATIENCE_S = 120.0
"""How long something may be left after all was wrapped anew: every server that can notice the new key has done so by then."""


class Progress(msgspec.Struct, frozen=True):
    """How far a rotation is. `unreadable` are ids of values that cannot be opened and stay as they are; `finished` is said once, last."""

    key_id: str
    resumed: bool
    done: int
    total: int
    unreadable: tuple[str, ...] = ()
    finished: bool = False


async def rotate(storage: Storage, *, settle_s: float = _SETTLE_S) -> AsyncIterator[Progress]:
    """Wrap every sealed value with the ring's first key. Where that is so already, a new key is made before and put in front of the ring.

    Runs while servers serve. Ends when nothing is left after a second pass, `settle_s` later, so that what servers sealed with the old key
    before they took up the new one is caught as well. Goes on with a newer key where another rotation makes one. Raises Error
    `configuration` where a new key is due and the ring cannot be written, `conflict` where something seals against it again and again.
    """
    async with ring_held(storage.keys):
        await storage.key_watch.take_up()
        resumed = await _is_unfinished(storage)
        if not resumed:
            await _put_new_key_first(storage)
    rotation = _Rotation(storage, resumed=resumed)
    async for progress in rotation.run(settle_s):
        yield progress


@contextlib.asynccontextmanager
async def ring_held(keys: KeySource) -> AsyncIterator[None]:
    """Nobody else changes the key file meanwhile. What cannot be changed here is changed by nobody."""
    with contextlib.ExitStack() as held:
        if keys.is_changeable:
            await asyncio.to_thread(held.enter_context, key_file_lock(keys.file))
        yield


async def _is_unfinished(storage: Storage) -> bool:
    """Whether a value that can be opened is still wrapped by another key than the first."""
    box, place = storage.box, BEFORE_ALL
    while values := await storage.database.read(
        lambda tx, after=place: list_sealed_under_other_keys(tx, box.ring.writing_id, after, _BATCH)  # type: ignore[misc]
    ):
        if any(_unwraps(box, value) for value in values):
            return True
        place = values[-1].place
    return False


def _unwraps(box: SecretBox, value: SealedValue) -> bool:
    try:
        box.rewrapped(value.blob, value.context)
    except Unreadable:
        return False
    return True


async def _put_new_key_first(storage: Storage) -> None:
    """Known to the database first, then in the file: no server can seal with a key that another one could take for unknown."""
    if storage.keys.text is not None:
        raise Error(
            Code.CONFIGURATION,
            "Every value is sealed with the first key of KEYHOUSE_KEYS already, and Keyhouse cannot change that setting. "
            'Put a new key in front of it, as in KEYHOUSE_KEYS="my-new-id=$(openssl rand -base64 32),$KEYHOUSE_KEYS", restart the servers, '
            "and run this again. Where several servers use the database, all of them need it behind the others before one has it in front.",
        )
    key_id, key = new_key()
    await storage.database.write(lambda tx: _add(tx, KeyRing({key_id: key}, storage.keys.where)))
    try:
        change_key_file(storage.keys, lambda ring: ring.with_first(key_id, key))
    except Error:
        with contextlib.suppress(ConstraintBroken):  # the file may have been replaced after all, and a server may have the key already
            await storage.database.write(lambda tx: forget_unused_key(tx, key_id))
        raise
    await storage.key_watch.take_up()
    await storage.database.write(lambda tx: note_change(tx, None, None))


def note_in_audit(tx: Transaction, action: str, key_id: str) -> None:
    """Record what happened to a key, for the admins of every organization: it seals the values of all of them."""
    put_audit(tx, _ACTOR, action, f"installation/{key_id}", organization_id=INSTALLATION)


def _add(tx: Transaction, ring: KeyRing) -> None:
    register_keys(tx, ring)
    note_in_audit(tx, "encryption_key.added", ring.writing_id)


class _Batch(msgspec.Struct, frozen=True):
    """What one transaction did. `last` is None where nothing was left behind it."""

    last: tuple[str, str] | None
    moved: int
    unreadable: tuple[str, ...]


class _Rotation:
    """Passes over everything that another key wraps, until none is left."""

    def __init__(self, storage: Storage, *, resumed: bool) -> None:
        self._storage = storage
        self._database = storage.database
        self._box = storage.box
        self._resumed = resumed
        self._done = 0
        self._total = 0
        self._unreadable: tuple[str, ...] = ()

    @property
    def _key_id(self) -> str:
        """The ring's first key. Another rotation may make a newer one: to go on with the old one would undo its work, and so on."""
        return self._box.ring.writing_id

    async def run(self, settle_s: float) -> AsyncIterator[Progress]:
        """Progress after each transaction, `finished` last."""
        await self._left()
        yield self._progress()
        async for progress in self._pass():
            yield progress
        deadline, left = time.monotonic() + _PATIENCE_S, 1
        while left:
            await asyncio.sleep(settle_s)
            async for progress in self._pass():
                yield progress
            left = await self._left()
            yield self._progress()
            if left and time.monotonic() > deadline:
                raise _others_seal(self._key_id, left)
        await self._database.write(self._conclude)
        yield self._progress(finished=True)

    async def _pass(self) -> AsyncIterator[Progress]:
        place: tuple[str, str] | None = BEFORE_ALL
        unreadable: tuple[str, ...] = ()
        while place is not None:
            started = time.monotonic()
            await self._storage.key_watch.look()
            batch = await self._database.write(lambda tx, after=place: self._batch(tx, after))  # type: ignore[misc]
            place, unreadable = batch.last, (*unreadable, *batch.unreadable)
            self._done += batch.moved
            yield self._progress()
            # As long for the others as for this: SQLite gives its lock to whoever happens to ask.
            await asyncio.sleep(time.monotonic() - started)
        self._unreadable = unreadable

    def _batch(self, tx: Transaction, after: tuple[str, str]) -> _Batch:
        values = lock_sealed_under_other_keys(tx, self._key_id, after, _BATCH)
        unreadable = []
        for value in values:
            try:
                rewrap(tx, self._box, value)
            except Unreadable:
                unreadable.append(value.context.id)
        # What comes in behind the last ones from now on is for the next pass: this one has an end, however much is written meanwhile.
        last = values[-1].place if len(values) == _BATCH else None
        return _Batch(last, len(values) - len(unreadable), tuple(unreadable))

    async def _left(self) -> int:
        await self._storage.key_watch.look()
        counts = await self._database.read(values_by_key)
        others = sum(count for key_id, count in counts.items() if key_id != self._key_id)
        left = max(0, others - len(self._unreadable))
        self._total = self._done + left
        return left

    def _conclude(self, tx: Transaction) -> None:
        if self._done:
            note_in_audit(tx, "encryption_key.rotated", self._key_id)
        tx.leave_no_trace()

    def _progress(self, *, finished: bool = False) -> Progress:
        return Progress(self._key_id, self._resumed, self._done, max(self._total, self._done), self._unreadable, finished)


def _others_seal(key_id: str, left: int) -> Error:
    values = f"{left} {'value' if left == 1 else 'values'}"
    return Error(
        Code.CONFLICT,
        f"Something seals with another key than {key_id} again and again, {values} just now: a server, or another rotation, whose key ring "
        "has another key in front. `keyhouse keys status` shows with which. Put the same key in front of every ring, then run this again.",
    )
