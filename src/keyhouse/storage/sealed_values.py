"""Every secret of the house is a row of one table: sealed here, opened here, and never changed once written, only wrapped anew."""

from sqlalchemy import bindparam, delete, select

from keyhouse.storage.identifiers import new_id
from keyhouse.storage.secret_box import Context, SecretBox, Unreadable
from keyhouse.storage.statements import Statement, Transaction, insert_row
from keyhouse.storage.tables import sealed_values

_INSERT = insert_row(sealed_values)
_this = (sealed_values.c.owner_id == bindparam("owner_id"), sealed_values.c.id == bindparam("id"))
_GET = Statement(select(sealed_values.c.project_id, sealed_values.c.field, sealed_values.c.blob).where(*_this))
_DESTROY = Statement(delete(sealed_values).where(sealed_values.c.owner_id == bindparam("owner_id")))
_DESTROY_ONE = Statement(delete(sealed_values).where(*_this))


def put_sealed(tx: Transaction, box: SecretBox, owner: tuple[str, str], field: str, plaintext: bytes) -> str:
    """Seal a value for `owner` (project id, row id) and return its id. Raises ConstraintBroken if the key was retired."""
    project_id, owner_id = owner
    context = Context(project_id, owner_id, field, new_id("value"))
    tx.run(
        _INSERT,
        id=context.id,
        project_id=project_id,
        owner_id=owner_id,
        field=field,
        key_id=box.ring.writing_id,
        blob=box.seal(plaintext, context),
    )
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


def destroy_one(tx: Transaction, owner_id: str, value_id: str) -> None:
    """Destroy one value."""
    tx.run(_DESTROY_ONE, owner_id=owner_id, id=value_id)
