"""A search in the audit log: of one thing, one person, one kind of action; and never of another organization."""

from pathlib import Path

import pytest

from keyhouse.domain.audit import AuditSearch
from keyhouse.domain.paging import Paging
from keyhouse.domain.tenancy import Actor
from keyhouse.storage.api_keys import list_api_keys
from keyhouse.storage.history import INSTALLATION, list_audit, put_audit
from keyhouse.storage.names import list_named
from keyhouse.storage.opening import Storage
from keyhouse.storage.statements import Statement, Transaction
from keyhouse.storage.teams import list_teams
from tests.storage.houses import project_caller, run_on, settings_of

ANNA, BOB = Actor("key_anna", "Anna"), Actor("key_bob", "Bob")


def write(tx: Transaction) -> None:
    put_audit(tx, ANNA, "project.created", "project_1", organization_id="one", project_id="project_1")
    put_audit(tx, BOB, "model_provider.created", "project_1/openai", organization_id="one", project_id="project_1")
    put_audit(tx, BOB, "project.key_shown_by_page", "project_1", organization_id="one", project_id="project_1")
    put_audit(tx, ANNA, "api_key.revoked", "key_bob", organization_id="one")
    put_audit(tx, BOB, "model_provider.created", "project_1/openai", organization_id="two", project_id="project_1")
    put_audit(tx, ANNA, "encryption_key.rotated", "installation/k", organization_id=INSTALLATION)


def test_a_search_is_in_the_latest_records_alone(tmp_path: Path, database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    async def work(storage: Storage) -> None:
        await storage.database.write(write)

        async def found(about: str) -> tuple[list[str], int]:
            paging, search = Paging(1, 10), AuditSearch(about)
            records, total = await storage.database.read(lambda tx: list_audit(tx, "one", paging, search))
            return [record.action for record in records], total

        monkeypatch.setattr("keyhouse.storage.history.SEARCHED_RECORDS", 4)
        assert await found("project_1") == (["project.key_shown_by_page"], 1)
        assert (await found(""))[1] == 5

    run_on(settings_of(tmp_path, database_url), work)


def test_names_are_those_of_what_is_there_in_the_organization(tmp_path: Path, database_url: str) -> None:
    async def work(storage: Storage) -> None:
        caller = await project_caller(storage)
        project_id, organization_id = caller.project_id or "", caller.organization_id
        [team] = (await storage.database.read(lambda tx: list_teams(tx, organization_id, [organization_id], Paging(1, 9))))[0]
        [key] = (await storage.database.read(lambda tx: list_api_keys(tx, organization_id, Paging(1, 9))))[0]
        ids = {project_id, team.id, key.id, "gone"}

        async def named(organization_id: str) -> set[tuple[str, str, str]]:
            found = await storage.database.read(lambda tx: list_named(tx, organization_id, ids))
            return {(one.kind, one.id, one.name) for one in found}

        whole = {("project", project_id, "My project"), ("team", team.id, team.name), ("api_key", key.id, key.name)}
        assert await named(organization_id) == whole
        assert await named("another") == set()
        await storage.database.write(lambda tx: tx.run(Statement("UPDATE projects SET archived_at = 1")))
        assert await named(organization_id) == {one for one in whole if one[0] != "project"}

    run_on(settings_of(tmp_path, database_url), work)


def test_a_search_finds_what_concerns_a_thing_and_of_a_kind(tmp_path: Path, database_url: str) -> None:
    async def work(storage: Storage) -> None:
        await storage.database.write(write)

        async def found(about: str = "", actions: str = "%", limit: int = 10) -> tuple[list[str], int]:
            search, paging = AuditSearch(about, actions), Paging(1, limit)
            records, total = await storage.database.read(lambda tx: list_audit(tx, "one", paging, search))
            return [record.action for record in records], total

        assert (await found())[1] == 5
        assert await found("project_1") == (["project.key_shown_by_page", "model_provider.created", "project.created"], 3)
        assert await found("project_1/openai") == (["model_provider.created"], 1)
        assert await found("key_bob") == (["api_key.revoked", "project.key_shown_by_page", "model_provider.created"], 3)
        assert await found("project_1", "project.key_%") == (["project.key_shown_by_page"], 1)
        assert await found(actions="project.%", limit=1) == (["project.key_shown_by_page"], 2)
        assert await found("project_") == ([], 0)

    run_on(settings_of(tmp_path, database_url), work)
