"""The schema: what the migrations build is what the tables say, and a start on anything else stops with a sentence."""

import logging
import os
import sqlite3
import stat
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

import psycopg
import pytest
from alembic.autogenerate import compare_metadata
from alembic.command import upgrade
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import inspect, text

from keyhouse.domain.errors import Code, Error
from keyhouse.storage.database_url import parse_database_url
from keyhouse.storage.migration import begin, engine_of
from keyhouse.storage.schema import HEAD, migrate, require_schema, schema_revision, start_lock
from keyhouse.storage.tables import metadata
from tests.conftest import PostgresServer

MIGRATIONS = Path(__file__).parents[2] / "src/keyhouse/storage/migrations"
REVISIONS = [script.revision for script in ScriptDirectory(str(MIGRATIONS)).walk_revisions()]


def shape(url: str) -> dict[str, Any]:
    """Tables, columns, keys and indexes as the database tells them."""
    engine = engine_of(parse_database_url(url))
    found = inspect(engine)
    tables = {
        name: {
            "columns": {
                column["name"]: (str(column["type"]), column["nullable"], column["default"], column.get("autoincrement"))
                for column in found.get_columns(name)
            },
            "primary key": found.get_pk_constraint(name),
            "foreign keys": sorted(found.get_foreign_keys(name), key=str),
            "unique": sorted(found.get_unique_constraints(name), key=str),
            "indexes": sorted((index_shape(index) for index in found.get_indexes(name)), key=str),
            "options": found.get_table_options(name) if engine.dialect.name == "sqlite" else None,
        }
        for name in found.get_table_names()
        if name != "alembic_version"
    }
    engine.dispose()
    return tables


def index_shape(index: Any) -> dict[str, Any]:
    options = {name: str(value) for name, value in index.pop("dialect_options", {}).items()}
    return {**index, "options": options}


def migrated_to(url: str, revision: str) -> None:
    engine = engine_of(parse_database_url(url))
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        upgrade(config, revision)
    engine.dispose()


@pytest.fixture
def other_database_url(request: pytest.FixtureRequest, empty_database_url: str, tmp_path: Path) -> str:
    if empty_database_url.startswith("sqlite"):
        return f"sqlite:///{tmp_path / 'other.db'}"
    server: PostgresServer = request.getfixturevalue("postgres_server")
    return server.empty_database()


def test_the_release_knows_its_newest_migration() -> None:
    assert ScriptDirectory(str(MIGRATIONS)).get_current_head() == HEAD


def test_migrations_build_what_the_tables_say(empty_database_url: str, other_database_url: str) -> None:
    migrate(parse_database_url(empty_database_url))
    engine = engine_of(parse_database_url(other_database_url))
    metadata.create_all(engine)
    engine.dispose()
    assert shape(empty_database_url) == shape(other_database_url)


def test_alembic_finds_no_difference(empty_database_url: str) -> None:
    url = parse_database_url(empty_database_url)
    migrate(url)
    engine = engine_of(url)
    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True, "compare_server_default": True})
        assert compare_metadata(context, metadata) == []
    engine.dispose()


@pytest.mark.parametrize("revision", REVISIONS)
def test_every_released_schema_becomes_the_newest(empty_database_url: str, other_database_url: str, revision: str) -> None:
    migrated_to(empty_database_url, revision)
    assert schema_revision(parse_database_url(empty_database_url)) == revision
    migrate(parse_database_url(empty_database_url))
    migrate(parse_database_url(other_database_url))
    assert shape(empty_database_url) == shape(other_database_url)
    require_schema(parse_database_url(empty_database_url))


def test_sealed_values_are_moved_and_no_second_copy_of_them_stays(tmp_path: Path) -> None:
    file = tmp_path / "keyhouse.db"
    url = f"sqlite:///{file}"
    migrated_to(url, "0004")
    rows = [(f"owner_{number % 7}", f"value_{number:04}", "p", "f", "key", os.urandom(300 + 40 * (number % 90))) for number in range(300)]
    with closing(sqlite3.connect(file)) as connection, connection:
        connection.execute("INSERT INTO encryption_keys VALUES ('key', x'00', 1)")
        connection.executemany("INSERT INTO sealed_values (owner_id, id, project_id, field, key_id, blob) VALUES (?, ?, ?, ?, ?, ?)", rows)
    migrate(parse_database_url(url))
    assert sorted(path.name for path in tmp_path.glob("keyhouse.db*")) == ["keyhouse.db"]
    with closing(sqlite3.connect(file)) as connection:
        found = connection.execute("SELECT owner_id, id, project_id, field, key_id, blob FROM sealed_values ORDER BY id").fetchall()
        assert connection.execute("PRAGMA foreign_key_check").fetchall() == []
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    assert found == rows
    on_disk = file.read_bytes()
    assert [value_id for _, value_id, *_, blob in rows if on_disk.count(blob[:100]) != 1] == []


