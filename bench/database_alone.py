"""What the database alone gives for the rows that a PUT writes: the same statements, by somebody who does nothing else.

On SQLite from one process without threads, on PostgreSQL by `pgbench`, a program in C. What is written is what a PUT wrote last, under new
versions, so the house is good for nothing afterwards.
"""

import re
import sqlite3
import subprocess
import time
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Any

import psycopg
from psycopg.rows import dict_row

_FIRST_VERSION = 1_000_000
_HISTORY = """project_id, provider, {version}, row_id, enabled, credential_names, {value}, header_names, headers_id, custom_models,
custom_embeddings_models, {version}, at, actor_id, actor_name, action, fields"""
_HISTORY_COLUMNS = _HISTORY.format(version="{}", value="credentials_id").format("version", "revision")
_LAST = """SELECT p.id AS project, p.organization_id AS organization, m.id AS provider, m.custom_models AS models, m.version AS before,
s.key_id AS key_id, s.blob AS blob
FROM model_providers m JOIN projects p ON p.id = m.project_id JOIN sealed_values s ON s.id = m.credentials_id"""

_NAMES = ("project", "organization", "provider", "models", "before", "key_id", "blob")

_READ = "SELECT id, organization_id, team_id, revision, default_model FROM projects WHERE id = {project} AND archived_at IS NULL"
# The rest of a PUT, in its order.
_WRITES = (
    "UPDATE projects SET revision = {version}, default_model = NULL, updated_at = 1796006792715068 WHERE id = {project}",
    "INSERT INTO changes (at, organization_id, project_id, revision{transaction_column})"
    " VALUES (1796006792715068, {organization}, {project}, {version}{transaction_value})",
    "INSERT INTO sealed_values (owner_id, id, project_id, field, key_id, blob)"
    " VALUES ({provider}, {value}, {project}, 'customKeys', {key_id}, {blob})",
    "UPDATE model_providers SET enabled = TRUE, credentials_id = {value}, custom_models = {models}, version = {version},"
    " revision = {version}, updated_at = 1796006792715068 WHERE id = {provider}",
    f"INSERT INTO model_provider_history ({_HISTORY_COLUMNS}) SELECT {_HISTORY} FROM model_provider_history"
    " WHERE project_id = {project} AND provider = 'openai' AND version = {before}",
    "INSERT INTO audit_log (organization_id, project_id, at, actor_id, actor_name, action, target)"
    " VALUES ({organization}, {project}, 1796006792715155, {project}, 'project key', 'model_provider.updated', {provider})",
)


def sqlite_alone(file: Path, in_a_commit: int, seconds: float) -> float:
    """PUTs a second, so many of different projects in a commit."""
    names = {name: f":{name}" for name in (*_NAMES, "version", "value")}
    statements = [text.format(**names, transaction_column="", transaction_value="") for text in (_READ, *_WRITES)]
    connection = sqlite3.connect(file, isolation_level=None)
    connection.row_factory = sqlite3.Row
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("PRAGMA foreign_keys = ON")
    rows = [dict(row) for row in connection.execute(_LAST)]
    versions = count(_FIRST_VERSION + max(row["before"] for row in rows))
    done, started = 0, time.perf_counter()
    while time.perf_counter() - started < seconds:
        connection.execute("BEGIN IMMEDIATE")
        for place in range(in_a_commit):
            row, version = rows[place % len(rows)], next(versions)
            values = {**row, "version": version, "value": f"value_{version}"}
            for statement in statements:
                connection.execute(statement, values).fetchone()
        connection.execute("COMMIT")
        done += in_a_commit
    elapsed = time.perf_counter() - started
    connection.close()
    return done / elapsed


def postgres_alone(url: str, folder: Path, clients: int, seconds: float) -> float:
    """PUTs a second of so many connections, in the two round trips that a PUT takes: what is written depends on what was read."""
    with psycopg.connect(url, autocommit=True, row_factory=dict_row) as connection:
        rows = connection.execute(_LAST).fetchall()
    values = [item for number, row in enumerate(rows[:clients]) for item in _variables(number, row)]
    script = folder / "put.sql"
    choices = [line for number in range(clients) for line in (f"\\if :client_id = {number}", *_put_of(number), "\\endif")]
    script.write_text("\n".join([f"\\set version random({_FIRST_VERSION}, 2000000000)", *choices]))
    command = [
        "pgbench",
        "-n",
        "-M",
        "prepared",
        "-c",
        str(clients),
        "-j",
        "1",
        "-T",
        str(max(1, round(seconds))),
        "-f",
        str(script),
        *values,
        url,
    ]
    said = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    if (failed := re.search(r"number of failed transactions: (\d+)", said)) and int(failed[1]):
        raise SystemExit(f"pgbench: {failed[0]}")
    return float(re.search(r"tps = ([\d.]+)", said)[1])  # type: ignore[index]


def _variables(number: int, row: dict[str, Any]) -> Iterator[str]:
    """One client's values, as options of pgbench."""
    for name in _NAMES:
        value = row[name]
        text = "\\x" + value.hex() if isinstance(value, bytes) else value
        yield f"--define={name}_{number}={text}"


def _put_of(number: int) -> list[str]:
    """One client's PUT, as lines for pgbench."""
    own = {"version": ":version", "value": f"'value_' || :version || '_{number}'", "transaction_column": ", transaction_id"}
    names = {**{name: f":{name}_{number}" for name in _NAMES}, **own, "transaction_value": ", pg_current_xact_id()::text::bigint"}
    read, *writes = (text.format(**names).replace("\n", " ") for text in (_READ, *_WRITES))
    first = ["\\startpipeline", "BEGIN ISOLATION LEVEL READ COMMITTED;", f"{read} FOR UPDATE;", "\\endpipeline"]
    return [*first, "\\startpipeline", *(f"{write};" for write in writes), "COMMIT;", "\\endpipeline"]
