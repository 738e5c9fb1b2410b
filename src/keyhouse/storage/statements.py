"""One text for both databases: SQLAlchemy writes each statement once per dialect, the driver runs it. No connection here."""

from collections.abc import Callable, Sequence
from operator import itemgetter
from typing import TYPE_CHECKING, Any, Protocol

from sqlalchemy import BindParameter, ClauseElement, Table, bindparam, insert
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import Dialect

if TYPE_CHECKING:
    from keyhouse.storage.database import ChangeNotice

Row = Any
"""A named tuple's worth of columns; its shape is the statement's select list."""

DIALECTS: dict[str, Dialect] = {
    "sqlite": sqlite.dialect(paramstyle="qmark"),
    "postgresql": postgresql.psycopg.dialect(),  # type: ignore[no-untyped-call]
}


class Statement:
    """A statement and its text in each dialect. Values are given by name.

    Running it costs what the driver costs: nothing is compiled again (a Core execution costs some 50 microseconds more). SQLite's driver
    takes values by their places three times as fast as by name.
    """

    __slots__ = ("_clause", "_literals", "_places", "_postgresql", "sqlite")

    def __init__(self, clause: ClauseElement) -> None:
        self._clause = clause
        self._postgresql = ""
        compiled = clause.compile(dialect=DIALECTS["sqlite"])
        self.sqlite = str(compiled)
        """The text for SQLite's driver."""
        self._literals = {name: value for name, value in compiled.params.items() if value is not None}
        self._places = _in_places(getattr(compiled, "positiontup", None) or ())

    @property
    def postgresql(self) -> str:
        """The text for PostgreSQL's driver, written on first use."""
        if not self._postgresql:
            self._postgresql = str(self._clause.compile(dialect=DIALECTS["postgresql"]))
        return self._postgresql

    def named(self, given: dict[str, object]) -> dict[str, object]:
        """All values that the text names, those that the statement itself holds among them: for PostgreSQL."""
        return {**self._literals, **given} if self._literals else given

    def placed(self, given: dict[str, object]) -> Sequence[object]:
        """The same in the order of the text's places: for SQLite."""
        return self._places({**self._literals, **given} if self._literals else given)


def _in_places(names: Sequence[str]) -> Callable[[dict[str, object]], Sequence[object]]:
    if len(names) > 1:
        return itemgetter(*names)
    return lambda given: [given[name] for name in names]


class Transaction(Protocol):
    """What storage functions write with: both databases ship one. Rows are tuples in the order of the select list."""

    dialect: str
    noted: "list[ChangeNotice]"
    """The notices that this transaction leaves; its own process hears of them as soon as it is committed."""

    def rows(self, statement: Statement, **values: object) -> list[Row]:
        """All rows that the statement returns."""

    def row(self, statement: Statement, **values: object) -> Row | None:
        """The first row, or None."""

    def run(self, statement: Statement, **values: object) -> None:
        """Run a statement that returns nothing."""

    def note(self, statement: Statement, notice: "ChangeNotice", **values: object) -> None:
        """Run a statement that leaves a notice."""

    def leave_no_trace(self) -> None:
        """Ask that what this transaction deletes or overwrites is soon gone from the database's files too, as far as the database can."""


def insert_row(table: Table, *, left_out: tuple[str, ...] = ()) -> Statement:
    """An insert of every column of a table, given by name, but those left to the database."""
    return Statement(insert(table).values(parameters(table, left_out=left_out)))


def parameters(table: Table, *, left_out: tuple[str, ...] = ()) -> dict[str, BindParameter[Any]]:
    """A parameter for every column of a table, of its name."""
    return {column.name: bindparam(column.name) for column in table.columns if column.name not in left_out}
