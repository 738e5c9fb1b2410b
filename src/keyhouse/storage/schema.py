"""The schema: which one a database has, and bringing it up to date, forward only, under a lock, when several processes start at once."""

import sqlite3
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, closing, contextmanager
from pathlib import Path

from keyhouse.domain.errors import Code, Error
from keyhouse.storage.database import storage_full
from keyhouse.storage.database_url import DatabaseUrl, SqliteFile
from keyhouse.storage.private_file import close_to_others, lock_beside, make_private
from keyhouse.storage.sqlite_failures import is_full
from keyhouse.storage.statements import Statement, Transaction

HEAD = "0005"
"""The newest schema that this release knows; a test holds it to the migrations."""

_REVISION = Statement("SELECT version_num FROM alembic_version")


def require_driver(url: DatabaseUrl) -> None:
    """Raise Error `configuration` where what opens such a database is not installed."""
    if not isinstance(url, SqliteFile):
        try:
            import psycopg  # noqa: F401
        except ImportError:
            raise Error(
                Code.CONFIGURATION,
                "PostgreSQL needs an extra: run `uv sync --extra postgres` in a clone, else install `keyhouse[postgres]`.",
            ) from None


def start_lock(url: DatabaseUrl) -> AbstractContextManager[None]:
    """Held while a process prepares the database: one at a time, on one machine (SQLite) or of all machines (PostgreSQL).

    Entering raises Error `configuration` where the folder is not writable or the server too old, `storage_unavailable` where it does not
    answer.
    """
    if isinstance(url, SqliteFile):
        return _file_lock(url.path)
    from keyhouse.storage import postgres_server

    return postgres_server.start_lock(url)


def migrate(url: DatabaseUrl) -> None:
    """Bring the schema up to date, an empty database's too. Call it under `start_lock`.

    Raises Error `configuration` where the schema is newer than this release, or the file is not a database.
    """
    with explained(url):
        current = schema_revision(url)
        if current != HEAD:
            from keyhouse.storage import migration

            _require_known(current)
            migration.upgrade(url)


def require_schema(url: DatabaseUrl) -> None:
    """Raise Error `configuration` unless there is a database with the schema of this release. Changes nothing."""
    require_driver(url)
    if isinstance(url, SqliteFile) and not url.path.is_file():
        raise Error(Code.CONFIGURATION, f"There is no database {url.shown}. Choose another folder with --data-dir.")
    with explained(url):
        current = schema_revision(url)
    if current != HEAD:
        _require_known(current)
        raise Error(Code.CONFIGURATION, f"The database {url.shown} has no schema of this release yet. Start Keyhouse on it once.")


def schema_revision(url: DatabaseUrl) -> str | None:
    """Which migration ran last; None for an empty database. Raises what the driver raises."""
    if not isinstance(url, SqliteFile):
        from keyhouse.storage import postgres_server

        return postgres_server.revision(url)
    with closing(sqlite3.connect(url.path)) as connection:
        if connection.execute("SELECT name FROM sqlite_master WHERE name = 'alembic_version'").fetchone() is None:
            return None
        found = connection.execute(_REVISION.sqlite).fetchone()
        return None if found is None else str(found[0])


def revision_of(tx: Transaction) -> str:
    """Which migration ran last."""
    return str(tx.rows(_REVISION)[0][0])


def _require_known(current: str | None) -> None:
    from keyhouse.storage.migration import known_revisions

    if current is not None and current not in known_revisions():
        raise Error(
            Code.CONFIGURATION,
            f"The database's schema is {current}, newer than this release of Keyhouse knows ({HEAD}). "
            "Upgrade Keyhouse; nothing was changed.",
        )


@contextmanager
def _file_lock(path: Path) -> Iterator[None]:
    with ExitStack() as held:
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
        yield


@contextmanager
def explained(url: DatabaseUrl) -> Iterator[None]:
    """What the driver raises, as an error that a person can do something about."""
    try:
        yield
    except _failures(url) as failure:
        if isinstance(failure, sqlite3.Error) and is_full(failure):
            raise storage_full() from failure
        raise Error(
            Code.CONFIGURATION,
            f"The database {url.shown} cannot be used: {type(failure).__name__}. Check that it is Keyhouse's, whole and writable.",
        ) from failure


def _failures(url: DatabaseUrl) -> type[Exception]:
    if isinstance(url, SqliteFile):
        return sqlite3.Error
    import psycopg

    return psycopg.Error
