"""What a session opens: the projects on which its key may do anything at all."""

from pathlib import Path

import pytest

from keyhouse.domain.errors import Code, Error
from keyhouse.domain.tenancy import Role, RoleBinding, ScopeType
from keyhouse.services.projects import ProjectRequest, Projects
from keyhouse.services.sessions import Sessions
from keyhouse.storage.api_keys import NewApiKey, put_api_key
from keyhouse.storage.opening import Storage
from tests.storage.houses import project_caller, run_on, settings_of


def test_a_key_of_one_project_opens_no_other_of_its_organization(tmp_path: Path, database_url: str) -> None:
    async def work(storage: Storage) -> None:
        caller = await project_caller(storage)
        whole = RoleBinding(Role.ADMIN, ScopeType.ORGANIZATION, caller.organization_id)
        admin = NewApiKey(caller.organization_id, "Admin", (whole,))
        _, admin_token = await storage.database.write(lambda tx: put_api_key(tx, admin))
        sessions = Sessions(storage, lambda actor_id: None)
        signed_in = await sessions.find(await sessions.sign_in(admin_token.text))
        assert signed_in is not None
        made = await Projects(storage).create(signed_in.caller, ProjectRequest("Other", "python", "none", new_team_name="Others"))
        one = NewApiKey(caller.organization_id, "One", (RoleBinding(Role.VIEWER, ScopeType.PROJECT, caller.project_id or ""),))
        _, token = await storage.database.write(lambda tx: put_api_key(tx, one))
        session = await sessions.find(await sessions.sign_in(token.text))
        assert session is not None
        assert (await sessions.caller_on(session, caller.project_id or "")).project_id == caller.project_id
        with pytest.raises(Error) as refused:
            await sessions.caller_on(session, made.project.id)
        assert refused.value.code is Code.PROJECT_NOT_FOUND

    run_on(settings_of(tmp_path, database_url), work)
