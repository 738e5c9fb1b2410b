"""The schema and its migrations, forward only, under a lock, safe when several processes start at once. Alembic is imported when needed."""

import contextlib
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import URL, Connection, Engine, create_engine, inspect, text
from sqlalchemy.exc import DBAPIError

from keyhouse.domain.errors import Code, Error
from keyhouse.storage.database import storage_full, storage_unavailable
from keyhouse.storage.private_file import close_to_others, lock_beside, make_private
from keyhouse.storage.sqlite import is_full
from keyhouse.storage.statements import Statement, Transaction

HEAD = "0004"
"""The newest schema that this release knows; a test holds it to the migrations."""

_ADVISORY_LOCK = 5560_5560
_OLDEST_POSTGRESQL = (15,)
_REVISION = Statement("SELECT version_num FROM alembic_version")
_MIGRATIONS = Path(__file__).parent / "migrations"


@contextmanager
def start_lock(url: URL) -> Iterator[None]:
    """Held while a process prepares the database: one at a time, on one machine (SQLite) or of all machines (PostgreSQL).

    Raises Error `configuration` where the folder is not writable, `storage_unavailable` where the server does not answer.
    """
    with contextlib.ExitStack() as held:
        if url.get_backend_name() == "sqlite":
            _lock_file(held, Path(str(url.database)))
        else:
            _lock_server(held, url)
        yield


def migrate(url: URL) -> str | None:
    """Bring the schema up to date; returns the revision it had before, None for an empty database. Call it under `start_lock`.

    Raises Error `configuration` where the schema is newer than this release, or the file is not a database.
    """
    engine = create_engine(url)
    try:
        current = schema_revision(engine)
        if current != HEAD:
            _require_known(current)
            _upgrade(engine)
    except DBAPIError as failure:
        raise _unusable(url, failure) from failure
    finally:
        engine.dispose()
    return current


def schema_revision(engine: Engine) -> str | None:
    """Which migration ran last; None for an empty database."""
    with engine.connect() as connection:
        if not inspect(connection).has_table("alembic_version"):
            return None
        return connection.execute(text("SELECT version_num FROM alembic_version")).scalar_one_or_none()


def require_schema(url: URL) -> None:
    """Raise Error `configuration` unless there is a database with the schema of this release. Changes nothing."""
    if url.get_backend_name() == "sqlite" and not Path(str(url.database)).is_file():
        raise Error(Code.CONFIGURATION, f"There is no database {url.database}. Choose another folder with --data-dir.")
    engine = create_engine(url)
    try:
        current = schema_revision(engine)
    except DBAPIError as failure:
        raise _unusable(url, failure) from failure
    finally:
        engine.dispose()
    _require_known(current)
    if current != HEAD:
        raise Error(Code.CONFIGURATION, f"The database {_shown(url)} has no schema of this release yet. Start Keyhouse on it once.")


def revision_of(tx: Transaction) -> str:
    """Which migration ran last."""
    return str(tx.rows(_REVISION)[0][0])


def _require_known(current: str | None) -> None:
    from alembic.script import ScriptDirectory

    known = {script.revision for script in ScriptDirectory(str(_MIGRATIONS)).walk_revisions()}
    if current is not None and current not in known:
        raise Error(
            Code.CONFIGURATION,
            f"The database's schema is {current}, newer than this release of Keyhouse knows ({HEAD}). "
            "Upgrade Keyhouse; nothing was changed.",
        )


def _upgrade(engine: Engine) -> None:
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(_MIGRATIONS))
    with engine.connect() as connection:
        _begin(connection)
        config.attributes["connection"] = connection
        command.upgrade(config, "head")
        connection.commit()


def _begin(connection: Connection) -> None:
    """One transaction around all of it: a migration that is killed leaves nothing."""
    if connection.dialect.name == "sqlite":
        driver: Any = connection.connection.driver_connection
        driver.isolation_level = None
        connection.exec_driver_sql("BEGIN IMMEDIATE")


def _lock_file(held: contextlib.ExitStack, path: Path) -> None:
    try:
        held.enter_context(lock_beside(path))
        make_private(path)
        for beside in ("-wal", "-shm"):
            close_to_others(path.with_name(path.name + beside))
    except OSError as problem:
        raise Error(
            Code.CONFIGURATION,
            f"The database {path} cannot be opened for writing ({problem.strerror}). "
            "Keyhouse must be able to write that file and its folder; choose another folder with --data-dir.",
        ) from None


def _lock_server(held: contextlib.ExitStack, url: URL) -> None:
    engine = create_engine(url, connect_args={"connect_timeout": 5}, isolation_level="AUTOCOMMIT")
    held.callback(engine.dispose)
    try:
        connection = held.enter_context(engine.connect())
        connection.execute(text(f"SELECT pg_advisory_lock({_ADVISORY_LOCK})"))
    except DBAPIError as failure:
        where = f"{url.host or 'localhost'}:{url.port or 5432}"
        raise storage_unavailable(f"PostgreSQL at {where} does not answer, or refuses the user or the database.") from failure
    if (connection.dialect.server_version_info or ()) < _OLDEST_POSTGRESQL:
        raise Error(Code.CONFIGURATION, f"PostgreSQL {_OLDEST_POSTGRESQL[0]} or newer is needed. This server is older.")


def _unusable(url: URL, failure: DBAPIError) -> Error:
    if isinstance(failure.orig, sqlite3.Error) and is_full(failure.orig):
        return storage_full()
    why = type(failure.orig).__name__
    return Error(Code.CONFIGURATION, f"The database {_shown(url)} cannot be used: {why}. Check that it is Keyhouse's, whole and writable.")


def _shown(url: URL) -> str:
    return str(url.database) if url.get_backend_name() == "sqlite" else url.render_as_string(hide_password=True)
