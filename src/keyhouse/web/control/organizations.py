"""The routes of organizations: for whoever holds the instance key."""

from typing import Annotated

from pydantic import MISSING, BaseModel, StringConstraints

from keyhouse.domain.slug import LONGEST_SLUG, SLUG_PATTERN
from keyhouse.domain.tenancy import Organization, Team
from keyhouse.services.organizations import CreatedOrganization, Organizations
from keyhouse.web.control.access import Access
from keyhouse.web.control.answers import iso
from keyhouse.web.control.fields import Name
from keyhouse.web.control.routing import Answer, Call, Operation, Route, json_answer
from keyhouse.web.control.schemas import Body

_ALL = "/api/organizations"
_TAG = "Organizations"
Slug = Annotated[str, StringConstraints(pattern=SLUG_PATTERN, max_length=LONGEST_SLUG)]


class OrganizationBody(Body):
    """A new organization. Its slug is made from its name where none is given."""

    name: Name
    slug: Slug | MISSING = MISSING
    adminApiKeyName: Name | MISSING = MISSING


class NamedShape(BaseModel):
    """An organization or a team, by its names."""

    id: str
    name: str
    slug: str


class OrganizationShape(NamedShape):
    """An organization."""

    createdAt: str


class NewKeyShape(BaseModel):
    """An API key that was just made. Its token is shown this once."""

    id: str
    token: str


class CreatedOrganizationAnswer(BaseModel):
    """A new organization, its team and its admin key."""

    organization: NamedShape
    team: NamedShape
    adminApiKey: NewKeyShape


class OrganizationAnswer(BaseModel):
    """One organization."""

    organization: OrganizationShape


class OrganizationsAnswer(BaseModel):
    """Every organization, newest first."""

    organizations: list[OrganizationShape]


class OrganizationHandlers:
    """One method a route."""

    def __init__(self, service: Organizations) -> None:
        self._service = service

    async def list_all(self, call: Call) -> Answer:
        """Every organization."""
        return json_answer({"organizations": [_organization(found) for found in await self._service.list()]})

    async def get(self, call: Call) -> Answer:
        """One organization."""
        return json_answer({"organization": _organization(await self._service.get(call.path["id"]))})

    async def create(self, call: Call) -> Answer:
        """Create."""
        body: OrganizationBody = call.body
        slug = None if body.slug is MISSING else body.slug
        key_name = None if body.adminApiKeyName is MISSING else body.adminApiKeyName
        return _created(await self._service.create(call.caller.actor, body.name, slug, key_name))


def organization_routes(service: Organizations) -> list[Route]:
    """Every route of organizations, over one service."""
    handlers = OrganizationHandlers(service)
    created = {201: CreatedOrganizationAnswer}
    return [
        Route(
            "POST",
            _ALL,
            handlers.create,
            Operation("postApiOrganizations", "Create an organization with a team and an admin API key", created, _TAG),
            access=Access.INSTANCE,
            body=OrganizationBody,
        ),
        Route(
            "GET",
            _ALL,
            handlers.list_all,
            Operation("getApiOrganizations", "List all organizations, newest first", {200: OrganizationsAnswer}, _TAG),
            access=Access.INSTANCE,
        ),
        Route(
            "GET",
            f"{_ALL}/{{id}}",
            handlers.get,
            Operation("getApiOrganizationsById", "Get one organization", {200: OrganizationAnswer}, _TAG),
            access=Access.INSTANCE,
        ),
    ]


def _created(created: CreatedOrganization) -> Answer:
    answer = {
        "organization": _named(created.organization),
        "team": _named(created.team),
        "adminApiKey": {"id": created.api_key_id, "token": created.token},
    }
    return json_answer(answer, status=201)


def _named(thing: Organization | Team) -> dict[str, object]:
    return {"id": thing.id, "name": thing.name, "slug": thing.slug}


def _organization(organization: Organization) -> dict[str, object]:
    return {**_named(organization), "createdAt": iso(organization.created_at)}
