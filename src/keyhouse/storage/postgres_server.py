"""What a start asks of a PostgreSQL server before it opens the database on it. psycopg comes with the extra `postgres`."""

import re
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Any

import psycopg

from keyhouse.domain.errors import Code, Error
from keyhouse.storage.database import storage_unavailable
from keyhouse.storage.database_url import PostgresServer
from keyhouse.storage.lock_waiting import take_lock

Connection = psycopg.Connection[tuple[Any, ...]]
_ADVISORY_LOCK = 5560_5560
_CONNECT_TIMEOUT_S = 5
_OLDEST = 15
_ENCODINGS = ("UTF8", "SQL_ASCII")
"""Those that keep the bytes of every UTF-8 text."""
PATIENCE_S = 10.0
"""How long a server may say nothing to a question, or a question wait in line. One that is frozen keeps its connections open."""
BOUND_LOCKS = "SET lock_timeout = '8s'"
"""Run first on a connection: who waits for a lock is told so in time, and no wait goes on behind a connection that was given up."""
LASTING = "SELECT set_config('synchronous_commit', 'on', false) WHERE current_setting('synchronous_commit') = 'off'"
"""Run then: what is committed is on the disk, also where other applications of the server need not wait for it."""
CONNECTION_LOST = (None, "57P01", "57P02")
"""No answer at all, or the server says that it shuts down: https://www.postgresql.org/docs/15/errcodes-appendix.html"""

_REFUSALS = tuple(
    (re.compile(theirs), ours)
    for theirs, ours in (
        (r'role ".*" does not exist', "does not know the user"),
        (r'database ".*" does not exist', "has no database of this name"),
        ("password authentication failed", "refuses the user or the password"),
        ("no password supplied", "wants a password"),
        ("no pg_hba.conf entry", "lets nobody in from here as this user, or not in this way (pg_hba.conf)"),
        ("does not support SSL", "speaks no TLS, which `sslmode` asks for"),
        ("certificate verify failed", "has a certificate that `sslrootcert` does not vouch for"),
        ("does not match host name", "has a certificate of another name"),
        ("root certificate file", "cannot be checked: the file that `sslrootcert` names is not there"),
        ("failed to resolve host|could not translate host name", "has a name that is not known here"),
    )
)
"""What the server or libpq says, in English, and what is told of it: their own words name the user and more."""
POOLED = (
    "the pooler in front of PostgreSQL gives each transaction another session. Let it give each connection its own, as PgBouncer does "
    "with pool_mode=session."
)


class NoAnswer(psycopg.OperationalError):
    """The server was asked, and said nothing for `PATIENCE_S`. The connection is of no use any more."""


def connect(server: PostgresServer, *, autocommit: bool = False) -> Connection:
    """A connection. Raises psycopg.Error."""
    return psycopg.connect(server.conninfo, autocommit=autocommit, connect_timeout=_CONNECT_TIMEOUT_S, client_encoding="UTF8")


@contextmanager
def start_lock(server: PostgresServer) -> Iterator[None]:
    """See schema.start_lock. A transaction holds it, not a session: one of those may be a pooler's, and outlive ours with all its locks."""
    # The lock is given up by closing: where the session was ended meanwhile there is nothing to commit.
    with closing(_reached(server, autocommit=True)) as connection:
        try:
            _require_sessions(connection, server)
            connection.autocommit = False
            connection.execute(
                "SET LOCAL idle_in_transaction_session_timeout = 0; SET LOCAL statement_timeout = 0; SET LOCAL lock_timeout = 0"
            )
            take_lock(
                lambda: connection.execute("SELECT pg_try_advisory_xact_lock(%s)", [_ADVISORY_LOCK]).fetchone() == (True,),
                lambda: connection.execute("SELECT pg_advisory_xact_lock(%s)", [_ADVISORY_LOCK]),
                "prepares this database",
            )
        except psycopg.Error as failure:
            raise _not_reached(server, failure) from failure
        if connection.info.server_version < _OLDEST * 10_000:
            raise Error(Code.CONFIGURATION, f"PostgreSQL {_OLDEST} or newer is needed. This server is older.")
        if (encoding := connection.info.parameter_status("server_encoding")) not in _ENCODINGS:
            raise Error(
                Code.CONFIGURATION,
                f"The database's encoding is {encoding}, which has no place for every text. Make another one: "
                "CREATE DATABASE keyhouse ENCODING 'UTF8' TEMPLATE template0.",
            )
        yield


def _reached(server: PostgresServer, *, autocommit: bool = False) -> Connection:
    try:
        return connect(server, autocommit=autocommit)
    except psycopg.Error as failure:
        raise _not_reached(server, failure) from failure


def _require_sessions(connection: Connection, server: PostgresServer) -> None:
    """Raise Error `storage_unavailable` where two connections are seen to share a session.

    PgBouncer prepares statements in whatever session comes next, from 1.21 on, so that nothing else tells of it; but settings go to other
    applications then, and notices to nobody. https://www.pgbouncer.org/config.html#max_prepared_statements (2026-11-29)
    """
    with connect(server, autocommit=True) as another:
        sessions = {(_session(connection), _session(another)) for _ in range(2)}
    if len(sessions) > 1 or any(ours == other for ours, other in sessions):
        raise storage_unavailable(POOLED)


def _session(connection: Connection) -> tuple[object, ...] | None:
    """Which one a connection has now. There are proxies that give it its own only once it sets something."""
    connection.execute("SET keyhouse.session = on")
    return connection.execute("SELECT pg_backend_pid()").fetchone()


def _not_reached(server: PostgresServer, failure: psycopg.Error) -> Error:
    said = str(failure)
    why = next((ours for theirs, ours in _REFUSALS if theirs.search(said)), "does not answer, or refuses the user or the database")
    return storage_unavailable(f"PostgreSQL at {server.hosts} {why}.")


def revision(server: PostgresServer) -> str | None:
    """See schema.schema_revision. Raises Error `storage_unavailable` where nobody answers."""
    with _reached(server) as connection:
        if connection.execute("SELECT to_regclass('alembic_version')").fetchone() == (None,):
            return None
        found = connection.execute("SELECT version_num FROM alembic_version").fetchone()
        return None if found is None else str(found[0])
