"""`keyhouse api-key`: the API keys of an organization."""

import contextlib
import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from keyhouse.cli.exit_codes import CommandError, ExitCode
from keyhouse.cli.options import AsJson, OrganizationPlace, Paged, Yes, flattened
from keyhouse.cli.output import confirm, print_fields, print_json, print_page

if TYPE_CHECKING:
    from keyhouse.cli.house import House

app = typer.Typer(name="api-key", help="API keys of an organization.", no_args_is_help=True)

Key = Annotated[str, typer.Argument(help="The key's id; the list shows it.", show_default=False)]

_ALL = "/api/api-keys"
_SPAN = re.compile(r"(\d{1,6})([dhm])")
_UNITS = {"d": "days", "h": "hours", "m": "minutes"}


@dataclass(frozen=True)
class KeyFields:
    """What can be said of a key."""

    description: Annotated[str | None, typer.Option(help="What it is for.")] = None
    role: Annotated[Literal["ADMIN", "MEMBER", "VIEWER"] | None, typer.Option(help="What it may do, where it may. Default: ADMIN.")] = None
    project: Annotated[
        list[str] | None, typer.Option("--project", "-p", help="A project that it opens, its id or slug. Default: the whole organization.")
    ] = None
    team: Annotated[list[str] | None, typer.Option(help="A team whose projects it opens, its id or slug.")] = None
    permission: Annotated[
        list[str] | None, typer.Option(help="It may just this, such as project:view, even where its role allows more.")
    ] = None
    readonly: Annotated[bool, typer.Option("--readonly", help="It may only read.")] = False
    expires: Annotated[str | None, typer.Option(help="When it stops: 90d, 12h, 30m, or a time such as 2027-01-31T12:00:00Z.")] = None


@flattened
def list_api_keys(place: OrganizationPlace, paged: Paged, as_json: AsJson = False) -> None:
    """List the API keys, without their tokens."""
    from keyhouse.cli.house import opened

    with opened(place) as house:
        answer = house.page(_ALL, "organization", paged)
    print_page(
        answer,
        ("id", "name", "created", "expires", "revoked", "last used"),
        lambda each: [each.get(name) for name in ("id", "name", "createdAt", "expiresAt", "revokedAt", "lastUsedAt")],
        as_json=as_json,
    )


@flattened
def create_api_key(
    name: Annotated[str, typer.Argument(help="Its name.", show_default=False)],
    fields: KeyFields,
    place: OrganizationPlace,
    as_json: AsJson = False,
) -> None:
    """Create an API key. Its token is shown this once."""
    from keyhouse.cli.connection import Request
    from keyhouse.cli.house import opened

    with opened(place) as house:
        body = {"keyType": "service", "name": name, **_body(house, fields)}
        made = house.ask(Request("POST", _ALL, "organization", body)).json
    if as_json:
        print_json(made)
        return
    print_fields([("token", made["token"]), ("id", made["apiKey"]["id"]), ("name", made["apiKey"]["name"])])
    typer.echo("\nThe token is shown this once.")


@flattened
def show_api_key(key: Key, place: OrganizationPlace, as_json: AsJson = False) -> None:
    """Show one API key, without its token."""
    _ask("GET", key, place, as_json=as_json)


@flattened
def update_api_key(
    key: Key,
    fields: KeyFields,
    place: OrganizationPlace,
    name: Annotated[str | None, typer.Option(help="Its name.")] = None,
    as_json: AsJson = False,
) -> None:
    """Change an API key; its token stays. What is not named stays as it is."""
    from keyhouse.cli.connection import Request
    from keyhouse.cli.house import opened

    with opened(place) as house:
        body = _body(house, fields) | ({} if name is None else {"name": name})
        answer = house.ask(Request("PATCH", _path(key), "organization", body)).json
    _print(answer, as_json=as_json)


@flattened
def revoke_api_key(key: Key, place: OrganizationPlace, yes: Yes = False, as_json: AsJson = False) -> None:
    """Revoke an API key: it stops at once."""
    confirm(f"Revoke {key}? It stops at once, in every application that has it.", yes=yes)
    _ask("DELETE", key, place, as_json=as_json)


for _name, _command in (
    ("list", list_api_keys),
    ("create", create_api_key),
    ("show", show_api_key),
    ("update", update_api_key),
    ("revoke", revoke_api_key),
):
    app.command(_name)(_command)


def _ask(method: str, key: str, place: OrganizationPlace, *, as_json: bool) -> None:
    from keyhouse.cli.connection import Request
    from keyhouse.cli.house import opened

    with opened(place) as house:
        answer = house.ask(Request(method, _path(key), "organization")).json
    _print(answer, as_json=as_json)


def _path(key: str) -> str:
    from keyhouse.cli.connection import segment

    return f"{_ALL}/{segment(key)}"


def _print(answer: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        print_json(answer)
    else:
        print_fields((name, _shown_bindings(value) if name == "bindings" else value) for name, value in answer.items())


def _body(house: "House", fields: KeyFields) -> dict[str, Any]:
    """What the options say, in the API's words."""
    body: dict[str, Any] = {} if fields.description is None else {"description": fields.description}
    if fields.readonly and fields.permission:
        raise CommandError("A key is either --readonly or has its --permission: choose one.", ExitCode.USAGE)
    if fields.readonly:
        body["permissionMode"] = "readonly"
    if fields.permission:
        body |= {"permissionMode": "restricted", "permissions": fields.permission}
    if fields.expires is not None:
        body["expiresAt"] = moment(fields.expires)
    if bindings := _bindings(house, fields):
        body["bindings"] = bindings
    return body


def _bindings(house: "House", fields: KeyFields) -> list[dict[str, str]]:
    role = fields.role or "ADMIN"
    scopes = [("PROJECT", house.find("/api/projects", "project", wanted)) for wanted in fields.project or []]
    scopes += [("TEAM", house.find("/api/teams", "team", wanted)) for wanted in fields.team or []]
    if not scopes and fields.role is not None:
        scopes = [("ORGANIZATION", house.page("/api/teams", "organization", Paged(limit=1))["data"][0]["organizationId"])]
    return [{"role": role, "scopeType": kind, "scopeId": scope_id} for kind, scope_id in scopes]


def moment(text: str) -> str:
    """A time as the API takes it, from a span such as `90d` or a time with its zone. Raises CommandError."""
    span = _SPAN.fullmatch(text)
    with contextlib.suppress(ValueError, OverflowError):
        at = datetime.now(UTC) + timedelta(**{_UNITS[span[2]]: int(span[1])}) if span else datetime.fromisoformat(text)
        if at.tzinfo is not None:
            return at.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
    raise CommandError("Write --expires as 90d, 12h, 30m, or as a time with its zone: 2027-01-31T12:00:00Z.", ExitCode.USAGE)


def _shown_bindings(bindings: list[dict[str, str]]) -> str:
    return ", ".join(f"{bound['role']} on {bound['scopeType'].lower()} {bound['scopeId']}" for bound in bindings)
