"""What an empty house begins with: an organization, a team, a project, and a key to each."""

from dataclasses import dataclass, field

from keyhouse.domain.tenancy import Actor, organization_admin
from keyhouse.storage.api_keys import NewApiKey, put_api_key
from keyhouse.storage.changes import note_change
from keyhouse.storage.database import ConstraintBroken
from keyhouse.storage.history import put_audit
from keyhouse.storage.opening import Storage
from keyhouse.storage.organizations import count_organizations, put_organization
from keyhouse.storage.project_records import NewProject, put_project
from keyhouse.storage.sessions import SessionKey, put_session
from keyhouse.storage.statements import Transaction
from keyhouse.storage.teams import put_team

SIGN_IN_LIFETIME_S = 24 * 3600
_ACTOR = Actor("keyhouse", "first start")


@dataclass(frozen=True, slots=True)
class FirstKeys:
    """The keys that the first start made, shown once, and a token that signs in to the settings pages once."""

    project_id: str
    project_key: str = field(repr=False)
    admin_key: str = field(repr=False)
    sign_in_token: str = field(repr=False)


async def furnish(storage: Storage) -> FirstKeys | None:
    """Make an organization, a team, a project and an admin key, if there is no organization yet; else None."""
    try:
        return await storage.database.write(lambda tx: _furnished_if_empty(tx, storage))
    except ConstraintBroken:
        # On PostgreSQL another server may have counted none either, and have made them a moment before us.
        return await storage.database.write(lambda tx: _furnished_if_empty(tx, storage))


def _furnished_if_empty(tx: Transaction, storage: Storage) -> FirstKeys | None:
    return None if count_organizations(tx) else _furnished(tx, storage)


def _furnished(tx: Transaction, storage: Storage) -> FirstKeys:
    organization = put_organization(tx, "My organization", "my-organization")
    team = put_team(tx, organization.id, "My team", "my-team")
    new_project = NewProject(organization.id, team.id, "My project", "my-project", language="other", framework="other")
    project, project_token = put_project(tx, storage.box, new_project)
    new_key = NewApiKey(organization.id, "Admin key of the first start", (organization_admin(organization.id),))
    api_key, admin_token = put_api_key(tx, new_key)
    for action, target in (
        ("organization.created", organization.id),
        ("team.created", team.id),
        ("project.created", project.id),
        ("api_key.created", api_key.id),
    ):
        put_audit(tx, _ACTOR, action, target, organization_id=organization.id)
    note_change(tx, organization.id, project.id)
    sign_in = put_session(tx, SessionKey(organization.id, api_key_id=api_key.id), "sign_in", SIGN_IN_LIFETIME_S)
    return FirstKeys(project.id, project_token.text, admin_token.text, sign_in.text)
