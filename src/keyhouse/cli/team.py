"""`keyhouse team`: the teams of an organization."""

from typing import Annotated

import typer

from keyhouse.cli.options import AsJson, OrganizationPlace, Paged, Yes, flattened
from keyhouse.cli.output import confirm, print_answer, print_page

app = typer.Typer(name="team", help="Teams of an organization.", no_args_is_help=True)

Team = Annotated[str, typer.Argument(help="The team, its id or slug.", show_default=False)]
Name = Annotated[str, typer.Argument(help="Its name.", show_default=False)]

_ALL = "/api/teams"


@flattened
def list_teams(place: OrganizationPlace, paged: Paged, as_json: AsJson = False) -> None:
    """List the teams, newest first."""
    from keyhouse.cli.house import opened

    with opened(place) as house:
        answer = house.page(_ALL, "organization", paged)
    print_page(answer, ("id", "slug", "name"), lambda each: (each["id"], each["slug"], each["name"]), as_json=as_json)


@flattened
def create_team(name: Name, place: OrganizationPlace, as_json: AsJson = False) -> None:
    """Create a team."""
    _change("POST", None, {"name": name}, place, as_json=as_json)


@flattened
def show_team(team: Team, place: OrganizationPlace, as_json: AsJson = False) -> None:
    """Show one team."""
    _change("GET", team, None, place, as_json=as_json)


@flattened
def rename_team(team: Team, name: Name, place: OrganizationPlace, as_json: AsJson = False) -> None:
    """Give a team another name."""
    _change("PATCH", team, {"name": name}, place, as_json=as_json)


@flattened
def delete_team(team: Team, place: OrganizationPlace, yes: Yes = False, as_json: AsJson = False) -> None:
    """Archive a team that has no projects."""
    confirm(f"Archive the team {team}?", yes=yes)
    _change("DELETE", team, None, place, as_json=as_json)


for _name, _command in (
    ("list", list_teams),
    ("create", create_team),
    ("show", show_team),
    ("rename", rename_team),
    ("delete", delete_team),
):
    app.command(_name)(_command)


def _change(method: str, team: str | None, body: object, place: OrganizationPlace, *, as_json: bool) -> None:
    from keyhouse.cli.connection import Request, segment
    from keyhouse.cli.house import opened

    with opened(place) as house:
        path = _ALL if team is None else f"{_ALL}/{segment(house.find(_ALL, 'team', team))}"
        answer = house.ask(Request(method, path, "organization", body)).json
    print_answer(answer, as_json=as_json)