def test_a_newer_schema_stops_and_stays(empty_database_url: str) -> None:
    url = parse_database_url(empty_database_url)
    migrate(url)
    engine = engine_of(url)
    with engine.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    before = shape(empty_database_url)
    for check in (migrate, require_schema):
        with pytest.raises(Error, match=r"schema is 9999, newer than .* Upgrade Keyhouse; nothing was changed\."):
            check(url)
    with engine.connect() as connection:
        assert connection.execute(text("SELECT version_num FROM alembic_version")).scalar() == "9999"
    engine.dispose()
    assert shape(empty_database_url) == before


def test_a_migration_that_fails_leaves_nothing(empty_database_url: str) -> None:
    url = parse_database_url(empty_database_url)
    engine = engine_of(url)
    with engine.begin() as connection:
        connection.execute(text("CREATE TABLE model_providers (id TEXT)"))
    with pytest.raises(Error, match="cannot be used"):
        migrate(url)
    assert set(inspect(engine).get_table_names()) == {"model_providers"}
    engine.dispose()


def test_what_is_no_database_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "keyhouse.db"
    path.write_bytes(b"these are somebody's notes, not a database\n" * 100)
    before = path.read_bytes()
    url = parse_database_url(f"sqlite:///{path}")
    for check in (migrate, require_schema):
        with pytest.raises(Error, match=f"The database {path} cannot be used") as refused:
            check(url)
        assert refused.value.code is Code.CONFIGURATION
    assert path.read_bytes() == before


def test_asking_for_the_schema_makes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "keyhouse.db"
    with pytest.raises(Error, match="There is no database"):
        require_schema(parse_database_url(f"sqlite:///{path}"))
    assert list(tmp_path.iterdir()) == []
    sqlite3.connect(path).close()
    path.touch()
    with pytest.raises(Error, match="no schema of this release"):
        require_schema(parse_database_url(f"sqlite:///{path}"))


def test_a_start_closes_the_files_of_a_database_to_others(tmp_path: Path) -> None:
    """As where it was put back from a backup."""
    files = [tmp_path / f"keyhouse.db{end}" for end in ("", "-wal", "-shm")]
    for file in files:
        file.touch()
        file.chmod(0o644)
    with start_lock(parse_database_url(f"sqlite:///{files[0]}")):
        assert [stat.S_IMODE(file.stat().st_mode) for file in files] == [0o600] * 3


def test_a_folder_in_which_nothing_can_be_written_is_named(tmp_path: Path) -> None:
    url = parse_database_url(f"sqlite:///{tmp_path / 'missing' / 'keyhouse.db'}")
    with pytest.raises(Error, match=r"cannot be opened for writing \(No such file or directory\)") as refused, start_lock(url):
        pass
    assert refused.value.code is Code.CONFIGURATION


def test_a_migration_that_was_begun_and_noted_nothing_is_begun_again(tmp_path: Path) -> None:
    url = parse_database_url(f"sqlite:///{tmp_path / 'keyhouse.db'}")
    with closing(sqlite3.connect(tmp_path / "keyhouse.db")) as connection:
        connection.execute("CREATE TABLE alembic_version (version_num VARCHAR(32) NOT NULL)")
    assert schema_revision(url) is None
    migrate(url)
    assert schema_revision(url) == HEAD


def test_one_process_at_a_time_prepares_a_server(postgres_server: PostgresServer) -> None:
    url = parse_database_url(postgres_server.empty_database())
    engine = engine_of(url)
    probe = text("SELECT pg_try_advisory_lock(55605560)")
    with start_lock(url), engine.connect() as other:
        assert other.execute(probe).scalar() is False
    with engine.connect() as other:
        assert other.execute(probe).scalar() is True
    engine.dispose()


class Listener(logging.Handler):
    """Hears what is logged."""

    def __init__(self) -> None:
        super().__init__()
        self.line = ""
        self.heard = threading.Event()

    def emit(self, record: logging.LogRecord) -> None:
        self.line = record.getMessage()
        self.heard.set()


