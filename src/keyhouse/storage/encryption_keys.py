"""Which key-encryption keys the database knows, each with a canary that tells whether a key of that id is the right one.

A retired key is remembered by its id: a ring that was not brought up to date cannot bring it back.
"""

from collections.abc import Mapping

import msgspec

from keyhouse.domain.errors import Code, Error
from keyhouse.storage.clock import now_us
from keyhouse.storage.fingerprints import OWNER_ID
from keyhouse.storage.key_ring import KeyRing
from keyhouse.storage.secret_box import Context, SecretBox, Unreadable
from keyhouse.storage.statements import Statement, Transaction, insert_into

_CANARY = b"keyhouse canary"
_RETIRED = "retired_key/"
_LIST = Statement("SELECT id, canary FROM encryption_keys ORDER BY created_at, id")
_ADD = Statement("INSERT INTO encryption_keys (id, canary, created_at) VALUES (:id, :canary, :created_at) ON CONFLICT DO NOTHING")
_DELETE = Statement("DELETE FROM encryption_keys WHERE id = :id")
_USE = Statement("SELECT key_id, count(*) FROM sealed_values GROUP BY key_id")
_IN_USE = Statement("SELECT key_id FROM sealed_values WHERE key_id = :id AND owner_id != :but_owner_id LIMIT 1")
_LIST_RETIRED = Statement("SELECT name FROM installation WHERE name LIKE 'retired|_key/%' ESCAPE '|'")
_REMEMBER = insert_into("installation", "name, value")


def known_key_ids(tx: Transaction) -> tuple[str, ...]:
    """Every key that ever wrote and was not retired, oldest first."""
    return tuple(row[0] for row in tx.rows(_LIST))


def retired_key_ids(tx: Transaction) -> frozenset[str]:
    """Every key that was retired."""
    return frozenset(row[0].removeprefix(_RETIRED) for row in tx.rows(_LIST_RETIRED))


def values_by_key(tx: Transaction) -> Mapping[str, int]:
    """How many sealed values each key wraps. Reads all of them."""
    return dict(tx.rows(_USE))


def is_in_use(tx: Transaction, key_id: str) -> bool:
    """Whether a key wraps any value but fingerprint keys, of which there can be a new one. Reads all of them where it wraps none."""
    return tx.row(_IN_USE, id=key_id, but_owner_id=OWNER_ID) is not None


class CheckedRing(msgspec.Struct, frozen=True):
    """What the database makes of a ring: ids of it by state, and the ids that the database knows and the ring lacks."""

    right: tuple[str, ...]
    wrong: tuple[str, ...]
    new: tuple[str, ...]
    retired: tuple[str, ...]
    missing: tuple[str, ...]


def check_ring(tx: Transaction, ring: KeyRing) -> CheckedRing:
    """Try every key of a ring on the canary of its id."""
    canaries = {row[0]: bytes(row[1]) for row in tx.rows(_LIST)}
    retired = retired_key_ids(tx)
    known = [key_id for key_id in ring.ids if key_id in canaries]
    right = tuple(key_id for key_id in known if _opens(ring, key_id, canaries[key_id]))
    return CheckedRing(
        right=right,
        wrong=tuple(key_id for key_id in known if key_id not in right),
        new=tuple(key_id for key_id in ring.ids if key_id not in canaries and key_id not in retired),
        retired=tuple(key_id for key_id in ring.ids if key_id not in canaries and key_id in retired),
        missing=tuple(key_id for key_id in canaries if ring.key(key_id) is None),
    )


def require_usable(tx: Transaction, ring: KeyRing, *, accept_unreadable: bool, held: KeyRing | None = None) -> KeyRing:
    """The ring's keys that may be used: those that are right, and those that are new to the database.

    Raises Error `configuration`, naming id and place, where the first key was retired, or a key is wrong, or one in use is missing.
    With `accept_unreadable` all that is accepted, as long as one key is left to write with, and none in use is lost that was `held` so far.
    """
    checked = check_ring(tx, ring)
    if not accept_unreadable:
        _require_right(ring, checked)
        _require_complete(tx, ring, checked)
    elif held is not None:
        _require_held(tx, ring, checked, held)
    usable = ring.without((*checked.wrong, *checked.retired))
    if not usable.ids:
        raise Error(
            Code.CONFIGURATION,
            f"No key in {ring.where} is the one that this database knows by its id ({', '.join(ring.ids)}), so nothing new can be sealed. "
            "Put a new key in front, under an id that was never used: " + NEW_KEY_HINT,
        )
    return usable


