"""Statements: one text for both databases, with values by name, turned once into what each driver takes. No connection here."""

import re
from collections.abc import Callable, Sequence
from operator import itemgetter
from typing import TYPE_CHECKING, Any, Protocol

from keyhouse.domain.paging import Paging

if TYPE_CHECKING:
    from keyhouse.storage.database import ChangeNotice

Row = Any
"""A named tuple's worth of columns; its shape is the statement's select list."""

# What is left as it is: a text, a quoted name, a cast. What is turned: the name after a colon.
_NAMED = re.compile(r"""'[^']*'|"[^"]*"|::|:([a-z_]\w*)""")
_LOCK = re.compile(r"\s+FOR UPDATE( SKIP LOCKED)?$")
_UNPACKED = re.compile(r"\bjson_(?:array_elements|each)_text\(CAST\((:\w+) AS JSON\)\)")


class Statement:
    """A statement, and its text for each driver. Values are given by name: `:project_id`.

    SQLite's driver takes values by their places three times as fast as by name.
    """

    __slots__ = ("names", "placed", "postgresql", "sqlite")

    def __init__(self, *text: str, sqlite: str | None = None) -> None:
        """Pieces of one text, as PostgreSQL reads it; `sqlite` where SQLite's is another one, and not just said differently."""
        written = " ".join(text)
        for_sqlite = _in_sqlite(written) if sqlite is None else sqlite
        self.names = tuple(dict.fromkeys(found[1] for found in _NAMED.finditer(written) if found[1]))
        """The named values of PostgreSQL's text, in the order of their numbers there."""
        self.postgresql = with_places(written, lambda name: f"${self.names.index(name) + 1}")
        """The text for PostgreSQL's driver."""
        self.sqlite = with_places(for_sqlite, lambda name: "?")
        """The text for SQLite's driver."""
        self.placed = _in_places([found[1] for found in _NAMED.finditer(for_sqlite) if found[1]])
        """Named values in the order of that text's places."""


class PagedStatement:
    """A list that is read in pages: the statement for one of them, and the one for how many rows there are in all."""

    __slots__ = ("count", "page")

    def __init__(self, columns: str, *source: str, order: str) -> None:
        """`source` is what comes after the columns, from its FROM on, in pieces."""
        self.page = Statement("SELECT", columns, *source, "ORDER BY", order, "LIMIT :limit OFFSET :offset")
        self.count = Statement("SELECT count(*)", *source)

    def read(self, tx: "Transaction", paging: Paging, **values: object) -> tuple[list[Row], int]:
        """A page, and how many rows there are in all."""
        rows = tx.rows(self.page, **values, limit=paging.limit, offset=paging.offset)
        return rows, tx.rows(self.count, **values)[0][0]


def with_places(text: str, place: Callable[[str], str]) -> str:
    """A text with what `place` makes of each name of a value. A colon in a quoted text or name, or in a cast, begins none."""
    return _NAMED.sub(lambda found: place(found[1]) if found[1] else found[0], text)


def insert_into(table: str, columns: str) -> Statement:
    """An insert of columns, each given by its name."""
    return Statement(f"INSERT INTO {table} ({columns}) VALUES ({', '.join(f':{name}' for name in columns.split(', '))})")  # noqa: S608 - names of ours


def assignments(columns: str) -> str:
    """What an update sets: each column to what is given by its name."""
    return ", ".join(f"{name} = :{name}" for name in columns.split(", "))


def is_one_of(column: str, parameter: str) -> str:
    """Whether a column is in the list that is given under a parameter's name, as `encoding.encoded` writes it."""
    return f"{column} IN (SELECT value FROM json_array_elements_text(CAST(:{parameter} AS JSON)))"  # noqa: S608 - names of ours


def _in_sqlite(text: str) -> str:
    """What SQLite says differently: it unpacks JSON by one function, and has one writer at a time without any lock of rows."""
    return _UNPACKED.sub(r"json_each(\1)", _LOCK.sub("", text))


def _in_places(names: Sequence[str]) -> Callable[[dict[str, object]], Sequence[object]]:
    if len(names) > 1:
        return itemgetter(*names)
    if names:
        only = names[0]
        return lambda given: (given[only],)
    return lambda given: ()


class Transaction(Protocol):
    """What storage functions write with: both databases ship one. Rows are tuples in the order of the select list."""

    @property
    def now(self) -> int:
        """The moment that rows which are written in it bear."""

    @property
    def is_draft(self) -> bool:
        """Whether nothing can be read, and what is remembered stands for it. See drafts.py."""

    def rows(self, statement: Statement, **values: object) -> list[Row]:
        """All rows that the statement returns."""

    def row(self, statement: Statement, **values: object) -> Row | None:
        """The first row, or None."""

    def run(self, statement: Statement, **values: object) -> None:
        """Run a statement that returns nothing."""

    def note(self, statement: Statement, notice: "ChangeNotice", **values: object) -> None:
        """Run a statement that leaves a notice, of which this process hears as soon as it is committed."""

    def leave_no_trace(self) -> None:
        """Ask that what this transaction deletes or overwrites is soon gone from the database's files too, as far as the database can."""
