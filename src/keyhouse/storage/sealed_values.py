"""Every secret of the house is a row of one table: sealed here, opened here, and never changed once written, only wrapped anew."""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import bindparam, delete, select, tuple_, update

from keyhouse.storage.database import ConstraintBroken, WritingKeyRetired
from keyhouse.storage.identifiers import new_id
from keyhouse.storage.secret_box import Context, SecretBox, Unreadable, key_id_of
from keyhouse.storage.statements import Row, Statement, Transaction, insert_row
from keyhouse.storage.tables import sealed_values

_INSERT = insert_row(sealed_values)
_this = (sealed_values.c.owner_id == bindparam("owner_id"), sealed_values.c.id == bindparam("id"))
_GET = Statement(select(sealed_values.c.project_id, sealed_values.c.field, sealed_values.c.blob).where(*_this))
_DESTROY = Statement(delete(sealed_values).where(sealed_values.c.owner_id == bindparam("owner_id")))
_DESTROY_ONE = Statement(delete(sealed_values).where(*_this))
_columns = sealed_values.c
_next = (
    select(_columns.owner_id, _columns.id, _columns.project_id, _columns.field, _columns.key_id, _columns.blob)
    .where(tuple_(_columns.owner_id, _columns.id) > tuple_(bindparam("after_owner_id"), bindparam("after_id")))
    .order_by(_columns.owner_id, _columns.id)
    .limit(bindparam("limit"))
)
_NEXT = Statement(_next)
_next_under_other_keys = _next.where(_columns.key_id != bindparam("but_key_id"))
_NEXT_UNDER_OTHER_KEYS = Statement(_next_under_other_keys)
_LOCK_NEXT_UNDER_OTHER_KEYS = Statement(_next_under_other_keys.with_for_update(skip_locked=True))
_REWRAP = Statement(
    update(sealed_values)
    .where(_columns.owner_id == bindparam("of_owner_id"), _columns.id == bindparam("value_id"), _columns.blob == bindparam("old_blob"))
    .values(key_id=bindparam("key_id"), blob=bindparam("blob"))
)


def put_sealed(tx: Transaction, box: SecretBox, owner: tuple[str, str], field: str, plaintext: bytes) -> str:
    """Seal a value for `owner` (project id, row id) and return its id. Raises WritingKeyRetired, or on PostgreSQL the commit does."""
    project_id, owner_id = owner
    context = Context(project_id, owner_id, field, new_id("value"))
    blob = box.seal(plaintext, context)
    values = {"id": context.id, "project_id": project_id, "owner_id": owner_id, "field": field}
    try:
        tx.run(_INSERT, **values, key_id=key_id_of(blob), blob=blob)
    except ConstraintBroken as refused:
        raise WritingKeyRetired from refused
    return context.id


def open_sealed(tx: Transaction, box: SecretBox, owner_id: str, value_id: str) -> bytes:
    """A value by its owner and id. Raises Unreadable, also where it no longer exists."""
    row = tx.row(_GET, owner_id=owner_id, id=value_id)
    if row is None:
        raise Unreadable("it was destroyed", None)
    project_id, field, blob = row
    return box.open(bytes(blob), Context(project_id, owner_id, field, value_id))


def destroy_sealed(tx: Transaction, owner_id: str) -> None:
    """Destroy every value of a row, those in its history as well."""
    tx.run(_DESTROY, owner_id=owner_id)
    tx.leave_no_trace()


def destroy_one(tx: Transaction, owner_id: str, value_id: str) -> None:
    """Destroy one value."""
    tx.run(_DESTROY_ONE, owner_id=owner_id, id=value_id)
    tx.leave_no_trace()


@dataclass(frozen=True, slots=True)
class SealedValue:
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
    """Wrap a value's data key with the box's first key, if the value is still the one that was read. Raises Unreadable."""
    blob = box.rewrapped(value.blob, value.context)
    owner_id, value_id = value.place
    tx.run(_REWRAP, of_owner_id=owner_id, value_id=value_id, old_blob=value.blob, key_id=key_id_of(blob), blob=blob)


def _values(rows: Sequence[Row]) -> Sequence[SealedValue]:
    return [
        SealedValue(Context(project_id, owner_id, field, value_id), key_id, bytes(blob))
        for owner_id, value_id, project_id, field, key_id, blob in rows
    ]
