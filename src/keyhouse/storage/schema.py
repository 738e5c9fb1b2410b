"""The schema and its migrations, forward only, under a lock, safe when several processes start at once. Alembic is imported when needed."""

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import URL, Connection, Engine, create_engine, inspect, text
from sqlalchemy.exc import DBAPIError

from keyhouse.domain.errors import Code, Error
from keyhouse.storage.database import storage_unavailable

HEAD = "0001"
"""The newest schema that this release knows; a test holds it to the migrations."""

_ADVISORY_LOCK = 5560_5560
_MIGRATIONS = Path(__file__).parent / "migrations"


@contextmanager
def start_lock(url: URL) -> Iterator[None]:
    """Held while a process prepares the database: one at a time, on one machine (SQLite) or of all machines (PostgreSQL).

    Raises Error `configuration` where the folder is not writable, `storage_unavailable` where the server does not answer.
    """
    if url.get_backend_name() == "sqlite":
        with _file_lock(Path(f"{url.database}.lock")):
            yield
        return
    engine = create_engine(url, connect_args={"connect_timeout": 5})
    try:
        connection = engine.connect()
    except DBAPIError as failure:
        raise storage_unavailable(f"PostgreSQL at {url.host or 'localhost'}:{url.port or 5432} does not answer.") from failure
    with connection:
        connection.execute(text(f"SELECT pg_advisory_lock({_ADVISORY_LOCK})"))
        yield
    engine.dispose()


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
        raise Error(
            Code.CONFIGURATION,
            f"The database {_shown(url)} cannot be used: {type(failure.orig).__name__}. Check that it is Keyhouse's, whole and writable.",
        ) from failure
    finally:
        engine.dispose()
    return current


def schema_revision(engine: Engine) -> str | None:
    """Which migration ran last; None for an empty database."""
    with engine.connect() as connection:
        if not inspect(connection).has_table("alembic_version"):
            return None
        return connection.execute(text("SELECT version_num FROM alembic_version")).scalar_one_or_none()


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


@contextmanager
def _file_lock(path: Path) -> Iterator[None]:
    try:
        with path.open("a") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield
    except PermissionError:
        raise Error(Code.CONFIGURATION, f"The folder {path.parent} is not writable. Choose another with --data-dir.") from None


def _shown(url: URL) -> str:
    return str(url.database) if url.get_backend_name() == "sqlite" else url.render_as_string(hide_password=True)
