"""`keyhouse project`: the projects of an organization, and their keys."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

import typer

from keyhouse.cli.exit_codes import CommandError, ExitCode
from keyhouse.cli.options import AsJson, OrganizationPlace, Paged, Yes, flattened
from keyhouse.cli.output import confirm, print_answer, print_fields, print_json, print_page

if TYPE_CHECKING:
    from keyhouse.cli.house import House

app = typer.Typer(name="project", help="Projects of an organization, and their keys.", no_args_is_help=True)

Project = Annotated[str, typer.Argument(help="The project, its id or slug.", show_default=False)]
MaybeProject = Annotated[str | None, typer.Argument(help="The project, its id or slug. Default: the only one.", show_default=False)]

_ALL = "/api/projects"


@dataclass(frozen=True)
class ProjectFields:
    """What can be said of a project."""

    language: Annotated[str | None, typer.Option(help="Programming language of the application.")] = None
    framework: Annotated[str | None, typer.Option(help="Framework of the application.")] = None
    team: Annotated[str | None, typer.Option(help="The team it belongs to, its id or slug.")] = None


@flattened
def list_projects(place: OrganizationPlace, paged: Paged, as_json: AsJson = False) -> None:
    """List the projects, newest first."""
    from keyhouse.cli.house import opened

    with opened(place) as house:
        answer = house.page(_ALL, "organization", paged)
    print_page(
        answer, ("id", "slug", "name", "team"), lambda each: (each["id"], each["slug"], each["name"], each["teamId"]), as_json=as_json
    )


@flattened
def create_project(
    name: Annotated[str, typer.Argument(help="Its name.", show_default=False)],
    project: ProjectFields,
    place: OrganizationPlace,
    new_team: Annotated[str | None, typer.Option(help="Name of a new team to put it into, instead of --team.")] = None,
    as_json: AsJson = False,
) -> None:
    """Create a project and a key that is ADMIN on it alone, which is shown this once.

    Without --team it belongs to the only team; without --language or --framework that is `other`.
    """
    from keyhouse.cli.connection import Request
    from keyhouse.cli.house import opened

    body: dict[str, Any] = {"name": name, "language": project.language or "other", "framework": project.framework or "other"}
    with opened(place) as house:
        if new_team is not None:
            body["newTeamName"] = new_team
        else:
            body["teamId"] = house.find("/api/teams", "team", project.team, "Choose one with --team, or make one with --new-team.")
        made = house.ask(Request("POST", _ALL, "organization", body)).json
    if as_json:
        print_json(made)
        return
    print_fields((_NAMES.get(name, name), value) for name, value in made.items())
    typer.echo(f"\nThe service key is shown this once. The project's own key: keyhouse project api-key {made['slug']}")


@flattened
def show_project(project: Project, place: OrganizationPlace, as_json: AsJson = False) -> None:
    """Show one project."""
    _ask("GET", project, "", place, as_json=as_json)


@flattened
def update_project(
    project: Project,
    fields: ProjectFields,
    place: OrganizationPlace,
    name: Annotated[str | None, typer.Option(help="Its name.")] = None,
    as_json: AsJson = False,
) -> None:
    """Change a project. What is not named stays as it is."""
    from keyhouse.cli.connection import Request
    from keyhouse.cli.house import opened

    body = {"name": name, "language": fields.language, "framework": fields.framework}
    if all(value is None for value in (*body.values(), fields.team)):
        raise CommandError("Say what to change: --name, --language, --framework or --team.", ExitCode.USAGE)
    with opened(place) as house:
        if fields.team is not None:
            body["teamId"] = house.find("/api/teams", "team", fields.team)
        change = {key: value for key, value in body.items() if value is not None}
        answer = house.ask(Request("PATCH", _path(house, project), "organization", change)).json
    _print(answer, as_json=as_json)


@flattened
def delete_project(project: Project, place: OrganizationPlace, yes: Yes = False, as_json: AsJson = False) -> None:
    """Archive a project: its keys stop at once. What is stored for it stays."""
    confirm(f"Archive the project {project}? Its keys stop at once.", yes=yes)
    _ask("DELETE", project, "", place, as_json=as_json)


@flattened
def project_api_key(place: OrganizationPlace, project: MaybeProject = None, as_json: AsJson = False) -> None:
    """Print a project's key."""
    _ask("GET", project, "/api-key", place, as_json=as_json)


@flattened
def regenerate_api_key(place: OrganizationPlace, project: MaybeProject = None, yes: Yes = False, as_json: AsJson = False) -> None:
    """Give a project a new key and print it. The old one stops at once."""
    confirm("Make a new key? The old one stops at once, in every application that has it.", yes=yes)
    _ask("POST", project, "/regenerate-api-key", place, as_json=as_json)


for _name, _command in (
    ("list", list_projects),
    ("create", create_project),
    ("show", show_project),
    ("update", update_project),
    ("delete", delete_project),
    ("api-key", project_api_key),
    ("regenerate-api-key", regenerate_api_key),
):
    app.command(_name)(_command)

_NAMES = {"serviceApiKey": "service key", "serviceApiKeyId": "service key id"}


def _ask(method: str, project: str | None, below: str, place: OrganizationPlace, *, as_json: bool) -> None:
    from keyhouse.cli.connection import Request
    from keyhouse.cli.house import opened

    with opened(place) as house:
        answer = house.ask(Request(method, _path(house, project) + below, "organization")).json
    _print(answer, as_json=as_json)


def _path(house: "House", project: str | None) -> str:
    from keyhouse.cli.connection import segment

    return f"{_ALL}/{segment(house.find(_ALL, 'project', project, 'Name one.'))}"


def _print(answer: dict[str, Any], *, as_json: bool) -> None:
    if list(answer) == ["apiKey"] and not as_json:
        typer.echo(answer["apiKey"])
    else:
        print_answer(answer, as_json=as_json)
