"""What an empty house begins with: an organization, a team, a project, and a key to each."""

from dataclasses import dataclass, field

from keyhouse.domain.tenancy import Actor, Role, RoleBinding, ScopeType
from keyhouse.storage.changes import note_change
from keyhouse.storage.history import put_audit
from keyhouse.storage.opening import Storage
from keyhouse.storage.statements import Transaction
from keyhouse.storage.tenancy import NewApiKey, NewProject, count_organizations, put_api_key, put_organization, put_project, put_team

_ACTOR = Actor("keyhouse", "first start")


@dataclass(frozen=True, slots=True)
class FirstKeys:
    """The keys that the first start made. They are shown once."""

    project_id: str
    project_key: str = field(repr=False)
    admin_key: str = field(repr=False)


async def furnish(storage: Storage) -> FirstKeys | None:
    """Make an organization, a team, a project and an admin key, if there is no organization yet; else None."""
    return await storage.database.write(lambda tx: None if count_organizations(tx) else _furnished(tx, storage))


def _furnished(tx: Transaction, storage: Storage) -> FirstKeys:
    organization_id = put_organization(tx, "My organization", "my-organization")
    team_id = put_team(tx, organization_id, "My team", "my-team")
    new_project = NewProject(organization_id, team_id, "My project", "my-project", language="other", framework="other")
    project_id, project_token = put_project(tx, storage.box, new_project)
    binding = RoleBinding(Role.ADMIN, ScopeType.ORGANIZATION, organization_id)
    key_id, admin_token = put_api_key(tx, NewApiKey(organization_id, "Admin key of the first start", (binding,)))
    for action, target in (
        ("organization.created", organization_id),
        ("team.created", team_id),
        ("project.created", project_id),
        ("api_key.created", key_id),
    ):
        put_audit(tx, _ACTOR, action, target, organization_id=organization_id)
    note_change(tx, organization_id, project_id)
    return FirstKeys(project_id, project_token.text, admin_token.text)
