"""The organization's projects and teams."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from starlette.responses import Response

from keyhouse.domain.errors import Code, Error
from keyhouse.domain.paging import Paging
from keyhouse.domain.tenancy import Caller, Permission, Place, Project
from keyhouse.services.projects import Projects, ProjectUpdate
from keyhouse.services.rights import place_of
from keyhouse.services.teams import Teams
from keyhouse.web.control.projects import ProjectBody, ProjectUpdateBody, team_problems, to_request
from keyhouse.web.control.routing import validated
from keyhouse.web.control.teams import TeamBody
from keyhouse.web.errors import STATUS
from keyhouse.web.pages.paging import list_page, listed, whole
from keyhouse.web.pages.rendering import moved_back
from keyhouse.web.pages.site import Page
from keyhouse.web.pages.visit import Visit

_HERE = "/organization/projects"
# What a person can put right in a form.
_REFUSALS = frozenset({Code.VALIDATION_ERROR, Code.BAD_REQUEST, Code.CONFLICT, Code.TEAM_NAME_TAKEN})


class OrganizationPages:
    """See the module. `provider_name` is what people call a provider."""

    def __init__(self, projects: Projects, teams: Teams, provider_name: Callable[[str], str]) -> None:
        self._projects = projects
        self._teams = teams
        self._provider_name = provider_name

    def pages(self) -> list[Page]:
        """Every address."""
        return [
            Page("GET", _HERE, self.show_projects),
            Page("POST", _HERE, self.create_project),
            Page("POST", f"{_HERE}/{{id}}/rename", self.rename_project),
            Page("POST", f"{_HERE}/{{id}}/archive", self.archive_project),
            Page("POST", "/organization/teams", self.create_team),
            Page("POST", "/organization/teams/{id}/rename", self.rename_team),
            Page("POST", "/organization/teams/{id}/archive", self.archive_team),
        ]

    async def show_projects(self, visit: Visit) -> Response:
        """Projects and teams."""
        return await self._list(visit)

    async def create_project(self, visit: Visit) -> Response:
        """A new project; its service key is shown this once."""
        team = visit.form.text("team")
        body = {name: visit.form.text(name) for name in ("name", "language", "framework")}
        body |= {"teamId": team} if team else {"newTeamName": visit.form.text("new_team")}
        try:
            created = await self._projects.create(visit.caller, to_request(validated(ProjectBody, body, team_problems)))
        except Error as error:
            return await self._refused(visit, error, "new-project")
        return await self._list(visit, made=created.project, token=created.token)

    async def rename_project(self, visit: Visit) -> Response:
        """Another name."""
        try:
            body: Any = validated(ProjectUpdateBody, {"name": visit.form.text("name")})
            await self._projects.update(visit.caller, visit.path["id"], ProjectUpdate(name=body.name))
        except Error as error:
            return await self._refused(visit, error, f"rename-{visit.path['id']}")
        return moved_back(visit, _HERE, "project-renamed")

    async def archive_project(self, visit: Visit) -> Response:
        """Archive: its keys stop at once."""
        await self._projects.archive(visit.caller, visit.path["id"])
        return moved_back(visit, _HERE, "project-archived")

    async def create_team(self, visit: Visit) -> Response:
        """A new team."""
        try:
            await self._teams.create(visit.caller, validated(TeamBody, {"name": visit.form.text("name")}).name)
        except Error as error:
            return await self._refused(visit, error, "new-team")
        return moved_back(visit, _HERE, "team-made")

    async def rename_team(self, visit: Visit) -> Response:
        """Another name."""
        try:
            name = validated(TeamBody, {"name": visit.form.text("name")}).name
            await self._teams.rename(visit.caller, visit.path["id"], name)
        except Error as error:
            return await self._refused(visit, error, f"rename-team-{visit.path['id']}")
        return moved_back(visit, _HERE, "team-renamed")

    async def archive_team(self, visit: Visit) -> Response:
        """Archive a team that has no projects."""
        try:
            await self._teams.archive(visit.caller, visit.path["id"])
        except Error as error:
            return await self._refused(visit, error, "")
        return moved_back(visit, _HERE, "team-archived")

    async def _refused(self, visit: Visit, error: Error, dialog: str) -> Response:
        """The page again, with the dialog open whose form was refused; empty where there is nothing in it to put right."""
        if error.code not in _REFUSALS:
            raise error
        fields = error.fields
        of_team = "newTeamName" in fields or (error.code is Code.TEAM_NAME_TAKEN and dialog == "new-project")
        field = "new_team" if of_team and "name" not in fields else "name"
        whose = "the new team" if field == "new_team" else "it"
        named = "name" in fields or "newTeamName" in fields
        problem = f"Give {whose} a name, 1 to 200 characters." if named else error.message
        return await self._list(visit, STATUS[error.code], problem=problem, refused=dialog, refused_field=field)

    async def _list(self, visit: Visit, status: int = 200, **shown: Any) -> Response:
        if visit.caller.is_project_key:
            raise Error(Code.PERMISSION_DENIED, "A project’s key opens its own project alone. Sign in with an API key of the organization.")
        teams = await whole(partial(self._teams.list, visit.caller))
        team_names = {team.id: team.name for team in teams}
        caller = visit.caller
        shown_projects, found, total = await listed(
            visit,
            partial(self._with_providers, caller),
            lambda one: f"{one[0].name} {team_names.get(one[0].team_id, '')} {one[0].id} {one[1]}",
        )
        projects = [project for project, _ in shown_projects]
        stored = {project.id: providers for project, providers in shown_projects if providers}
        with_rights = [(project, caller.permissions_at(place_of(project))) for project in projects]
        rights = {team.id: caller.permissions_at(Place(team.organization_id, team.id)) for team in teams}
        values: dict[str, Any] = {"made": None, "token": "", "problem": "", "refused": "", "refused_field": "", "form": visit.form, **shown}
        values |= {"found": found, "total": total, "teams": teams, "team_names": team_names, "stored": stored}
        values["creatable"] = [team for team in teams if Permission.CREATE in rights[team.id]]
        values["manageable"] = {team.id for team in teams if Permission.MANAGE in rights[team.id]}
        dialogs = {
            "new-project",
            "new-team",
            *(f"rename-{project.id}" for project in projects),
            *(f"rename-team-{team.id}" for team in teams),
        }
        values["refused"] = values["refused"] if values["refused"] in dialogs else ""
        return list_page(visit, "projects.html", found, status, projects=with_rights, **values)

    async def _with_providers(self, caller: Caller, paging: Paging) -> tuple[Sequence[tuple[Project, str]], int]:
        """A page of the projects, each with the names of the providers that it has."""
        projects, total = await self._projects.list(caller, paging)
        stored = await self._projects.providers(caller, [project.id for project in projects])
        named = {
            project_id: sorted(self._provider_name(provider) + ("" if enabled else " (off)") for provider, enabled in of_it.items())
            for project_id, of_it in stored.items()
        }
        return [(project, ", ".join(named.get(project.id, ()))) for project in projects], total
