"""The use cases of organizations, for whoever runs the installation. The gate has checked the caller; no right is asked here."""

import secrets
from dataclasses import dataclass, field

from keyhouse.domain.errors import Code, Error
from keyhouse.domain.slug import slug_from
from keyhouse.domain.tenancy import Actor, Organization, Team, organization_admin
from keyhouse.services.writing import write
from keyhouse.storage.api_keys import NewApiKey, put_api_key
from keyhouse.storage.changes import note_change
from keyhouse.storage.history import put_audit
from keyhouse.storage.opening import Storage
from keyhouse.storage.organizations import get_organization, list_organizations, put_organization
from keyhouse.storage.statements import Transaction
from keyhouse.storage.teams import put_team

DEFAULT_KEY_NAME = "Organization admin key"


@dataclass(frozen=True, slots=True)
class CreatedOrganization:
    """A new organization, its first team and its first API key, whose token is shown once."""

    organization: Organization
    team: Team
    api_key_id: str
    token: str = field(repr=False)


class Organizations:
    """See the module."""

    def __init__(self, storage: Storage) -> None:
        self._storage = storage

    async def list(self) -> list[Organization]:
        """Every organization, newest first."""
        return await self._storage.database.read(list_organizations)

    async def get(self, organization_id: str) -> Organization:
        """One organization. Raises Error `not_found`."""
        found = await self._storage.database.read(lambda tx: get_organization(tx, organization_id))
        if found is None:
            raise Error(Code.NOT_FOUND, "There is no such organization.")
        return found

    async def create(self, actor: Actor, name: str, slug: str | None = None, key_name: str | None = None) -> CreatedOrganization:
        """An organization with a team and an admin key. Raises Error `organization_slug_taken`."""
        wanted = slug or slug_from(name) or f"organization-{secrets.token_hex(4)}"

        def work(tx: Transaction) -> CreatedOrganization:
            organization = put_organization(tx, name, wanted)
            team = put_team(tx, organization.id, name, wanted)
            new_key = NewApiKey(organization.id, key_name or DEFAULT_KEY_NAME, (organization_admin(organization.id),))
            api_key, token = put_api_key(tx, new_key)
            for action, target in (
                ("organization.created", organization.id),
                ("team.created", team.id),
                ("api_key.created", api_key.id),
            ):
                put_audit(tx, actor, action, target, organization_id=organization.id)
            note_change(tx, organization.id, None)
            return CreatedOrganization(organization, team, api_key.id, token.text)

        taken = Error(Code.ORGANIZATION_SLUG_TAKEN, f"There is an organization with the slug {wanted}. Choose another slug.")
        return await write(self._storage, work, taken)
