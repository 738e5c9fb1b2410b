"""A whole database, copied into an empty one of either kind: one snapshot of the one, one transaction of the other, read back and compared.

SQLAlchemy knows what each of them calls a type. Import this when there is something to copy.
"""

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import msgspec
from sqlalchemy import Connection, Row, Select, Table, func, insert, select, text
from sqlalchemy.exc import DBAPIError

from keyhouse.domain.errors import Code, Error
from keyhouse.storage.clock import now_us
from keyhouse.storage.database_url import DatabaseUrl
from keyhouse.storage.migration import begin, engine_of
from keyhouse.storage.replicas import FORGOTTEN_AFTER_S
from keyhouse.storage.schema import HEAD, explained, migrate, require_driver, require_schema, schema_revision, start_lock
from keyhouse.storage.tables import changes, metadata, replicas

_AT_ONCE = 500
# What processes tell each other. None of them is on the other database.
_LEFT_OUT = (changes, replicas)
TABLES = tuple(table for table in metadata.sorted_tables if table not in _LEFT_OUT)
"""What is copied, each after those that it refers to."""


class CopyProgress(msgspec.Struct, frozen=True):
    """How far a copy is. Each of `rows` is done twice: written, and read back."""

    done: int
    rows: int

    @property
    def steps(self) -> int:
        """What `done` comes to at the end."""
        return 2 * self.rows


def copy(source: DatabaseUrl, target: DatabaseUrl, *, while_serving: bool = False) -> Iterator[CopyProgress]:
    """Copy all rows into a database that has none, whose schema is made. The keys that seal values are not in a database, and not copied.

    Nothing stays in the target unless everything was read back from it the same. Raises Error `configuration` for a source that has not
    this release's schema, or a target that is not empty, `conflict` where processes serve on the source, `storage_unavailable` or
    `storage_full`.
    """
    require_schema(source)
    require_driver(target)
    with _connected(source, "BEGIN", isolation_level="REPEATABLE READ") as reading:
        if not while_serving:
            _require_nobody_serves(reading)
        with start_lock(target):
            _make_schema(target)
            with _connected(target, "BEGIN IMMEDIATE") as writing:
                _require_empty(writing, target)
                yield from _copied(reading, writing)
                writing.commit()


class _Side:
    """One of the two databases, and the connection to it. Raises Error `configuration` with its name, or `storage_full`."""

    def __init__(self, url: DatabaseUrl, connection: Connection) -> None:
        self._url = url
        self._connection = connection

    def number(self, query: Select[Any]) -> int:
        """The one number that a query yields."""
        with _explained(self._url):
            return int(self._connection.execute(query).scalar_one())

    def batches(self, table: Table) -> Iterator[Sequence[Row[Any]]]:
        """All rows of a table, some at a time."""
        with _explained(self._url):
            found = self._connection.execution_options(yield_per=_AT_ONCE).execute(select(table))
        with found:
            while rows := self._next(found):
                yield rows

    def _next(self, found: Any) -> Sequence[Row[Any]]:
        with _explained(self._url):
            rows: Sequence[Row[Any]] = found.fetchmany(_AT_ONCE)
            return rows

    def insert(self, table: Table, rows: Sequence[Row[Any]]) -> None:
        """Add rows."""
        with _explained(self._url):
            self._connection.execute(insert(table), [dict(row._mapping) for row in rows])

    def number_after(self, table: Table) -> None:
        """Have the next row that is numbered by the database numbered after those there are."""
        column = table.autoincrement_column
        if column is not None and self._connection.dialect.name == "postgresql":
            sequence = f"pg_get_serial_sequence('{table.name}', '{column.name}')"
            with _explained(self._url):
                self._connection.execute(text(f"SELECT setval({sequence}, max({column.name})) FROM {table.name}"))  # noqa: S608 - names of ours

    def commit(self) -> None:
        """Make it last."""
        with _explained(self._url):
            self._connection.commit()


def _copied(reading: _Side, writing: _Side) -> Iterator[CopyProgress]:
    total, done = sum(reading.number(_count(table)) for table in TABLES), 0
    tallies = dict.fromkeys(TABLES, 0)
    for table in TABLES:
        for rows in reading.batches(table):
            writing.insert(table, rows)
            tallies[table] += _tally(rows)
            done += len(rows)
            yield CopyProgress(done, total)
        writing.number_after(table)
    for table in TABLES:
        for rows in writing.batches(table):
            tallies[table] -= _tally(rows)
            done += len(rows)
            yield CopyProgress(done, total)
        if tallies[table] != 0:
            raise Error(Code.INTERNAL, f"The rows of {table.name} do not read back as they were. Nothing was copied.")
    yield CopyProgress(done, total)


def _tally(rows: Sequence[Row[Any]]) -> int:
    """What rows say. Added up it is the same in whatever order they come, and another one where a row is missing or differs."""
    return sum(int.from_bytes(hashlib.sha256(repr(tuple(row)).encode()).digest()) for row in rows)


def _count(table: Table) -> Select[Any]:
    return select(func.count()).select_from(table)


def _require_nobody_serves(reading: _Side) -> None:
    count = reading.number(_count(replicas).where(replicas.c.seen_at >= now_us() - FORGOTTEN_AFTER_S * 1_000_000))
    if count:
        raise Error(
            Code.CONFLICT,
            f"{count} {'process serves' if count == 1 else 'processes serve'} on this database, and what they write later would be missing "
            f"in the copy. Stop them (one that was killed is forgotten after {FORGOTTEN_AFTER_S} seconds), or say --while-serving.",
        )


def _make_schema(target: DatabaseUrl) -> None:
    """Leave a schema of this release, without a touch to one of another. Call it under the target's start lock."""
    with explained(target):
        current = schema_revision(target)
    if current not in (None, HEAD):
        raise _not_empty(target)
    migrate(target)


def _require_empty(writing: _Side, target: DatabaseUrl) -> None:
    if any(writing.number(_count(table)) for table in metadata.sorted_tables):
        raise _not_empty(target)


def _not_empty(target: DatabaseUrl) -> Error:
    return Error(Code.CONFIGURATION, f"The database {target.shown} is not empty. Copy into a new one; nothing was changed.")


@contextmanager
def _connected(url: DatabaseUrl, sqlite_begin: str, **postgresql_options: str) -> Iterator[_Side]:
    with _explained(url):
        connection = engine_of(url).connect()
    with connection:
        with _explained(url):
            if connection.dialect.name == "postgresql":
                connection.execution_options(**postgresql_options)
            begin(connection, sqlite_begin)
        yield _Side(url, connection)


@contextmanager
def _explained(url: DatabaseUrl) -> Iterator[None]:
    with explained(url):
        try:
            yield
        except DBAPIError as failure:
            raise failure.orig or failure from None
