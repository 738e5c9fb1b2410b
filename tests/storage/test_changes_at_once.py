"""Two changes of one thing at the same time on PostgreSQL: the second one waits, and nothing of the first is lost."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from keyhouse.domain.paging import Paging
from keyhouse.domain.tenancy import Actor, Caller, Permission, PermissionMode, Role, RoleBinding, ScopeType
from keyhouse.services.api_keys import ApiKeyRequest, ApiKeys, ApiKeyUpdate
from keyhouse.services.projects import Projects, ProjectUpdate
from keyhouse.settings import Settings
from keyhouse.storage.database import Work
from keyhouse.storage.opening import Storage
from keyhouse.storage.pruning import forget_states
from keyhouse.storage.statements import Statement
from tests.conftest import PostgresServer
from tests.storage.filled_houses import plaintexts
from tests.storage.held_writes import Held, waits_for_a_lock
from tests.storage.houses import opened, project_caller, providers_of, run_on, settings_of, store_secrets

_AGE = Statement("UPDATE model_provider_history SET at = 1 WHERE version <= 2")


@pytest.fixture
def settings(tmp_path: Path, postgres_server: PostgresServer) -> Settings:
    return settings_of(tmp_path, postgres_server.new_database())


async def admin_of(storage: Storage) -> tuple[Caller, str]:
    """An admin, and the id of the project of the first start."""
    made = await project_caller(storage)
    binding = RoleBinding(Role.ADMIN, ScopeType.ORGANIZATION, made.organization_id)
    return Caller(Actor("test", "a test"), made.organization_id, bindings=(binding,)), made.project_id or ""


async def at_once(settings: Settings, first: Callable[[Storage], Awaitable[object]], second: Awaitable[object]) -> None:
    """`second` begins when `first`, another process's change, is all but committed."""
    async with asyncio.timeout(60), opened(settings) as other:
        held, write = Held(), other.database.write

        async def write_and_wait(work: Work[object], of_project: str | None = None) -> object:
            return await write(lambda tx: (work(tx), held.wait(tx))[0])

        other.database.write = write_and_wait  # type: ignore[method-assign,assignment]
        changes = [asyncio.ensure_future(first(other))]
        await held.done.wait()
        changes.append(asyncio.ensure_future(second))
        try:
            await waits_for_a_lock(settings)
        finally:
            held.let_go()
        await asyncio.gather(*changes)


def test_an_api_key_that_is_limited_stays_so_while_it_is_renamed(settings: Settings) -> None:
    async def work(storage: Storage) -> None:
        (caller, _), service = await admin_of(storage), ApiKeys(storage)
        made, _ = await service.create(caller, ApiKeyRequest("CI"))
        limit = ApiKeyUpdate(permission_mode=PermissionMode.READONLY)
        rename = service.update(caller, made.id, ApiKeyUpdate(name="CD"))
        await at_once(settings, lambda other: ApiKeys(other).update(caller, made.id, limit), rename)
        after = await service.get(caller, made.id)
        assert (after.name, after.permissions) == ("CD", frozenset({Permission.VIEW}))

    run_on(settings, work)


def test_a_project_keeps_its_language_while_it_is_renamed(settings: Settings) -> None:
    async def work(storage: Storage) -> None:
        (caller, project_id), service = await admin_of(storage), Projects(storage)
        speak = ProjectUpdate(language="python")
        rename = service.update(caller, project_id, ProjectUpdate(name="Renamed"))
        await at_once(settings, lambda other: Projects(other).update(caller, project_id, speak), rename)
        after = await service.get(caller, project_id)
        assert (after.name, after.language) == ("Renamed", "python")

    run_on(settings, work)


def test_a_secret_that_is_just_being_brought_back_is_not_forgotten(settings: Settings) -> None:
    async def work(storage: Storage) -> None:
        await store_secrets(storage, "sk-1", "sk-2", "sk-3")
        caller, providers = await project_caller(storage), providers_of(storage)
        await storage.database.write(lambda tx: tx.run(_AGE))
        forget = storage.database.write(lambda tx: forget_states(tx, caller.project_id or "", before=2))
        await at_once(settings, lambda other: providers_of(other).roll_back(caller, "openai", 1, None), forget)
        entries, _ = await providers.history(caller.project_id or "", "openai", Paging(1, 9))
        assert [entry.version for entry in entries] == [4, 3, 2]
        assert [b"sk-1" in value for value in await plaintexts(storage)].count(True) == 1

    run_on(settings, work)
