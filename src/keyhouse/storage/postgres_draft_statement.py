"""One statement that writes many drafts of changes to model providers, each of another project, where that is as its draft took it to be.

A statement for each table and change cost a server three times as much, and a transaction around them a further round trip.
"""

import struct
from collections.abc import Callable, Sequence
from typing import Any

from keyhouse.storage import changes, history, model_providers, projects, sealed_values
from keyhouse.storage.drafts import CannotDraft, Draft
from keyhouse.storage.model_providers import STATE
from keyhouse.storage.statements import Statement

Row = tuple[Sequence[bytes | None], Sequence[Sequence[bytes | None]]]
"""A draft as it is sent: its columns, and those of each value that it seals."""

_ADVANCE, _NOTE, _UPDATE, _HISTORY, _AUDIT, _SEALED = (
    projects.ADVANCE,
    changes.NOTE,
    model_providers.UPDATE,
    history.INSERT,
    history.AUDIT,
    sealed_values.INSERT,
)
_ALL = {_ADVANCE, _NOTE, _UPDATE, _HISTORY, _AUDIT}
# Name, type, and which value it is of which of a draft's statements.
_COLUMNS: tuple[tuple[str, str, Statement, str], ...] = (
    ("project_id", "text", _ADVANCE, "row_id"),
    ("revision", "bigint", _ADVANCE, "revision"),
    ("default_model", "text", _ADVANCE, "default_model"),
    ("organization_id", "text", _NOTE, "organization_id"),
    ("row_id", "text", _UPDATE, "row_id"),
    ("version", "bigint", _UPDATE, "version"),
    *((name, "boolean" if name == "enabled" else "text", _UPDATE, name) for name in STATE.split(", ")),
    ("provider", "text", _HISTORY, "provider"),
    ("at", "bigint", _HISTORY, "at"),
    ("actor_id", "text", _HISTORY, "actor_id"),
    ("actor_name", "text", _HISTORY, "actor_name"),
    ("action", "text", _HISTORY, "action"),
    ("fields", "text", _HISTORY, "fields"),
    ("audited", "text", _AUDIT, "action"),
    ("target", "text", _AUDIT, "target"),
)
_SEALED_COLUMNS = (
    ("owner_id", "text"),
    ("id", "text"),
    ("project_id", "text"),
    ("field", "text"),
    ("key_id", "text"),
    ("blob", "bytea"),
)

_MOST_SEALED = 2
"""Of one draft: credentials and headers."""


def _places(columns: Sequence[tuple[str, str]], first: int, suffix: str = "") -> list[str]:
    """What is given from the place `first` on: a value for each column."""
    return [f"${number}::{kind}{suffix}" for number, (_, kind) in enumerate(columns, start=first)]


def _names(columns: Sequence[tuple[str, str]]) -> str:
    return ", ".join(name for name, _ in columns)


# A project that somebody else has locked is passed over: nothing here waits for one, so that none of them holds up the others. What is
# locked is what is written, and told. Later statements see the projects as they were before; of their row only who holds it writes.
def _text(draft: str, sealed: str, value: Callable[[str], str]) -> str:
    """The statement, given how to find what is still as it was drafted, which values to seal, and what stands for a value of a draft."""
    state = ", ".join(value(name) for name in STATE.split(", "))
    return f"""
WITH draft AS MATERIALIZED (
    {draft} AND projects.organization_id = {value("organization_id")}
        AND projects.revision = {value("revision")} - 1 AND projects.archived_at IS NULL
    FOR NO KEY UPDATE OF projects SKIP LOCKED
), advanced AS (
    UPDATE projects SET revision = {value("revision")}, default_model = {value("default_model")}, updated_at = {value("at")}
    FROM draft WHERE projects.id = {value("project_id")}
), noted AS (
    INSERT INTO changes (at, organization_id, project_id, revision, transaction_id)
    SELECT {changes.SERVER_NOW_US}, {value("organization_id")}, {value("project_id")}, {value("revision")}, {changes.TRANSACTION_ID}
    FROM draft
), sealed AS (
    INSERT INTO sealed_values ({_names(_SEALED_COLUMNS)}) {sealed}
), stored AS (
    UPDATE model_providers AS stored SET {", ".join(f"{name} = {value(name)}" for name in STATE.split(", "))},
        version = {value("version")}, revision = {value("revision")}, updated_at = {value("at")}
    FROM draft WHERE stored.id = {value("row_id")}
), told AS (
    INSERT INTO model_provider_history
        (project_id, provider, version, row_id, {STATE}, revision, at, actor_id, actor_name, action, fields)
    SELECT {value("project_id")}, {value("provider")}, {value("version")}, {value("row_id")}, {state}, {value("revision")},
        {value("at")}, {value("actor_id")}, {value("actor_name")}, {value("action")}, {value("fields")} FROM draft
), audited AS (
    INSERT INTO audit_log (organization_id, project_id, at, actor_id, actor_name, action, target)
    SELECT {value("organization_id")}, {value("project_id")}, {value("at")}, {value("actor_id")}, {value("actor_name")},
        {value("audited")}, {value("target")} FROM draft
)
SELECT {value("project_id")} FROM draft"""  # noqa: S608 - names of ours


