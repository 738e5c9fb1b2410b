"""Lists in SQL: a list of ids is given as one JSON text, and each database unpacks it in its own way."""

from typing import Any

from sqlalchemy import ColumnElement, bindparam
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement


class _JsonTexts(FunctionElement[str]):
    """The texts of a JSON list, as a subquery."""

    inherit_cache = True


@compiles(_JsonTexts, "sqlite")
def _in_sqlite(element: _JsonTexts, compiler: SQLCompiler, **options: Any) -> str:
    return f"(SELECT value FROM json_each({compiler.process(element.clauses, **options)}))"  # noqa: S608 - the place of a value, no value


@compiles(_JsonTexts, "postgresql")
def _in_postgresql(element: _JsonTexts, compiler: SQLCompiler, **options: Any) -> str:
    return f"(SELECT value FROM json_array_elements_text(CAST({compiler.process(element.clauses, **options)} AS JSON)))"  # noqa: S608 - likewise


def is_one_of(column: ColumnElement[str], parameter: str) -> ColumnElement[bool]:
    """Whether a column is in the list that is given under a parameter's name, as `encoding.encoded` writes it."""
    return column.bool_op("IN")(_JsonTexts(bindparam(parameter)))
