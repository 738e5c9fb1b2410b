"""What is kept of tokens: their hash, a project's also sealed; and nothing of one that was replaced."""

import asyncio
import sqlite3
from dataclasses import replace
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from keyhouse.domain.errors import Code, Error
from keyhouse.domain.paging import Paging
from keyhouse.domain.slug import slug_from
from keyhouse.domain.tenancy import Actor, Caller, Role, RoleBinding, ScopeType, Way
from keyhouse.services.api_keys import ApiKeyRequest, ApiKeys
from keyhouse.services.projects import ProjectRequest, Projects
from keyhouse.storage.history import list_audit
from keyhouse.storage.identifiers import is_id, new_id
from keyhouse.storage.opening import Storage
from keyhouse.storage.sealed_values import destroy_one
from keyhouse.storage.sqlite import SqliteDatabase
from keyhouse.storage.statements import Statement, Transaction
from tests.storage.houses import project_caller, run_on, sealed_values, settings_of


async def admin_of(storage: Storage) -> Caller:
    made = await project_caller(storage)
    binding = RoleBinding(Role.ADMIN, ScopeType.ORGANIZATION, made.organization_id)
    return Caller(Actor("test", "a test"), made.organization_id, bindings=(binding,))


REQUEST = ProjectRequest("Assistant", "python", "other", new_team_name="Research")


def test_old_sealed_copy_is_destroyed_when_a_key_is_regenerated(tmp_path: Path, database_url: str) -> None:
    async def work(storage: Storage) -> None:
        caller, service = await admin_of(storage), Projects(storage)
        made = await service.create(caller, REQUEST)
        before = {value.place[1] for value in await sealed_values(storage) if value.place[0] == made.project.id}
        await service.regenerate_key(caller, made.project.id)
        after = {value.place[1] for value in await sealed_values(storage) if value.place[0] == made.project.id}
        assert (len(before), len(after), before & after) == (1, 1, set())

    run_on(settings_of(tmp_path, database_url), work)


def test_archived_project_keeps_what_was_sealed_for_it(tmp_path: Path, database_url: str) -> None:
    async def work(storage: Storage) -> None:
        caller, service = await admin_of(storage), Projects(storage)
        made = await service.create(caller, REQUEST)
        before = await sealed_values(storage)
        await service.archive(caller, made.project.id)
        assert await sealed_values(storage) == before

    run_on(settings_of(tmp_path, database_url), work)


def test_key_that_cannot_be_opened_says_to_regenerate_it(tmp_path: Path, database_url: str) -> None:
    async def work(storage: Storage) -> None:
        caller, service = await admin_of(storage), Projects(storage)
        made = await service.create(caller, REQUEST)
        place = next(value.place for value in await sealed_values(storage) if value.place[0] == made.project.id)
        await storage.database.write(lambda tx: destroy_one(tx, *place))
        with pytest.raises(Error) as refused:
            await service.open_key(caller, made.project.id)
        assert refused.value.code is Code.CREDENTIALS_UNREADABLE
        assert "regenerate" in refused.value.message
        assert await service.regenerate_key(caller, made.project.id) == await service.open_key(caller, made.project.id)

    run_on(settings_of(tmp_path, database_url), work)


def test_a_key_that_is_replaced_meanwhile_is_shown_as_it_was_or_as_it_is(tmp_path: Path, database_url: str) -> None:
    async def work(storage: Storage) -> None:
        caller, service = await admin_of(storage), Projects(storage)
        made = await service.create(caller, REQUEST)
        known = {await service.open_key(caller, made.project.id)}

        async def show() -> set[str]:
            return {await service.open_key(caller, made.project.id) for _ in range(40)}

        async def replace_often() -> set[str]:
            return {await service.regenerate_key(caller, made.project.id) for _ in range(40)}

        replaced, *shown = await asyncio.gather(replace_often(), *(show() for _ in range(4)))
        assert set().union(*shown) <= known | replaced

    run_on(settings_of(tmp_path, database_url), work)


def take_no_writes(storage: Storage, database_url: str) -> None:
    """From now on the database is only read, as a standby or a file on a read-only disk is."""
    if isinstance(storage.database, SqliteDatabase):
        storage.database._writer.execute("PRAGMA query_only=1")
        return
    import psycopg

    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute(f'ALTER DATABASE "{connection.info.dbname}" SET default_transaction_read_only = on')
        connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )


