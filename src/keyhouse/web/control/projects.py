"""The routes of projects and of their keys."""

from collections.abc import Mapping
from functools import partial

from pydantic import MISSING, BaseModel

from keyhouse.domain.tenancy import Caller, Permission
from keyhouse.services.projects import ProjectRequest, Projects, ProjectUpdate
from keyhouse.web.control.access import Access
from keyhouse.web.control.answers import ArchivedShape, archived_json
from keyhouse.web.control.fields import Name, ScopeId
from keyhouse.web.control.paging import PageQuery, paging_of
from keyhouse.web.control.project_answers import ProjectsAnswer, ProjectShape, project_json, project_page
from keyhouse.web.control.routing import Answer, Call, Operation, Route, json_answer
from keyhouse.web.control.schemas import Body, FieldProblem

_ALL = "/api/projects"
_ONE = "/api/projects/{id}"
_TAG = "Projects"


class ProjectBody(Body):
    """A new project, in a team that exists or in a new one."""

    name: Name
    language: Name
    framework: Name
    teamId: ScopeId | MISSING = MISSING
    newTeamName: Name | MISSING = MISSING


class ProjectUpdateBody(Body):
    """What changes of a project."""

    name: Name | MISSING = MISSING
    language: Name | MISSING = MISSING
    framework: Name | MISSING = MISSING
    teamId: ScopeId | MISSING = MISSING


class CreatedProjectShape(ProjectShape):
    """A new project, and an API key that is ADMIN on it alone. The key is shown this once."""

    serviceApiKey: str
    serviceApiKeyId: str


class ProjectKeyAnswer(BaseModel):
    """A project's key."""

    apiKey: str


class ProjectHandlers:
    """One method a route."""

    def __init__(self, service: Projects) -> None:
        self._service = service

    async def list_all(self, call: Call) -> Answer:
        """A page of the projects that the caller may view."""
        paging = paging_of(call.query)
        projects, total = await self._service.list(call.caller, paging)
        return Answer(project_page(projects, paging, total))

    async def create(self, call: Call) -> Answer:
        """Create, with an API key of its own."""
        created = await self._service.create(call.caller, to_request(call.body))
        shown = project_json(created.project) | {"serviceApiKey": created.token, "serviceApiKeyId": created.api_key_id}
        return json_answer(shown, status=201)

    async def get(self, call: Call) -> Answer:
        """One project."""
        return json_answer(project_json(await self._service.get(call.caller, call.path["id"])))

    async def update(self, call: Call) -> Answer:
        """Change or move."""
        return json_answer(project_json(await self._service.update(call.caller, call.path["id"], _to_update(call.body))))

    async def archive(self, call: Call) -> Answer:
        """Archive."""
        project, archived_at = await self._service.archive(call.caller, call.path["id"])
        return json_answer(archived_json(project, archived_at))

    async def get_key(self, call: Call) -> Answer:
        """The project's key."""
        return json_answer({"apiKey": await self._service.open_key(call.caller, call.path["id"])})

    async def regenerate_key(self, call: Call) -> Answer:
        """Another key."""
        return json_answer({"apiKey": await self._service.regenerate_key(call.caller, call.path["id"])})

    async def authorize_update(self, caller: Caller, path: Mapping[str, str]) -> None:
        """Whether the caller may change the project, if there is one."""
        await self._service.authorize(caller, path["id"], Permission.UPDATE)


def project_routes(service: Projects) -> list[Route]:
    """Every route of projects, over one service."""
    handlers = ProjectHandlers(service)
    return [*_reading(handlers), *_writing(handlers), *_key_routes(handlers)]


def _reading(handlers: ProjectHandlers) -> list[Route]:
    view = partial(Route, "GET", access=Access.ORGANIZATION, permission=Permission.VIEW)
    what = "List the projects that the API key may view, newest first"
    return [
        view(_ALL, handlers.list_all, Operation("getApiProjects", what, {200: ProjectsAnswer}, _TAG, query=PageQuery)),
        view(_ONE, handlers.get, Operation("getApiProjectsById", "Get one project", {200: ProjectShape}, _TAG)),
    ]


def _writing(handlers: ProjectHandlers) -> list[Route]:
    created = {201: CreatedProjectShape}
    return [
        Route(
            "POST",
            _ALL,
            handlers.create,
            Operation("postApiProjects", "Create a project, and an API key that is ADMIN on it alone", created, _TAG),
            access=Access.ORGANIZATION,
            permission=Permission.CREATE,
            body=ProjectBody,
            problems=team_problems,
        ),
        Route(
            "PATCH",
            _ONE,
            handlers.update,
            Operation("patchApiProjectsById", "Change a project, or move it to another team", {200: ProjectShape}, _TAG),
            access=Access.ORGANIZATION,
            permission=Permission.UPDATE,
            authorize=handlers.authorize_update,
            body=ProjectUpdateBody,
        ),
        Route(
            "DELETE",
            _ONE,
            handlers.archive,
            Operation("deleteApiProjectsById", "Archive a project: its keys stop at once", {200: ArchivedShape}, _TAG),
            access=Access.ORGANIZATION,
            permission=Permission.DELETE,
        ),
    ]


def _key_routes(handlers: ProjectHandlers) -> list[Route]:
    shown = {200: ProjectKeyAnswer}
    replaced = "Give a project a new key: the old one stops at once"
    return [
        Route(
            "GET",
            f"{_ONE}/api-key",
            handlers.get_key,
            Operation("getApiProjectsByIdApi-key", "Get the key of a project", shown, _TAG),
            access=Access.ORGANIZATION,
            permission=Permission.UPDATE,
        ),
        Route(
            "POST",
            f"{_ONE}/regenerate-api-key",
            handlers.regenerate_key,
            Operation("postApiProjectsByIdRegenerate-api-key", replaced, shown, _TAG),
            access=Access.ORGANIZATION,
            permission=Permission.MANAGE,
        ),
    ]


def team_problems(body: ProjectBody) -> list[FieldProblem]:
    """What the schema of a new project cannot say."""
    given = (body.teamId is not MISSING) + (body.newTeamName is not MISSING)
    return [] if given == 1 else [("(root)", "missing" if given == 0 else "ambiguous", "give either teamId or newTeamName")]


def to_request(body: ProjectBody) -> ProjectRequest:
    """What the body says, in the service's words."""
    return ProjectRequest(
        body.name,
        body.language,
        body.framework,
        team_id=None if body.teamId is MISSING else body.teamId,
        new_team_name=None if body.newTeamName is MISSING else body.newTeamName,
    )


def _to_update(body: ProjectUpdateBody) -> ProjectUpdate:
    return ProjectUpdate(
        name=None if body.name is MISSING else body.name,
        language=None if body.language is MISSING else body.language,
        framework=None if body.framework is MISSING else body.framework,
        team_id=None if body.teamId is MISSING else body.teamId,
    )
