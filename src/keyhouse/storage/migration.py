"""Runs the migrations. The only way to Alembic: import this when a migration must run.

A server that starts on a schema of its own release never does.
"""

import sqlite3
from pathlib import Path
from typing import Any

from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, Engine, NullPool, create_engine
from sqlalchemy.exc import DBAPIError

from keyhouse.storage.database_url import DatabaseUrl, SqliteFile

_MIGRATIONS = Path(__file__).parent / "migrations"


def known_revisions() -> frozenset[str]:
    """Every schema that this release can bring up to date, or is up to date with."""
    return frozenset(script.revision for script in ScriptDirectory(str(_MIGRATIONS)).walk_revisions())


def upgrade(url: DatabaseUrl) -> None:
    """Run the migrations that have not run on a database, all or none. Raises what its driver raises."""
    config = Config()
    config.set_main_option("script_location", str(_MIGRATIONS))
    engine = engine_of(url)
    try:
        with engine.connect() as connection:
            begin(connection)
            config.attributes["connection"] = connection
            command.upgrade(config, "head")
            connection.commit()
    except DBAPIError as failure:
        raise failure.orig or failure from None
    finally:
        engine.dispose()


def engine_of(url: DatabaseUrl) -> Engine:
    """SQLAlchemy's way to a database, over connections of ours."""
    if isinstance(url, SqliteFile):
        return create_engine("sqlite://", creator=lambda: sqlite3.connect(url.path), poolclass=NullPool)
    from keyhouse.storage.postgres_server import connect

    return create_engine("postgresql+psycopg://", creator=lambda: connect(url), poolclass=NullPool)


def begin(connection: Connection, sqlite: str = "BEGIN IMMEDIATE") -> None:
    """One transaction around all that follows: what is killed leaves nothing, what is done lasts. PostgreSQL's driver begins by itself.

    It takes as long as it takes, whatever the server's administrators allow other transactions.
    """
    if connection.dialect.name == "sqlite":
        driver: Any = connection.connection.driver_connection
        driver.isolation_level = None
        connection.exec_driver_sql(sqlite)
    else:
        from keyhouse.storage.postgres_server import LASTING

        connection.exec_driver_sql(LASTING)
        connection.exec_driver_sql("SET LOCAL idle_in_transaction_session_timeout = 0; SET LOCAL statement_timeout = 0")