def test_a_key_is_shown_and_the_log_says_so_where_no_record_can_be_stored(tmp_path: Path, database_url: str) -> None:
    async def work(storage: Storage) -> None:
        caller, service = await admin_of(storage), Projects(storage)
        made = await service.create(caller, REQUEST)
        with capture_logs() as recorded:
            token = await service.open_key(caller, made.project.id)
        (newest, *_), total = await storage.database.read(lambda tx: list_audit(tx, caller.organization_id, Paging(1, 1)))
        assert (newest.action, newest.target, newest.actor) == ("project.key_shown_by_api", made.project.id, caller.actor)
        take_no_writes(storage, database_url)
        with capture_logs() as unrecorded:
            assert await service.open_key(replace(caller, way=Way.PAGE), made.project.id) == token
        assert recorded == []
        assert unrecorded == [
            {
                "event": "a project's key is shown without an audit record",
                "log_level": "warning",
                "project_id": made.project.id,
                "actor_id": "test",
                "way": "page",
                "reason": "storage_unavailable",
            }
        ]
        assert (await storage.database.read(lambda tx: list_audit(tx, caller.organization_id, Paging(1, 1))))[1] == total
        with pytest.raises(Error) as refused:
            await service.open_key(replace(caller, bindings=()), made.project.id)
        assert refused.value.code is Code.INSUFFICIENT_PERMISSIONS

    run_on(settings_of(tmp_path, database_url), work)


def test_no_token_is_in_a_plain_column(tmp_path: Path, database_url: str) -> None:
    async def work(storage: Storage) -> None:
        caller = await admin_of(storage)
        made = await Projects(storage).create(caller, REQUEST)
        _, token = await ApiKeys(storage).create(caller, ApiKeyRequest("CI"))
        tokens = [token, made.token, await Projects(storage).open_key(caller, made.project.id)]
        assert "***" not in tokens

        def everything(tx: Transaction) -> str:
            return repr([tx.rows(Statement("SELECT * FROM", table)) for table in ("projects", "api_keys")])

        text = await storage.database.read(everything)
        assert made.project.id in text
        assert not [token for token in tokens if token in text or token[-48:] in text]
        assert made.token not in repr(made)

    run_on(settings_of(tmp_path, database_url), work)
    if database_url.startswith("sqlite"):
        assert b"sk-lw-" not in b"".join(path.read_bytes() for path in tmp_path.iterdir() if path.is_file())


@pytest.mark.parametrize("database", ["sqlite"])
def test_lists_are_read_along_an_index(tmp_path: Path, database: str) -> None:
    from keyhouse.storage import project_records

    path = tmp_path / "keyhouse.db"
    run_on(settings_of(tmp_path, f"{database}:///{path}"), admin_of)
    with sqlite3.connect(path) as connection:
        values = {"organization_id": "o", "scopes": '["o"]', "limit": 50, "offset": 0}
        listed = project_records._LIST.page
        plan = connection.execute("EXPLAIN QUERY PLAN " + listed.sqlite, listed.placed(values)).fetchall()
    connection.close()
    assert any("ix_projects_organization_id_created_at_id" in str(row) for row in plan)
    assert not any("TEMP B-TREE" in str(row) for row in plan)


@pytest.mark.parametrize("text", ["", "a\x00", "\ud800", "é", "a\n", "x" * 101])
def test_what_could_be_no_id_is_not_looked_for(text: str) -> None:
    assert is_id(new_id("project"))
    assert not is_id(text)


@pytest.mark.parametrize(
    ("name", "slug"),
    [
        ("My Project", "my-project"),
        ("  Größe & Söhne!", "grosse-sohne"),
        ("İstanbul", "istanbul"),
        ("日本", ""),
        ("x" * 90, "x" * 80),
        ("a-" * 60, ("a-" * 40)[:-1]),
    ],
)
def test_slug_reads_like_the_name(name: str, slug: str) -> None:
    assert slug_from(name) == slug


def test_identifiers_come_in_the_order_of_their_making(monkeypatch: pytest.MonkeyPatch) -> None:
    made = []
    for milliseconds in (0, 1, 61, 62, 3843, 3844, 1_700_000_000_000, 1_700_000_000_001, 4_000_000_000_000):
        monkeypatch.setattr("time.time_ns", lambda now=milliseconds: now * 1_000_000 + 999_999)
        made.append(new_id("value"))
    assert made == sorted(made)
    assert len({len(identifier) for identifier in made}) == 1
