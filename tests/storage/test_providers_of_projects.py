"""Which providers are stored in the projects that somebody may view."""

from dataclasses import replace
from pathlib import Path

from keyhouse.domain.model_provider import ModelProviderUpdate
from keyhouse.domain.tenancy import Caller, Role, RoleBinding, ScopeType
from keyhouse.services.projects import ProjectRequest, Projects
from keyhouse.storage.opening import Storage
from tests.storage.houses import openai_key, project_caller, providers_of, run_on, settings_of

OFF = ModelProviderUpdate(enabled=False, custom_keys={"OLLAMA_BASE_URL": "http://127.0.0.1:9/v1"})


def bound(caller: Caller, scope: ScopeType, scope_id: str) -> Caller:
    return replace(caller, bindings=(RoleBinding(Role.ADMIN, scope, scope_id),))


def test_providers_are_told_of_each_project_that_may_be_viewed(tmp_path: Path, database_url: str) -> None:
    async def work(storage: Storage) -> None:
        caller, providers, projects = await project_caller(storage), providers_of(storage), Projects(storage)
        first, admin = caller.project_id or "", bound(caller, ScopeType.ORGANIZATION, caller.organization_id)
        assert await projects.providers(admin, [first]) == {}
        made = await projects.create(admin, ProjectRequest("Shop", "other", "other", new_team_name="Shops"))
        second = replace(caller, project_id=made.project.id)
        await providers.upsert(caller, "openai", openai_key("sk-1"), None)
        await providers.upsert(second, "openai", openai_key("sk-2"), None)
        await providers.upsert(second, "ollama", OFF, None)
        ids = [first, made.project.id]
        both = {first: {"openai": True}, made.project.id: {"openai": True, "ollama": False}}
        assert await projects.providers(admin, ids) == both
        assert await projects.providers(admin, [first]) == {first: both[first]}
        assert await projects.providers(bound(caller, ScopeType.PROJECT, first), ids) == {first: {"openai": True}}
        of_team = bound(caller, ScopeType.TEAM, made.project.team_id)
        assert await projects.providers(of_team, ids) == {made.project.id: both[made.project.id]}
        await projects.archive(admin, made.project.id)
        assert await projects.providers(admin, ids) == {first: {"openai": True}}

    run_on(settings_of(tmp_path, database_url), work)
