"""A database copied into another one, of either kind: all of it or nothing, and what it holds works there."""

import asyncio
import logging
import sqlite3
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import LargeBinary, Table, insert, select
from sqlalchemy.types import Boolean, Text

from keyhouse.domain.errors import Code, Error
from keyhouse.services.databases import copy_database
from keyhouse.services.replicas import Replicas
from keyhouse.settings import Settings
from keyhouse.storage.clock import now_us
from keyhouse.storage.copying import TABLES, CopyProgress, copy
from keyhouse.storage.database_url import parse_database_url
from keyhouse.storage.migration import engine_of
from keyhouse.storage.opening import Storage
from keyhouse.storage.replicas import FORGOTTEN_AFTER_S
from keyhouse.storage.schema import migrate, schema_revision
from keyhouse.storage.tables import metadata
from tests.conftest import PostgresServer
from tests.storage.filled_houses import SECRETS, plaintexts
from tests.storage.houses import openai_key, opened, project_caller, providers_of, run_on, settings_of, store_secrets
from tests.storage.test_schema import Listener, migrated_to

ODD = "Zoë's \U0001f511 'key' \\ \" %s :name \n\t\x7f"
MANY = 1203


@pytest.fixture
def settings(tmp_path: Path, database_url: str) -> Settings:
    """A house with secrets in it."""
    found = settings_of(tmp_path, database_url)
    run_on(found, lambda storage: store_secrets(storage, *SECRETS))
    return found


@pytest.fixture(params=["to sqlite", "to postgresql"])
def target_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "to sqlite":
        return f"sqlite:///{tmp_path / 'copy.db'}"
    server: PostgresServer = request.getfixturevalue("postgres_server")
    return server.empty_database()


def add_to_every_table(database_url: str) -> None:
    """Something odd, and in one table more than is copied at once."""
    engine = engine_of(parse_database_url(database_url))
    with engine.begin() as connection:
        for table in TABLES:
            known = connection.execute(select(table).limit(1)).mappings().first()
            rows = MANY if table.name == "audit_log" else 2
            connection.execute(insert(table), [odd_row(table, number, known) for number in range(rows)])
    engine.dispose()


def odd_row(table: Table, number: int, known: Any) -> dict[str, Any]:
    """A row that differs from every other one; what refers to another table refers to the row that is there."""
    row: dict[str, Any] = {}
    for column in table.columns:
        if column.foreign_keys and known is not None:
            row[column.name] = known[column.name]
        elif column.foreign_keys:
            row[column.name] = f"{ODD} {number}"
        elif column is table.autoincrement_column:
            continue
        elif column.nullable and number % 2:
            row[column.name] = None
        elif isinstance(column.type, Boolean):
            row[column.name] = number % 2 == 0
        elif isinstance(column.type, LargeBinary):
            row[column.name] = bytes(range(256)) + bytes([number])
        else:
            row[column.name] = f"{ODD} {number}" if isinstance(column.type, Text) else 2**40 + number if is_big(column) else number + 2
    return row


def is_big(column: Any) -> bool:
    return str(column.type) == "BIGINT"


def rows_of(database_url: str) -> dict[str, list[str]]:
    engine = engine_of(parse_database_url(database_url))
    with engine.connect() as connection:
        found = {table.name: sorted(repr(tuple(row)) for row in connection.execute(select(table))) for table in metadata.sorted_tables}
    engine.dispose()
    return found


def run_sql(database_url: str, sql: str) -> None:
    engine = engine_of(parse_database_url(database_url))
    with engine.begin() as connection:
        connection.exec_driver_sql(sql)
    engine.dispose()


def copied(settings: Settings, target_url: str, **options: bool) -> list[CopyProgress]:
    return list(copy_database(settings.url, target_url, **options))


def test_every_row_of_every_table_is_copied(settings: Settings, target_url: str) -> None:
    add_to_every_table(settings.url)
    before = rows_of(settings.url)
    progress = copied(settings, target_url)
    assert [step.done for step in progress] == sorted(step.done for step in progress)
    after = rows_of(target_url)
    assert all(after[table.name] for table in TABLES)
    assert after == before | {"changes": [], "replicas": []}
    assert rows_of(settings.url) == before
    rows, last = sum(len(after[table.name]) for table in TABLES), progress[-1]
    assert (last.rows, last.done, last.steps) == (rows, 2 * rows, 2 * rows)


