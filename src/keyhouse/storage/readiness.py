"""Whether the database answers. Changes nothing."""

from keyhouse.storage.statements import Statement, Transaction

_ANY = Statement("SELECT name FROM installation LIMIT 1")


def look(tx: Transaction) -> None:
    """Read one small row."""
    tx.row(_ANY)
