"""Every secret of the house is a row of one table: sealed here, opened here, and never changed once written, only wrapped anew."""

from collections.abc import Sequence

import msgspec

from keyhouse.storage.database import ConstraintBroken, WritingKeyRetired
from keyhouse.storage.identifiers import new_id
from keyhouse.storage.secret_box import Context, SecretBox, Unreadable, key_id_of
from keyhouse.storage.statements import Row, Statement, Transaction, insert_into

_COLUMNS = "owner_id, id, project_id, field, key_id, blob"
_THIS = "WHERE owner_id = :owner_id AND id = :id"
_AFTER = "FROM sealed_values WHERE (id, owner_id) > (:after_id, :after_owner_id)"
_UNDER_OTHER_KEYS = "AND key_id != :but_key_id"
_IN_ORDER = "ORDER BY id, owner_id LIMIT :limit"
INSERT = insert_into("sealed_values", _COLUMNS)
_GET = Statement("SELECT project_id, field, blob FROM sealed_values", _THIS)
# All of a row of `model_providers`: its history names each that it ever had.
_OF_HISTORY = "FROM model_provider_history WHERE project_id = :project_id AND provider = :provider AND row_id = :owner_id"
_DESTROY = Statement(
    "DELETE FROM sealed_values WHERE owner_id = :owner_id",
    f"AND id IN (SELECT credentials_id {_OF_HISTORY} UNION SELECT headers_id {_OF_HISTORY})",
)
_DESTROY_ONE = Statement("DELETE FROM sealed_values", _THIS)
_NEXT = Statement("SELECT", _COLUMNS, _AFTER, _IN_ORDER)
_NEXT_UNDER_OTHER_KEYS = Statement("SELECT", _COLUMNS, _AFTER, _UNDER_OTHER_KEYS, _IN_ORDER)
_LOCK_NEXT_UNDER_OTHER_KEYS = Statement("SELECT", _COLUMNS, _AFTER, _UNDER_OTHER_KEYS, _IN_ORDER, "FOR UPDATE SKIP LOCKED")
_REWRAP = Statement("UPDATE sealed_values SET key_id = :key_id, blob = :blob", _THIS, "AND blob = :old_blob")


def put_sealed(tx: Transaction, box: SecretBox, owner: tuple[str, str], field: str, plaintext: bytes) -> str:
    """Seal a value for `owner` (project id, row id) and return its id. Raises WritingKeyRetired, or on PostgreSQL the commit does."""
    project_id, owner_id = owner
    context = Context(project_id, owner_id, field, new_id("value"))
    blob = box.seal(plaintext, context)
    values = {"id": context.id, "project_id": project_id, "owner_id": owner_id, "field": field}
    try:
        tx.run(INSERT, **values, key_id=key_id_of(blob), blob=blob)
    except ConstraintBroken as refused:
        raise WritingKeyRetired from refused
    return context.id


def open_sealed(tx: Transaction, box: SecretBox, owner_id: str, value_id: str) -> bytes:
    """A value by its owner and id. Raises Unreadable, also where it no longer exists."""
    row = tx.row(_GET, owner_id=owner_id, id=value_id)
    if row is None:
        raise Unreadable("it was destroyed")
    project_id, field, blob = row
    return box.open(bytes(blob), Context(project_id, owner_id, field, value_id))


def destroy_sealed(tx: Transaction, project_id: str, provider: str, owner_id: str) -> None:
    """Destroy every value of a project's row for a provider, those in its history as well."""
    tx.run(_DESTROY, project_id=project_id, provider=provider, owner_id=owner_id)
    tx.leave_no_trace()


def destroy_one(tx: Transaction, owner_id: str, value_id: str) -> None:
    """Destroy one value."""
    tx.run(_DESTROY_ONE, owner_id=owner_id, id=value_id)
    tx.leave_no_trace()


class SealedValue(msgspec.Struct, frozen=True):
    """A sealed value as it lies in its table, and the place it belongs to."""

    context: Context
    key_id: str
    blob: bytes

    @property
    def place(self) -> tuple[str, str]:
        """Where it comes in the order of all values."""
        return self.context.owner_id, self.context.id


BEFORE_ALL = ("", "")
"""The place before the first value."""


def list_sealed(tx: Transaction, after: tuple[str, str], limit: int) -> Sequence[SealedValue]:
    """The next values after a place, in order."""
    return _values(tx.rows(_NEXT, after_owner_id=after[0], after_id=after[1], limit=limit))


def list_sealed_under_other_keys(tx: Transaction, key_id: str, after: tuple[str, str], limit: int) -> Sequence[SealedValue]:
    """The next values after a place that another key than `key_id` wraps, in order."""
    return _values(tx.rows(_NEXT_UNDER_OTHER_KEYS, after_owner_id=after[0], after_id=after[1], limit=limit, but_key_id=key_id))


def lock_sealed_under_other_keys(tx: Transaction, key_id: str, after: tuple[str, str], limit: int) -> Sequence[SealedValue]:
    """The same, locked until the transaction ends, but without those that another write holds: who waits for nobody is in no deadlock."""
    return _values(tx.rows(_LOCK_NEXT_UNDER_OTHER_KEYS, after_owner_id=after[0], after_id=after[1], limit=limit, but_key_id=key_id))


def rewrap(tx: Transaction, box: SecretBox, value: SealedValue) -> None:
    """Wrap a value's data key with the box's first key, if the value is still the one that was read.

    Raises Unreadable, and WritingKeyRetired as `put_sealed` does.
    """
    blob = box.rewrapped(value.blob, value.context)
    owner_id, value_id = value.place
    try:
        tx.run(_REWRAP, owner_id=owner_id, id=value_id, old_blob=value.blob, key_id=key_id_of(blob), blob=blob)
    except ConstraintBroken as refused:
        raise WritingKeyRetired from refused


def _values(rows: Sequence[Row]) -> Sequence[SealedValue]:
    return [
        SealedValue(Context(project_id, owner_id, field, value_id), key_id, bytes(blob))
        for owner_id, value_id, project_id, field, key_id, blob in rows
    ]
