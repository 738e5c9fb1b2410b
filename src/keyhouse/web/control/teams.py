"""The routes of teams."""

from collections.abc import Mapping
from functools import partial

from pydantic import MISSING, BaseModel

from keyhouse.domain.tenancy import Caller, Permission, Team
from keyhouse.services.teams import Teams
from keyhouse.web.control.access import Access, admin_only
from keyhouse.web.control.answers import ArchivedShape, Pagination, archived_json, iso, page_json
from keyhouse.web.control.fields import Name
from keyhouse.web.control.paging import PageQuery, paging_of
from keyhouse.web.control.project_answers import ProjectsAnswer, project_page
from keyhouse.web.control.routing import Answer, Call, Operation, Route, json_answer
from keyhouse.web.control.schemas import Body

_ALL = "/api/teams"
_ONE = "/api/teams/{id}"
_TAG = "Teams"


class TeamBody(Body):
    """A new team."""

    name: Name


class TeamUpdateBody(Body):
    """What changes of a team."""

    name: Name | MISSING = MISSING


class TeamShape(BaseModel):
    """A team."""

    id: str
    name: str
    slug: str
    organizationId: str
    createdAt: str
    updatedAt: str


class TeamsAnswer(BaseModel):
    """A page of teams."""

    data: list[TeamShape]
    pagination: Pagination


class TeamHandlers:
    """One method a route."""

    def __init__(self, service: Teams) -> None:
        self._service = service

    async def list_all(self, call: Call) -> Answer:
        """A page of the teams that the caller may view."""
        paging = paging_of(call.query)
        teams, total = await self._service.list(call.caller, paging)
        return Answer(page_json([_team(team) for team in teams], paging, total))

    async def create(self, call: Call) -> Answer:
        """Create."""
        return json_answer(_team(await self._service.create(call.caller, call.body.name)), status=201)

    async def get(self, call: Call) -> Answer:
        """One team."""
        return json_answer(_team(await self._service.get(call.caller, call.path["id"])))

    async def update(self, call: Call) -> Answer:
        """Rename."""
        name = None if call.body.name is MISSING else call.body.name
        return json_answer(_team(await self._service.rename(call.caller, call.path["id"], name)))

    async def archive(self, call: Call) -> Answer:
        """Archive."""
        team, archived_at = await self._service.archive(call.caller, call.path["id"])
        return json_answer(archived_json(team, archived_at))

    async def list_projects(self, call: Call) -> Answer:
        """A page of a team's projects."""
        paging = paging_of(call.query)
        projects, total = await self._service.list_projects(call.caller, call.path["id"], paging)
        return Answer(project_page(projects, paging, total))

    async def authorize_update(self, caller: Caller, path: Mapping[str, str]) -> None:
        """Whether the caller may rename the team, if there is one."""
        await self._service.authorize(caller, path["id"], Permission.MANAGE)


def team_routes(service: Teams) -> list[Route]:
    """Every route of teams, over one service."""
    handlers = TeamHandlers(service)
    return [*_reading(handlers), *_writing(handlers)]


def _reading(handlers: TeamHandlers) -> list[Route]:
    view = partial(Route, "GET", access=Access.ORGANIZATION, permission=Permission.VIEW)
    listing = partial(Operation, tag=_TAG, query=PageQuery)
    return [
        view(_ALL, handlers.list_all, listing("getApiTeams", "List the teams that the API key may view, newest first", {200: TeamsAnswer})),
        view(_ONE, handlers.get, Operation("getApiTeamsById", "Get one team", {200: TeamShape}, _TAG)),
        view(
            f"{_ONE}/projects",
            handlers.list_projects,
            listing("getApiTeamsByIdProjects", "List the projects of a team, newest first", {200: ProjectsAnswer}),
        ),
    ]


def _writing(handlers: TeamHandlers) -> list[Route]:
    archived = {200: ArchivedShape}
    return [
        Route(
            "POST",
            _ALL,
            handlers.create,
            Operation("postApiTeams", "Create a team. Needs ADMIN on the organization", {201: TeamShape}, _TAG),
            access=Access.ORGANIZATION,
            authorize=admin_only,
            body=TeamBody,
        ),
        Route(
            "PATCH",
            _ONE,
            handlers.update,
            Operation("patchApiTeamsById", "Rename a team", {200: TeamShape}, _TAG),
            access=Access.ORGANIZATION,
            permission=Permission.MANAGE,
            authorize=handlers.authorize_update,
            body=TeamUpdateBody,
        ),
        Route(
            "DELETE",
            _ONE,
            handlers.archive,
            Operation("deleteApiTeamsById", "Archive a team that has no projects. Needs ADMIN on the organization", archived, _TAG),
            access=Access.ORGANIZATION,
            authorize=admin_only,
        ),
    ]


def _team(team: Team) -> dict[str, object]:
    return {
        "id": team.id,
        "name": team.name,
        "slug": team.slug,
        "organizationId": team.organization_id,
        "createdAt": iso(team.created_at),
        "updatedAt": iso(team.updated_at),
    }
