"""The use cases of the key-encryption keys: status and retirement. Each may be killed at any moment and run again; nothing is lost."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Literal

import msgspec

from keyhouse.domain.errors import Code, Error
from keyhouse.services.key_rotation import note_in_audit, ring_held
from keyhouse.storage.changes import note_change
from keyhouse.storage.database import ConstraintBroken, Database
from keyhouse.storage.database_url import parse_database_url
from keyhouse.storage.encryption_keys import CheckedRing, check_ring, known_key_ids, retire_key, values_by_key
from keyhouse.storage.fingerprints import destroy_fingerprint_keys, sealed_fingerprint_keys
from keyhouse.storage.key_file import KeySource, change_key_file
from keyhouse.storage.key_ring import KeyRing
from keyhouse.storage.opening import Storage, open_database
from keyhouse.storage.replicas import Replica, list_replicas
from keyhouse.storage.schema import require_schema, revision_of
from keyhouse.storage.sealed_values import BEFORE_ALL, SealedValue, list_sealed
from keyhouse.storage.secret_box import SecretBox, Unreadable
from keyhouse.storage.statements import Transaction

_AT_ONCE = 1000

Canary = Literal["right", "wrong", "new", "retired", "not in the ring"]


class KeyStatus(msgspec.Struct, frozen=True):
    """One key. `canary` says whether it is the one that the database knows by its id; `new` is one that the database does not know yet."""

    id: str
    in_ring: bool
    writes: bool
    canary: Canary
    values: int


class KeysStatus(msgspec.Struct, frozen=True):
    """All keys, those of the ring first in its order, and which processes use the database.

    `problem` says why there is no ring, `warnings` what else is not as it should be.
    """

    ring: str
    problem: str | None
    warnings: tuple[str, ...]
    keys: tuple[KeyStatus, ...]
    values: int
    unreadable: int
    database: str
    schema: str
    replicas: tuple[Replica, ...]


async def status(database: Database, keys: KeySource) -> KeysStatus:
    """What the ring and the database say of each key. Opens every value; changes nothing. Raises Error `storage_unavailable`.

    Where the key file changes meanwhile, it looks again: values under a key that came since are not unreadable.
    """
    while True:
        identity = keys.identity()
        seen = await _status_once(database, keys)
        if keys.identity() == identity:
            return seen


async def _status_once(database: Database, keys: KeySource) -> KeysStatus:
    problem: str | None = None
    try:
        ring = keys.load()
    except Error as error:
        problem, ring = error.message, KeyRing({}, keys.where)
    listed, schema, replicas = await database.read(lambda tx: (_key_list(tx, ring), revision_of(tx), list_replicas(tx)))
    warning = keys.warning()
    return KeysStatus(
        ring=keys.where,
        problem=problem,
        warnings=(warning,) if warning else (),
        keys=listed,
        values=sum(key.values for key in listed),
        unreadable=await _count_unreadable(database, SecretBox(ring)),
        database=database.dialect,
        schema=schema,
        replicas=replicas,
    )


def _key_list(tx: Transaction, ring: KeyRing) -> tuple[KeyStatus, ...]:
    checked, counts = check_ring(tx, ring), values_by_key(tx)
    writing = next((key_id for key_id in ring.ids if key_id in (*checked.right, *checked.new)), None)
    ids = dict.fromkeys((*ring.ids, *known_key_ids(tx), *counts))
    return tuple(
        KeyStatus(
            id=key_id,
            in_ring=key_id in ring.ids,
            writes=key_id == writing,
            canary=_canary(checked, key_id),
            values=counts.get(key_id, 0),
        )
        for key_id in ids
    )


def _canary(checked: CheckedRing, key_id: str) -> Canary:
    states: tuple[tuple[Canary, tuple[str, ...]], ...] = (
        ("right", checked.right),
        ("wrong", checked.wrong),
        ("new", checked.new),
        ("retired", checked.retired),
    )
    return next((state for state, ids in states if key_id in ids), "not in the ring")


async def _count_unreadable(database: Database, box: SecretBox) -> int:
    place, unreadable = BEFORE_ALL, 0
    while values := await database.read(lambda tx, after=place: list_sealed(tx, after, _AT_ONCE)):  # type: ignore[misc]
        unreadable += sum(not _opens(box, value) for value in values)
        place = values[-1].place
        await asyncio.sleep(0)
    return unreadable


def _opens(box: SecretBox, value: SealedValue) -> bool:
    try:
        box.open(value.blob, value.context)
    except Unreadable:
        return False
    return True


@contextlib.asynccontextmanager
async def opened_as_it_is(database_url: str) -> AsyncIterator[Database]:
    """The database of a house that may not start as it is: a key is missing or wrong.

    Raises Error `configuration` where there is no database of this release, `storage_unavailable`.
    """
    url = parse_database_url(database_url)
    await asyncio.to_thread(require_schema, url)
    database = open_database(url)
    try:
        yield database
    finally:
        await database.close()


async def inspect(database_url: str, keys: KeySource) -> KeysStatus:
    """The status of such a house. Changes nothing. Raises Error as `opened_as_it_is` does."""
    async with opened_as_it_is(database_url) as database:
        return await status(database, keys)


async def retire(storage: Storage, key_id: str) -> str | None:
    """Retire a key that seals nothing any more: the database forgets it for good, then it is taken out of the key file.

    Returns what is left to do for whoever runs this, if anything. Raises Error `not_found`, or `conflict` for the key that writes and for
    one that still seals values.
    """
    async with ring_held(storage.keys):
        await storage.key_watch.take_up()
        await _require_retirable(storage, key_id)
        try:
            await storage.database.write(lambda tx: _retire(tx, storage.box.ring, key_id))
        except ConstraintBroken:
            await _require_unused(storage, key_id)
            raise _busy(key_id) from None
        if storage.keys.load().key(key_id) is None:
            return None
        if not storage.keys.is_changeable:
            return f"Now take the key {key_id} out of {storage.keys.where}."
        change_key_file(storage.keys, lambda ring: ring.without((key_id,)))
        await storage.key_watch.take_up()
    return None


def _retire(tx: Transaction, usable: KeyRing, key_id: str) -> None:
    if usable.key(key_id) is None:
        destroy_fingerprint_keys(tx, key_id)
    retire_key(tx, key_id)
    note_in_audit(tx, "encryption_key.retired", key_id)
    note_change(tx, None, None)


async def _require_retirable(storage: Storage, key_id: str) -> None:
    known, ring = await storage.database.read(known_key_ids), storage.keys.load()
    if key_id not in known and ring.key(key_id) is None:
        raise Error(Code.NOT_FOUND, f"There is no key {key_id}. There are: {', '.join(dict.fromkeys((*ring.ids, *known)))}.")
    if key_id == storage.box.ring.writing_id:
        raise Error(Code.CONFLICT, f"The key {key_id} is the one that writes. Run `keyhouse keys rotate` first, then retire it.")
    await _require_unused(storage, key_id)


async def _require_unused(storage: Storage, key_id: str) -> None:
    values = await storage.database.read(lambda tx: _count_needed(tx, storage.box.ring, key_id))
    if values:
        raise Error(
            Code.CONFLICT,
            f"The key {key_id} still seals {values} {'value' if values == 1 else 'values'}. Run `keyhouse keys rotate`, then retire it. "
            "Values that cannot be read stay with their key until what they belong to is deleted.",
        )


def _count_needed(tx: Transaction, usable: KeyRing, key_id: str) -> int:
    """How many values stand against retiring a key. The fingerprint keys that a lost or wrong one seals do not."""
    given_up = 0 if usable.key(key_id) else len(sealed_fingerprint_keys(tx, key_id))
    return values_by_key(tx).get(key_id, 0) - given_up


def _busy(key_id: str) -> Error:
    return Error(Code.CONFLICT, f"The key {key_id} was used while it was being retired. Run `keyhouse keys rotate`, then retire it.")
