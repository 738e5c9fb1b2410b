"""Which default models end, by project: on both databases, on a day that the test names."""

import datetime
from pathlib import Path

import pytest

from keyhouse.catalog.catalog import Catalog, load_catalog
from keyhouse.domain.model import retirement
from keyhouse.domain.model_provider import ModelProviderUpdate
from keyhouse.domain.tenancy import Actor, Caller, Permission, Role, RoleBinding, ScopeType
from keyhouse.services.model_defaults import retiring_defaults
from keyhouse.services.model_providers import ModelProviders
from keyhouse.services.projects import ProjectRequest, Projects
from keyhouse.storage.opening import Storage
from tests.models_file import write_models_file
from tests.storage.houses import project_caller, providers_of, run_on, settings_of

DAY = datetime.date(2026, 12, 11)
MODELS = (
    {"id": "gpt-first", "retires_on": "2026-11-01"},
    {"id": "gpt-second", "retires_on": "2026-12-11"},
    {"id": "gpt-third", "retires_on": "2026-12-12"},
    {"id": "gpt-lasting"},
)


@pytest.fixture
def catalog(tmp_path: Path) -> Catalog:
    return load_catalog(write_models_file(tmp_path, *MODELS))


def test_the_catalogue_knows_what_ends_by_a_day(catalog: Catalog) -> None:
    assert catalog.retiring(datetime.date(2026, 10, 31)) == {}
    assert list(catalog.retiring(DAY)) == ["openai/gpt-first", "openai/gpt-second"]
    assert len(catalog.retiring(datetime.date(2027, 1, 1))) == 3


def test_the_end_in_words() -> None:
    words = [retirement(DAY, DAY + datetime.timedelta(days=days)) for days in (-40, 0, 1)]

    assert words == ["retires 11 Dec 2026", "retires 11 Dec 2026", "retired 11 Dec 2026"]


def test_default_models_that_end_are_told_by_project_the_earliest_first(tmp_path: Path, database_url: str, catalog: Catalog) -> None:
    async def work(storage: Storage) -> None:
        providers = providers_of(storage)
        first = await project_caller(storage)
        await set_default(providers, first, "gpt-second")
        others = [await another(storage, first, name) for name in ("Lasting", "Third", "None", "First")]
        for caller, model in zip(others, ("gpt-lasting", "gpt-third", "", "gpt-first"), strict=True):
            await set_default(providers, caller, model)

        found = await retiring_defaults(storage.database, catalog, DAY)

        assert [(one.of.project_name, one.of.model, one.retires_on.isoformat()) for one in found] == [
            ("First", "openai/gpt-first", "2026-11-01"),
            ("My project", "openai/gpt-second", "2026-12-11"),
        ]
        assert {one.of.organization_name for one in found} == {"My organization"}
        assert [one.of.project_id for one in found] == [others[-1].project_id, first.project_id]

    run_on(settings_of(tmp_path, database_url), work)


def test_an_archived_project_is_not_told(tmp_path: Path, database_url: str, catalog: Catalog) -> None:
    async def work(storage: Storage) -> None:
        first = await project_caller(storage)
        gone = await another(storage, first, "Gone")
        await set_default(providers_of(storage), gone, "gpt-first")
        assert len(await retiring_defaults(storage.database, catalog, DAY)) == 1

        await Projects(storage).archive(admin_beside(first), gone.project_id or "")

        assert await retiring_defaults(storage.database, catalog, DAY) == ()

    run_on(settings_of(tmp_path, database_url), work)


def admin_beside(caller: Caller) -> Caller:
    binding = RoleBinding(Role.ADMIN, ScopeType.ORGANIZATION, caller.organization_id)
    return Caller(Actor("test", "a test"), caller.organization_id, bindings=(binding,))


async def another(storage: Storage, caller: Caller, name: str) -> Caller:
    """A caller with every right on another project of the same organization."""
    made = await Projects(storage).create(admin_beside(caller), ProjectRequest(name, "python", "other", new_team_name=f"Team {name}"))
    return Caller(Actor("test", "a test"), caller.organization_id, made.project.id, frozenset(Permission))


async def set_default(providers: ModelProviders, caller: Caller, model: str) -> None:
    await providers.upsert(caller, "openai", ModelProviderUpdate(True, default_model=model), None)