def test_who_waits_for_another_start_is_told(empty_database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("keyhouse.storage.lock_waiting.SAID_AFTER_S", 0.0)
    url = parse_database_url(empty_database_url)
    listener, entered = Listener(), threading.Event()
    logging.getLogger("keyhouse.storage").addHandler(listener)

    def start() -> None:
        with start_lock(url):
            entered.set()

    second = threading.Thread(target=start)
    with start_lock(url):
        second.start()
        assert listener.heard.wait(30)
        assert "Waiting for another process" in listener.line
        assert not entered.is_set()
    second.join(30)
    logging.getLogger("keyhouse.storage").removeHandler(listener)
    assert entered.is_set()


@pytest.mark.parametrize("limit", ["statement_timeout", "lock_timeout"])
def test_who_waits_for_another_start_waits_longer_than_others_may(
    postgres_server: PostgresServer, monkeypatch: pytest.MonkeyPatch, limit: str
) -> None:
    """Whatever administrators allow a statement, or a wait for a lock."""
    monkeypatch.setattr("keyhouse.storage.lock_waiting.SAID_AFTER_S", 0.0)
    name = postgres_server.empty_database()
    url = parse_database_url(name)
    with psycopg.connect(name, autocommit=True) as administrator, ThreadPoolExecutor(1) as pool:
        administrator.execute(f"ALTER DATABASE {administrator.info.dbname} SET {limit} = '100ms'".encode())
        with start_lock(url):
            waiting = pool.submit(start_lock(url).__enter__)
            while administrator.execute("SELECT FROM pg_locks WHERE locktype = 'advisory' AND NOT granted").fetchone() is None:
                assert not waiting.done()
            with psycopg.connect(name) as other, pytest.raises(psycopg.errors.OperationalError):
                other.execute("SELECT pg_advisory_xact_lock(55605560)")
            assert not waiting.done()
        waiting.result(30)


def test_who_waits_for_another_start_on_a_server_that_goes_away_is_told(postgres_server: PostgresServer) -> None:
    url = postgres_server.empty_database()
    ended = "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"
    waiting = ThreadPoolExecutor(1)
    with psycopg.connect(url, autocommit=True) as administrator, start_lock(parse_database_url(url)):
        told = waiting.submit(start_lock(parse_database_url(url)).__enter__)
        while not told.done():
            administrator.execute(ended)
        error = told.exception()
    waiting.shutdown()
    assert isinstance(error, Error)
    assert error.code is Code.STORAGE_UNAVAILABLE


def test_a_database_that_has_no_place_for_every_text_is_refused(postgres_server: PostgresServer) -> None:
    with psycopg.connect(postgres_server.url("postgres"), autocommit=True) as connection:
        connection.execute("CREATE DATABASE latin ENCODING 'LATIN1' LC_COLLATE 'C' LC_CTYPE 'C' TEMPLATE template0")
    with pytest.raises(Error, match="ENCODING 'UTF8'") as refused, start_lock(parse_database_url(postgres_server.url("latin"))):
        pass
    assert refused.value.code is Code.CONFIGURATION


def test_a_server_that_is_not_there_is_named(tmp_path: Path) -> None:
    url = parse_database_url("postgresql://keyhouse:planted-password@127.0.0.1:1/keyhouse")
    with pytest.raises(Error, match=r"PostgreSQL at 127\.0\.0\.1:1") as refused, start_lock(url):
        pass
    assert "planted-password" not in refused.value.message


def test_migrations_and_copies_take_as_long_as_they_take(postgres_server: PostgresServer) -> None:
    url = postgres_server.empty_database()
    limits = ("idle_in_transaction_session_timeout", "statement_timeout")
    with psycopg.connect(url, autocommit=True) as administrator:
        for limit in limits:
            administrator.execute(f"ALTER DATABASE {administrator.info.dbname} SET {limit} = '1h'".encode())
    engine = engine_of(parse_database_url(url))
    with engine.connect() as connection:
        begin(connection)
        assert [connection.exec_driver_sql(f"SHOW {limit}").scalar() for limit in limits] == ["0", "0"]
    engine.dispose()


def test_a_session_that_was_ended_while_it_held_the_start_is_no_failure(postgres_server: PostgresServer) -> None:
    url = postgres_server.empty_database()
    with psycopg.connect(url, autocommit=True) as administrator, start_lock(parse_database_url(url)):
        # A session that it tried the server with may still be about to end.
        holders = "locktype = 'advisory' AND granted AND datname = current_database()"
        ends = f"SELECT pg_terminate_backend(pid, 10000) FROM pg_locks JOIN pg_database ON oid = database WHERE {holders}"
        ended = administrator.execute(ends.encode()).fetchall()
        assert ended == [(True,)]
    with start_lock(parse_database_url(url)):
        pass
