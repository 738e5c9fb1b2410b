"""A connection to SQLite's file as the house uses them, and its open transaction."""

import sqlite3
from pathlib import Path
from urllib.parse import quote

from keyhouse.storage.clock import now_us
from keyhouse.storage.database import ChangeNotice, ConstraintBroken
from keyhouse.storage.statements import Row, Statement

PATIENCE_MS = 10_000
"""How long it is waited for another process that writes."""


class SqliteTransaction:
    """One connection's open transaction. SQLite's integers stand for booleans."""

    __slots__ = ("_execute", "left_traces", "noted", "now", "number_of_note")

    is_draft = False

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._execute = connection.execute
        self.left_traces = False
        self.now = now_us()
        self.noted: list[ChangeNotice] = []
        self.number_of_note = 0

    def rows(self, statement: Statement, **values: object) -> list[Row]:
        """See Transaction."""
        try:
            return self._execute(statement.sqlite, statement.placed(values)).fetchall()
        except sqlite3.IntegrityError as refused:
            raise ConstraintBroken from refused

    def row(self, statement: Statement, **values: object) -> Row | None:
        """See Transaction."""
        found = self.rows(statement, **values)
        return found[0] if found else None

    def run(self, statement: Statement, **values: object) -> None:
        """See Transaction."""
        try:
            self._execute(statement.sqlite, statement.placed(values))
        except sqlite3.IntegrityError as refused:
            raise ConstraintBroken from refused

    def note(self, statement: Statement, notice: ChangeNotice, **values: object) -> None:
        """See Transaction."""
        self.number_of_note = self._execute(statement.sqlite, statement.placed(values)).lastrowid or 0
        self.noted.append(notice)

    def leave_no_trace(self) -> None:
        """See Transaction. The write-ahead log still holds what the database file no longer does."""
        self.left_traces = True


LOG_BYTES = 32 * 1024 * 1024
"""What the write-ahead log is cut to once a reader that made it grow, such as a copy of all, has ended."""


def connect(path: Path) -> sqlite3.Connection:
    """A connection as the house uses them: WAL, every commit on the disk, foreign keys on, deleted bytes overwritten. Makes no file."""
    address = f"file:{quote(bytes(path.absolute()))}?mode=rw"
    connection = sqlite3.connect(
        address, uri=True, isolation_level=None, check_same_thread=False, cached_statements=256, timeout=PATIENCE_MS / 1000
    )
    try:
        for pragma in (
            "journal_mode=WAL",
            "synchronous=FULL",
            "foreign_keys=ON",
            "secure_delete=ON",
            "trusted_schema=OFF",
            "wal_autocheckpoint=4000",
            f"journal_size_limit={LOG_BYTES}",
            "temp_store=MEMORY",
        ):
            connection.execute(f"PRAGMA {pragma}")
    except BaseException:
        connection.close()
        raise
    return connection


def data_version(connection: sqlite3.Connection) -> int:
    """Another number whenever another connection has committed."""
    return int(connection.execute("PRAGMA data_version").fetchone()[0])