def test_a_copy_serves_with_the_same_key_ring(settings: Settings, target_url: str) -> None:
    """Its secrets open, in the history too, and what is numbered by the database goes on after what was copied."""
    copied(settings, target_url)

    async def use(storage: Storage) -> None:
        assert {f'{{"OPENAI_API_KEY":"{secret}"}}'.encode() for secret in SECRETS} <= await plaintexts(storage)
        caller, providers = await project_caller(storage), providers_of(storage)
        for number in range(3):
            await providers.upsert(caller, "openai", openai_key(f"sk-after-{number}"), None)

    run_on(settings_of(settings.data_dir, target_url), use)
    assert len(rows_of(target_url)["audit_log"]) == len(rows_of(settings.url)["audit_log"]) + 3


def test_what_is_not_empty_is_left_as_it_is(settings: Settings, target_url: str) -> None:
    copied(settings, target_url)
    before = rows_of(target_url)
    for url in (target_url, settings.url):
        with pytest.raises(Error, match=r"is not empty\. Copy into a new one; nothing was changed\.") as refused:
            copied(settings, url)
        assert refused.value.code is Code.CONFIGURATION
    assert rows_of(target_url) == before


def test_a_target_of_an_older_release_is_not_upgraded(settings: Settings, target_url: str) -> None:
    migrated_to(target_url, "0001")
    with pytest.raises(Error, match="is not empty"):
        copied(settings, target_url)
    assert schema_revision(parse_database_url(target_url)) == "0001"


def test_what_is_no_house_of_this_release_is_not_copied_and_nothing_is_made(tmp_path: Path, empty_database_url: str) -> None:
    migrated_to(empty_database_url, "0001")
    for source, told in ((empty_database_url, "no schema of this release yet"), (f"sqlite:///{tmp_path}/gone.db", "There is no database")):
        with pytest.raises(Error, match=told):
            list(copy_database(source, f"sqlite:///{tmp_path}/copy.db"))
    assert schema_revision(parse_database_url(empty_database_url)) == "0001"
    assert {file.name for file in tmp_path.iterdir()} <= {"keyhouse.db"}


@pytest.mark.parametrize("steps", [0, 5, 15])
def test_a_copy_that_was_broken_off_leaves_nothing_and_can_be_made_again(settings: Settings, target_url: str, steps: int) -> None:
    copying = copy(parse_database_url(settings.url), parse_database_url(target_url))
    for _ in range(steps + 1):
        next(copying)
    copying.close()
    assert not any(rows_of(target_url).values())
    copied(settings, target_url)
    assert rows_of(target_url)["sealed_values"] == rows_of(settings.url)["sealed_values"]


def test_what_does_not_read_back_as_it_was_is_no_copy(settings: Settings, tmp_path: Path) -> None:
    target = tmp_path / "copy.db"
    migrate(parse_database_url(f"sqlite:///{target}"))
    with closing(sqlite3.connect(target)) as connection:
        connection.execute("CREATE TRIGGER spoil AFTER INSERT ON audit_log BEGIN UPDATE audit_log SET action = 'other'; END")
    with pytest.raises(Error, match="The rows of audit_log do not read back as they were"):
        copied(settings, f"sqlite:///{target}")
    assert not any(rows_of(f"sqlite:///{target}").values())


def test_what_is_written_meanwhile_is_not_half_copied(settings: Settings, target_url: str) -> None:
    before = rows_of(settings.url)

    async def write() -> None:
        async with opened(settings) as storage:
            copying = copy_database(settings.url, target_url)
            next(copying)
            await store_secrets(storage, "sk-meanwhile")
            for _ in copying:
                pass

    asyncio.run(write())
    assert rows_of(target_url) == before | {"changes": [], "replicas": []}


def test_a_database_that_servers_run_on_is_copied_on_demand_only(settings: Settings, target_url: str) -> None:
    async def serve(storage: Storage) -> None:
        await Replicas(storage, "0").note()
        with pytest.raises(Error, match=r"1 process serves on this database.*--while-serving") as refused:
            copied(settings, target_url)
        assert refused.value.code is Code.CONFLICT
        copied(settings, target_url, while_serving=True)

    run_on(settings, serve)
    assert rows_of(target_url)["replicas"] == []


