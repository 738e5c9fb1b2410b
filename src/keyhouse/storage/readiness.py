"""Whether the database answers. Changes nothing."""

from sqlalchemy import select

from keyhouse.storage.statements import Statement, Transaction
from keyhouse.storage.tables import installation

_ANY = Statement(select(installation.c.name).limit(1))


def look(tx: Transaction) -> None:
    """Read one small row."""
    tx.row(_ANY)
