"""Statements: what each driver is given, and that each database takes every one of them."""

import ast
import re
import sqlite3
from functools import partial
from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules

import psycopg
import pytest

from keyhouse import storage
from keyhouse.storage.opening import Storage
from keyhouse.storage.statements import Statement, Transaction, assignments, insert_into, is_one_of
from keyhouse.storage.tables import metadata
from tests.storage.houses import run_on, settings_of

MODULES = {module.name: import_module(f"keyhouse.storage.{module.name}") for module in iter_modules(storage.__path__)}
STATEMENTS = {
    f"{name}.{variable}": value
    for name, module in MODULES.items()
    for variable, value in vars(module).items()
    if isinstance(value, Statement)
}
NUMBERED_BY_THE_DATABASE = {"changes", "audit_log"}
INSERT = re.compile(r"\s*INSERT INTO (\w+) \(([\w, ]+)\)")
UNPACKED = "json_array_elements_text(CAST($1 AS JSON))"


@pytest.mark.parametrize(
    ("text", "sqlite", "postgresql", "names"),
    [
        ("SELECT 1", "SELECT 1", "SELECT 1", ""),
        ("a = :a AND b = :b2_c", "a = ? AND b = ?", "a = $1 AND b = $2", "a b2_c"),
        ("VALUES(:a,:b),(:b,:a)", "VALUES(?,?),(?,?)", "VALUES($1,$2),($2,$1)", "a b b a"),
        ("a = ':a' AND b = :b", "a = ':a' AND b = ?", "a = ':a' AND b = $1", "b"),
        ("a = 'it''s :a' AND b = :b", "a = 'it''s :a' AND b = ?", "a = 'it''s :a' AND b = $1", "b"),
        ("'' || :a || ''':b'", "'' || ? || ''':b'", "'' || $1 || ''':b'", "a"),
        ('SELECT ":a", :a', 'SELECT ":a", ?', 'SELECT ":a", $1', "a"),
        ("SELECT :a::text::bigint", "SELECT ?::text::bigint", "SELECT $1::text::bigint", "a"),
        ("a LIKE 'x%:a' AND b % :b = 0", "a LIKE 'x%:a' AND b % ? = 0", "a LIKE 'x%:a' AND b % $1 = 0", "b"),
        ("SELECT x WHERE y = :y FOR UPDATE", "SELECT x WHERE y = ?", "SELECT x WHERE y = $1 FOR UPDATE", "y"),
        ("SELECT x FOR UPDATE SKIP LOCKED", "SELECT x", "SELECT x FOR UPDATE SKIP LOCKED", ""),
        (is_one_of("a", "l"), "a IN (SELECT value FROM json_each(?))", f"a IN (SELECT value FROM {UNPACKED})", "l"),
        ("json_each_text(CAST(:m AS JSON)) g", "json_each(?) g", "json_each_text(CAST($1 AS JSON)) g", "m"),
        (f"SET {assignments('a, b')}", "SET a = ?, b = ?", "SET a = $1, b = $2", "a b"),
    ],
)
def test_a_text_becomes_what_each_driver_takes(text: str, sqlite: str, postgresql: str, names: str) -> None:
    statement = Statement(text)
    assert (statement.sqlite, statement.postgresql) == (sqlite, postgresql)
    given: dict[str, object] = {name: f"the {name}" for name in ("a", "b", "b2_c", "l", "m", "y", "more")}
    assert list(statement.placed(given)) == [given[name] for name in names.split()]


def test_pieces_make_one_text_and_each_database_may_have_its_own() -> None:
    statement = Statement("SELECT now()", "- :since", sqlite="SELECT :now - :since")
    assert (statement.postgresql, statement.sqlite) == ("SELECT now() - $1", "SELECT ? - ?")
    assert list(statement.placed({"since": 1, "now": 2})) == [2, 1]


def test_a_value_that_is_not_given_is_missed() -> None:
    with pytest.raises(KeyError):
        insert_into("installation", "name, value").placed({"name": "x"})


def test_each_database_takes_every_statement(tmp_path: Path, database_url: str) -> None:
    refused: dict[str, str] = {}

    async def explain_all(opened: Storage) -> None:
        for place, statement in STATEMENTS.items():
            try:
                await opened.database.read(partial(explain, statement))
            except (sqlite3.Error, psycopg.Error) as failure:
                refused[place] = str(failure)

    run_on(settings_of(tmp_path, database_url), explain_all)
    assert refused == ({} if database_url.startswith("postgresql") else {"postgres._NOTIFY": "no such function: pg_notify"})


def explain(statement: Statement, tx: Transaction) -> None:
    explained = Statement()
    explained.sqlite, explained.postgresql = f"EXPLAIN {statement.sqlite}", f"EXPLAIN {statement.postgresql}"
    explained.placed, explained.names = statement.placed, statement.names
    tx.rows(explained, **dict.fromkeys([*statement.names, "at", "before"]))


def test_statements_are_written_where_they_are_found() -> None:
    for name, module in MODULES.items():
        if name == "statements" or not module.__file__ or not module.__file__.endswith(f"{name}.py"):
            continue
        tree = ast.parse(Path(module.__file__).read_text())
        kept = [node.value for node in tree.body if isinstance(node, ast.Assign)]
        assert [node for node in ast.walk(tree) if makes_statement(node) and node not in kept] == [], name


def makes_statement(node: ast.AST) -> bool:
    return isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in ("Statement", "insert_into")


def test_an_insert_names_every_column() -> None:
    found = [match for known in STATEMENTS.values() for text in (known.sqlite, known.postgresql) if (match := INSERT.match(text))]
    for table, columns in (match.groups() for match in found):
        named = columns.split(", ")
        expected = {column.name for column in metadata.tables[table].columns} - ({"id"} if table in NUMBERED_BY_THE_DATABASE else set())
        assert (len(named), set(named)) == (len(expected), expected), table
    assert {match[1] for match in found} == set(metadata.tables)
