"""One text for both databases: SQLAlchemy writes each statement once per dialect, the driver runs it. No connection here."""

from typing import TYPE_CHECKING, Any, Protocol

from sqlalchemy import BindParameter, ClauseElement, Table, bindparam, insert
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import Dialect

if TYPE_CHECKING:
    from keyhouse.storage.database import ChangeNotice

Row = Any
"""A named tuple's worth of columns; its shape is the statement's select list."""

DIALECTS: dict[str, Dialect] = {
    "sqlite": sqlite.dialect(paramstyle="named"),
    "postgresql": postgresql.psycopg.dialect(),  # type: ignore[no-untyped-call]
}


class Statement:
    """A statement and its text in each dialect, written on first use. Parameters are given by name.

    Running it costs what the driver costs: nothing is compiled again (a Core execution costs some 50 microseconds more).
    """

    __slots__ = ("_clause", "_texts", "literals")

    def __init__(self, clause: ClauseElement) -> None:
        self._clause = clause
        self._texts: dict[str, str] = {}
        compiled = clause.compile(dialect=DIALECTS["sqlite"])
        self.literals = {name: value for name, value in compiled.params.items() if value is not None}
        """Values that the statement itself holds, by the names its text gives them."""

    def values(self, given: dict[str, object]) -> dict[str, object]:
        """All values that the text names."""
        return {**self.literals, **given} if self.literals else given

    def text(self, dialect: str) -> str:
        """The statement as the driver of `dialect` ("sqlite" or "postgresql") takes it."""
        text = self._texts.get(dialect)
        if text is None:
            text = self._texts[dialect] = str(self._clause.compile(dialect=DIALECTS[dialect]))
        return text


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

    def leave_no_trace(self) -> None:
        """Ask that what this transaction deletes or overwrites is soon gone from the database's files too, as far as the database can."""


def insert_row(table: Table, *, left_out: tuple[str, ...] = ()) -> Statement:
    """An insert of every column of a table, given by name, but those left to the database."""
    return Statement(insert(table).values(parameters(table, left_out=left_out)))


def parameters(table: Table, *, left_out: tuple[str, ...] = ()) -> dict[str, BindParameter[Any]]:
    """A parameter for every column of a table, of its name."""
    return {column.name: bindparam(column.name) for column in table.columns if column.name not in left_out}
