"""Which key-encryption keys the database knows, each with a canary that tells whether a key of that id is the right one."""

from collections.abc import Callable, Mapping

from sqlalchemy import bindparam, delete, func, select

from keyhouse.domain.errors import Code, Error
from keyhouse.storage.clock import now_us
from keyhouse.storage.key_ring import KeyRing
from keyhouse.storage.secret_box import Context, SecretBox, Unreadable
from keyhouse.storage.statements import Statement, Transaction, insert_row
from keyhouse.storage.tables import encryption_keys, sealed_values

_CANARY = b"keyhouse canary"
_LIST = Statement(select(encryption_keys.c.id, encryption_keys.c.canary).order_by(encryption_keys.c.created_at))
_INSERT = insert_row(encryption_keys)
_DELETE = Statement(delete(encryption_keys).where(encryption_keys.c.id == bindparam("id")))
_USE = Statement(select(sealed_values.c.key_id, func.count()).group_by(sealed_values.c.key_id))


def known_key_ids(tx: Transaction) -> tuple[str, ...]:
    """Every key that ever wrote and was not retired, oldest first."""
    return tuple(row[0] for row in tx.rows(_LIST))


def values_by_key(tx: Transaction) -> Mapping[str, int]:
    """How many sealed values each key wraps."""
    return dict(tx.rows(_USE))


def register_keys(tx: Transaction, ring: KeyRing) -> None:
    """Make the ring's keys known. Raises Error `configuration` where one is not the key that the database knows by that id."""
    canaries = {row[0]: bytes(row[1]) for row in tx.rows(_LIST)}
    for key_id in ring.ids:
        box = SecretBox(KeyRing({key_id: ring.key(key_id) or b""}, ring.where))
        if key_id not in canaries:
            tx.run(_INSERT, id=key_id, canary=box.seal(_CANARY, _context(key_id)), created_at=now_us())
        elif not _opens(box, key_id, canaries[key_id]):
            raise Error(
                Code.CONFIGURATION,
                f"The key {key_id} in {ring.where} is not the one that this database was written with. "
                "Put back the right key ring, or start with --accept-unreadable to go on without what it sealed.",
            )


def register_right_keys(tx: Transaction, ring: KeyRing) -> KeyRing:
    """The ring without those of its keys that are wrong, the others made known: what `--accept-unreadable` starts with."""
    canaries = {row[0]: bytes(row[1]) for row in tx.rows(_LIST)}
    right = ring
    for key_id in ring.ids:
        box = SecretBox(KeyRing({key_id: ring.key(key_id) or b""}, ring.where))
        if key_id in canaries and not _opens(box, key_id, canaries[key_id]):
            right = right.without(key_id)
    if not right.ids:
        raise Error(
            Code.CONFIGURATION,
            f"No key in {ring.where} is the one that this database knows by its id, and nothing new can be sealed under such an id. "
            "Put a new key under a new id first.",
        )
    register_keys(tx, right)
    return right


def require_all_known(tx: Transaction, ring: KeyRing) -> None:
    """Raise Error `configuration`, naming id and place, where a key that seals stored values is not in the ring."""
    missing = [key_id for key_id in values_by_key(tx) if ring.key(key_id) is None]
    if missing:
        raise Error(
            Code.CONFIGURATION,
            f"The database holds values sealed with the key {', '.join(missing)}, which is not in {ring.where} "
            f"(it holds {', '.join(ring.ids)}). Put the key back, or start with --accept-unreadable to go on without those values.",
        )


def forget_key(tx: Transaction, key_id: str) -> None:
    """Retire a key. Raises ConstraintBroken while it seals anything: a foreign key holds that, whoever writes at the same time."""
    tx.run(_DELETE, id=key_id)


def count_unreadable(tx: Transaction, opens: Callable[[bytes, Context], bool]) -> int:
    """How many sealed values do not open. Reads all of them."""
    columns = sealed_values.c
    everything = Statement(select(columns.id, columns.project_id, columns.owner_id, columns.field, columns.blob))
    return sum(
        not opens(bytes(blob), Context(project_id, owner_id, field, value_id))
        for value_id, project_id, owner_id, field, blob in tx.rows(everything)
    )


def _context(key_id: str) -> Context:
    return Context("", "encryption_keys", "canary", key_id)


def _opens(box: SecretBox, key_id: str, canary: bytes) -> bool:
    try:
        return box.open(canary, _context(key_id)) == _CANARY
    except Unreadable:
        return False