def _text_of_one() -> str:
    columns = [column[:2] for column in _COLUMNS]
    places = dict(zip((name for name, _ in columns), _places(columns, 1), strict=True))
    given = [", ".join(_places(_SEALED_COLUMNS, 1 + len(columns) + number * len(_SEALED_COLUMNS))) for number in range(_MOST_SEALED)]
    sealed = f"(VALUES ({'), ('.join(given)})) AS given ({_names(_SEALED_COLUMNS)})"
    return _text(
        f"SELECT projects.id FROM projects WHERE projects.id = {places['project_id']}",  # noqa: S608 - names of ours
        f"SELECT given.* FROM draft, {sealed} WHERE given.blob IS NOT NULL",  # noqa: S608
        places.__getitem__,
    )


def _text_of_many() -> str:
    columns = [column[:2] for column in _COLUMNS]
    drafts = f"unnest({', '.join(_places(columns, 1, '[]'))}) AS draft ({_names(columns)})"
    sealed = f"unnest({', '.join(_places(_SEALED_COLUMNS, 1 + len(columns), '[]'))}) AS given ({_names(_SEALED_COLUMNS)})"
    return _text(
        f"SELECT draft.* FROM {drafts} JOIN projects ON projects.id = draft.project_id",  # noqa: S608 - names of ours
        f"SELECT given.* FROM {sealed} WHERE given.project_id IN (SELECT draft.project_id FROM draft)",  # noqa: S608
        lambda name: f"draft.{name}",
    )


TEXT_OF_ONE, TEXT_OF_MANY = _text_of_one(), _text_of_many()
"""What is prepared. Each returns the projects of which the draft was written; of the others nothing was."""


def row_of(draft: Draft) -> Row:
    """A draft as it is sent. Raises CannotDraft where it is of another kind."""
    values, sealed = {}, []
    for statement, given in draft.written:
        if statement is _SEALED:
            sealed.append([_ENCODERS[kind](given[name]) for name, kind in _SEALED_COLUMNS])
        elif statement in values:
            raise CannotDraft
        else:
            values[statement] = given
    if values.keys() != _ALL or len(sealed) > _MOST_SEALED:
        raise CannotDraft
    return [encode(values[statement][name]) for encode, statement, name in _TAKEN], sealed


def of_one(row: Row) -> list[bytes | None]:
    """The values of the statement for one draft, each in the binary format."""
    columns, sealed = row
    return [*columns, *(value for given in sealed for value in given), *_NO_SEALED[len(sealed)]]


def of_many(rows: Sequence[Row]) -> list[bytes | None]:
    """The values of the statement for several drafts, each in the binary format."""
    sealed = [value for row in rows for value in row[1]]
    return [
        *map(_array, _TYPES, zip(*(columns for columns, _ in rows), strict=True)),
        *map(_array, _SEALED_TYPES, zip(*sealed, strict=True) if sealed else [()] * len(_SEALED_COLUMNS)),
    ]


def _array(kind: int, values: Sequence[bytes | None]) -> bytes:
    """As `array_recv` reads it: https://github.com/postgres/postgres/blob/REL_15_STABLE/src/backend/utils/adt/arrayfuncs.c"""
    pieces = [_HEAD.pack(1, 1, kind, len(values), 1) if values else _EMPTY.pack(0, 0, kind)]
    for value in values:
        if value is None:
            pieces.append(_NULL)
        else:
            pieces.append(_SIZE.pack(len(value)))
            pieces.append(value)
    return b"".join(pieces)


_HEAD, _EMPTY, _SIZE, _NUMBER = struct.Struct(">iiIii"), struct.Struct(">iiI"), struct.Struct(">i"), struct.Struct(">q")
_NULL = _SIZE.pack(-1)


def _encoded(value: str | None) -> bytes | None:
    return None if value is None else value.encode()


def _flag(value: bool) -> bytes:
    return b"\x01" if value else b"\x00"


_ENCODERS: dict[str, Callable[[Any], bytes | None]] = {"text": _encoded, "bigint": _NUMBER.pack, "boolean": _flag, "bytea": bytes}
_NUMBERS = {"boolean": 16, "bytea": 17, "bigint": 20, "text": 25}
"""Of types: https://www.postgresql.org/docs/15/catalog-pg-type.html"""
_TYPES = [_NUMBERS[column[1]] for column in _COLUMNS]
_SEALED_TYPES = [_NUMBERS[kind] for _, kind in _SEALED_COLUMNS]
_NO_SEALED = [[None] * (_MOST_SEALED - number) * len(_SEALED_COLUMNS) for number in range(_MOST_SEALED + 1)]
_TAKEN = [(_ENCODERS[kind], statement, name) for _, kind, statement, name in _COLUMNS]