@pytest.mark.parametrize(("seconds_ago", "serves"), [(FORGOTTEN_AFTER_S // 2, True), (FORGOTTEN_AFTER_S + 1, False)])
def test_a_process_that_was_killed_is_forgotten(settings: Settings, target_url: str, seconds_ago: int, serves: bool) -> None:
    seen_at = now_us() - seconds_ago * 1_000_000
    run_sql(settings.url, f"INSERT INTO replicas VALUES ('gone', 'host', 1, '0', {seen_at}, {seen_at})")
    if serves:
        with pytest.raises(Error, match="1 process serves on this database"):
            copied(settings, target_url)
    else:
        copied(settings, target_url)


def test_of_two_copies_into_one_database_the_second_waits_and_is_refused(
    settings: Settings, target_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("keyhouse.storage.lock_waiting.SAID_AFTER_S", 0.0)
    listener = Listener()
    logging.getLogger("keyhouse.storage").addHandler(listener)
    first = copy_database(settings.url, target_url)
    next(first)
    with ThreadPoolExecutor(1) as pool:
        second = pool.submit(copied, settings, target_url)
        waited = listener.heard.wait(30)
        assert list(first)
        assert "is not empty" in str(second.exception())
    assert waited
    logging.getLogger("keyhouse.storage").removeHandler(listener)


@pytest.mark.parametrize(
    "spoilt",
    ["DROP TABLE last_uses", "ALTER TABLE audit_log RENAME COLUMN action TO something_else"],
)
def test_a_source_that_cannot_be_read_is_one_sentence_and_nothing_is_copied(settings: Settings, target_url: str, spoilt: str) -> None:
    run_sql(settings.url, spoilt)
    with pytest.raises(Error, match="cannot be used"):
        copied(settings, target_url)
    assert not any(rows_of(target_url).values())


RAISING = "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'refused'; END $$;"


@pytest.mark.parametrize(
    "trigger",
    ["TRIGGER t BEFORE INSERT ON audit_log", "CONSTRAINT TRIGGER t AFTER INSERT ON audit_log DEFERRABLE INITIALLY DEFERRED"],
    ids=["insert", "commit"],
)
def test_a_target_that_refuses_rows_or_all_of_them_is_one_sentence(
    settings: Settings, postgres_server: PostgresServer, trigger: str
) -> None:
    target_url = postgres_server.new_database()
    run_sql(target_url, f"{RAISING} CREATE {trigger} FOR EACH ROW EXECUTE FUNCTION refuse()")
    with pytest.raises(Error, match="cannot be used"):
        copied(settings, target_url)
    assert not any(rows_of(target_url).values())


def test_a_source_that_goes_away_meanwhile_is_one_sentence(tmp_path: Path, postgres_server: PostgresServer) -> None:
    settings = settings_of(tmp_path, postgres_server.new_database())
    add_to_every_table(settings.url)
    target_url = f"sqlite:///{tmp_path}/copy.db"
    copying = copy_database(settings.url, target_url)
    while next(copying).done < MANY // 2:
        pass
    run_sql(
        postgres_server.url("postgres"),
        f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{settings.url.rpartition('/')[2]}'",
    )
    with pytest.raises(Error, match="cannot be used"):
        list(copying)
    assert not any(rows_of(target_url).values())


def test_what_is_no_database_is_left_as_it_is(settings: Settings, tmp_path: Path) -> None:
    target = tmp_path / "copy.db"
    target.write_text("a diary, and no database at all\n" * 100)
    before = target.read_text()
    with pytest.raises(Error, match="cannot be used"):
        copied(settings, f"sqlite:///{target}")
    assert target.read_text() == before


def test_a_target_that_cannot_be_used_is_named(settings: Settings, tmp_path: Path) -> None:
    for url, told in ((f"sqlite:///{tmp_path}/nowhere/copy.db", "nowhere"), ("postgresql://keyhouse@127.0.0.1:1/x", r"127\.0\.0\.1:1")):
        with pytest.raises(Error, match=told):
            copied(settings, url)
