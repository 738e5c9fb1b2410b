"""`keyhouse organization`: what whoever runs the installation does; against a server with its instance key."""

from typing import Annotated, Any

import typer

from keyhouse.cli.choosing import chosen
from keyhouse.cli.options import AsJson, Place, flattened
from keyhouse.cli.output import print_answer, print_fields, print_json, print_table

app = typer.Typer(name="organization", help="Organizations. Against a server: with its instance key.", no_args_is_help=True)

Slug = Annotated[str | None, typer.Option(help="Lowercase letters, digits, single hyphens. Default: from the name.")]
KeyName = Annotated[str | None, typer.Option(help="Name of its first API key.")]

_ALL = "/api/organizations"


@flattened
def list_organizations(place: Place, as_json: AsJson = False) -> None:
    """List the organizations, newest first."""
    from keyhouse.cli.house import opened

    with opened(place) as house:
        answer = house.get(_ALL, "instance")
    if as_json:
        print_json(answer)
        return
    rows = ((each["id"], each["slug"], each["name"], each["createdAt"]) for each in answer["organizations"])
    print_table(("id", "slug", "name", "created"), rows)


@flattened
def create_organization(
    name: Annotated[str, typer.Argument(help="Its name.", show_default=False)],
    place: Place,
    slug: Slug = None,
    key_name: KeyName = None,
    as_json: AsJson = False,
) -> None:
    """Create an organization with a team and an admin key, which is shown this once."""
    from keyhouse.cli.connection import Request
    from keyhouse.cli.house import opened

    body: dict[str, Any] = {"name": name, "slug": slug, "adminApiKeyName": key_name}
    with opened(place) as house:
        made = house.ask(Request("POST", _ALL, "instance", {key: value for key, value in body.items() if value is not None})).json
    if as_json:
        print_json(made)
        return
    print_fields(
        [
            ("organization", made["organization"]["id"]),
            ("slug", made["organization"]["slug"]),
            ("team", made["team"]["id"]),
            ("admin key", made["adminApiKey"]["token"]),
        ]
    )
    typer.echo("\nThe key is shown this once.")


@flattened
def show_organization(
    organization: Annotated[str, typer.Argument(help="Its id or slug.", show_default=False)], place: Place, as_json: AsJson = False
) -> None:
    """Show one organization."""
    from keyhouse.cli.connection import segment
    from keyhouse.cli.house import opened

    with opened(place) as house:
        wanted = organization
        if not wanted.startswith("organization_"):
            wanted = chosen(house.get(_ALL, "instance")["organizations"], wanted, "organization")["id"]
        answer = house.get(f"{_ALL}/{segment(wanted)}", "instance")
    print_answer(answer if as_json else answer["organization"], as_json=as_json)


for _name, _command in (("list", list_organizations), ("create", create_organization), ("show", show_organization)):
    app.command(_name)(_command)