NEW_KEY_HINT = "a line `my-new-id = KEY`, where KEY is what `openssl rand -base64 32` prints."
"""How a person makes a key."""


def _require_right(ring: KeyRing, checked: CheckedRing) -> None:
    if checked.wrong:
        raise Error(
            Code.CONFIGURATION,
            f"The key {checked.wrong[0]} in {ring.where} is not the one that this database was written with. "
            "Put back the right key ring, or go on without what it sealed: `keyhouse serve --accept-unreadable`, for other commands "
            "KEYHOUSE_ACCEPT_UNREADABLE=true.",
        )
    if ring.writing_id in checked.retired:
        raise Error(
            Code.CONFIGURATION,
            f"The key {ring.writing_id}, the first one in {ring.where}, was retired. This ring is an old one: put the present one there.",
        )


def _require_complete(tx: Transaction, ring: KeyRing, checked: CheckedRing) -> None:
    needed = [key_id for key_id in checked.missing if is_in_use(tx, key_id)]
    if needed:
        raise Error(
            Code.CONFIGURATION,
            f"The database holds values sealed with the key {', '.join(needed)}, which is not in {ring.where} "
            f"(it holds {', '.join(ring.ids)}). Put the key back, or go on without those values: `keyhouse serve --accept-unreadable`, "
            "for other commands KEYHOUSE_ACCEPT_UNREADABLE=true.",
        )


def _require_held(tx: Transaction, ring: KeyRing, checked: CheckedRing, held: KeyRing) -> None:
    lost = [key_id for key_id in (*checked.missing, *checked.wrong) if held.key(key_id) and is_in_use(tx, key_id)]
    if lost:
        raise Error(
            Code.CONFIGURATION,
            f"The database holds values sealed with the key {lost[0]}, which is not in {ring.where} any more, or not the right one, and "
            "this process still has it. Put the key back.",
        )


def add_new_keys(tx: Transaction, ring: KeyRing) -> None:
    """Make those of the ring's keys known that were never heard of: before one of them seals anything, the database has its canary."""
    for key_id in check_ring(tx, ring).new:
        canary = SecretBox(ring.only(key_id)).seal(_CANARY, _context(key_id))
        tx.run(_ADD, id=key_id, canary=canary, created_at=now_us())


def register_keys(tx: Transaction, ring: KeyRing) -> None:
    """Make the ring's keys known.

    Raises Error `configuration` where another process made another key known by the same id just now, or retired one.
    """
    add_new_keys(tx, ring)
    checked = check_ring(tx, ring)
    refused = (*checked.wrong, *checked.retired)
    if refused:
        raise Error(Code.CONFIGURATION, f"The key {refused[0]} in {ring.where} is not the one that this database knows by that id.")


def forget_unused_key(tx: Transaction, key_id: str) -> None:
    """Forget a key that never sealed anything: it may come back. Raises ConstraintBroken while it seals anything."""
    tx.run(_DELETE, id=key_id)


def retire_key(tx: Transaction, key_id: str) -> None:
    """Forget a key for good. Raises ConstraintBroken while it seals anything: a foreign key holds that, whoever writes at the same time."""
    if key_id not in retired_key_ids(tx):
        tx.run(_REMEMBER, name=f"{_RETIRED}{key_id}", value=str(now_us()))
    tx.run(_DELETE, id=key_id)


def _context(key_id: str) -> Context:
    return Context("", "encryption_keys", "canary", key_id)


def _opens(ring: KeyRing, key_id: str, canary: bytes) -> bool:
    try:
        return SecretBox(ring.only(key_id)).open(canary, _context(key_id)) == _CANARY
    except Unreadable:
        return False
