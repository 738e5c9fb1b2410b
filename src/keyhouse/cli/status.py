"""`keyhouse status`: how the house is, over its data folder or over a running server."""

import datetime
from typing import TYPE_CHECKING, Any

import typer

from keyhouse.cli.options import AsJson, Paged, ProjectPlace
from keyhouse.cli.output import print_fields, print_json, print_table, shown

if TYPE_CHECKING:
    from keyhouse.cli.house import House
    from keyhouse.services.encryption_keys import KeysStatus
    from keyhouse.services.model_defaults import RetiringDefault
    from keyhouse.settings import Settings

_SOON = datetime.timedelta(days=60)
_SHOWN = 20
_WHAT_TO_DO = (
    "Name another default model, on the page of a provider or by `keyhouse provider set PROVIDER --default-model ID --project PROJECT`: "
    "a model that has ended is still asked for, which most providers refuse. `keyhouse catalog models` tells what there is."
)


def status(place: ProjectPlace, as_json: AsJson = False) -> None:
    """Show how the house is: database, encryption keys, unreadable values, serving processes, default models that end soon.

    Of a server: what the key opens.
    """
    from keyhouse.cli.house import opened_by, settings_for

    settings = settings_for(place)
    if settings.endpoint is None:
        told = _local(settings)
    else:
        with opened_by(settings) as house:
            told = {"endpoint": settings.endpoint, **_remote(house)}
    if as_json:
        print_json(told)
        return
    keys, replicas = told.pop("encryptionKeys", {}), told.pop("replicas", None)
    retiring, models_problem = told.pop("retiringDefaultModels", []), told.pop("modelsProblem", None)
    print_fields([*told.items(), *_key_fields(keys), *_replica_fields(replicas)])
    for sentence in (keys.get("problem"), *keys.get("warnings", ()), models_problem):
        if sentence:
            typer.echo(sentence)
    if retiring:
        print_retiring(retiring, _today())


def _local(settings: "Settings") -> dict[str, Any]:
    import asyncio
    from importlib.metadata import version

    from keyhouse.cli.keys import status_json
    from keyhouse.cli.local_data import require_data
    from keyhouse.web.control.answers import iso

    require_data(settings)
    status, retiring, models_problem = asyncio.run(_looked_at(settings))
    return {
        "version": version("keyhouse"),
        "database": settings.shown_database,
        "dialect": status.database,
        "schema": status.schema,
        "encryptionKeys": status_json(status),
        "replicas": [
            {
                "host": replica.host,
                "processId": replica.process_id,
                "version": replica.version,
                "startedAt": iso(replica.started_at),
                "seenAt": iso(replica.seen_at),
            }
            for replica in status.replicas
        ],
        "retiringDefaultModels": [
            _retiring(one.of.organization_name, one.of.project_id, one.of.project_name, one.of.model, one.retires_on.isoformat())
            for one in retiring
        ],
        "modelsProblem": models_problem,
    }


async def _looked_at(settings: "Settings") -> "tuple[KeysStatus, tuple[RetiringDefault, ...], str | None]":
    """The keys, the default models that end soon, and why those cannot be told."""
    from keyhouse.app import key_source
    from keyhouse.catalog.catalog import load_catalog
    from keyhouse.domain.errors import Error
    from keyhouse.services.encryption_keys import opened_as_it_is, status
    from keyhouse.services.model_defaults import retiring_defaults

    async with opened_as_it_is(settings.url) as database:
        keys = await status(database, key_source(settings))
        try:
            catalog = load_catalog(settings.models_file)
        except Error as error:
            return keys, (), error.message
        return keys, await retiring_defaults(database, catalog, _today() + _SOON), None


def _remote(house: "House") -> dict[str, Any]:
    """Which version answers, and what the key is for: a project, or an organization."""
    from keyhouse.cli.connection import Request

    told: dict[str, Any] = {"version": house.get("/openapi.json", "nobody")["info"]["version"]}
    defaults = house.try_ask(Request("GET", "/api/model-defaults", "project"))
    if defaults is None:
        return told | {"projects": house.page("/api/projects", "organization", Paged(limit=1))["pagination"]["total"]}
    providers = house.get("/api/model-providers", "project").values()
    return told | {
        "organization": defaults["scope"]["organizationName"],
        "project": defaults["scope"]["projectId"],
        "providers": [entry["provider"] for entry in providers if entry["enabled"]],
        "retiringDefaultModels": _retiring_of_server(house, defaults),
    }


def _retiring_of_server(house: "House", defaults: dict[str, Any]) -> list[dict[str, str]]:
    """The project's default model, if it ends soon or has ended."""
    from keyhouse.cli.connection import segment
    from keyhouse.cli.exit_codes import CommandError

    if defaults["effective"]["DEFAULT"] is None:
        return []
    model, [config] = defaults["effective"]["DEFAULT"]["model"], defaults["configs"]
    try:
        day = house.get(f"/v1/models/{segment(model)}", "project")["keyhouse"].get("retires_on")
    except CommandError:
        # Its provider is not enabled.
        return []
    if day is None or datetime.date.fromisoformat(day) > _today() + _SOON:
        return []
    scope = defaults["scope"]
    return [_retiring(scope["organizationName"], scope["projectId"], config["scopes"][0]["name"], model, day)]


def _retiring(organization: str, project_id: str, project: str, model: str, day: str) -> dict[str, str]:
    return {"organization": organization, "projectId": project_id, "project": project, "model": model, "retiresOn": day}


def print_retiring(retiring: list[dict[str, str]], today: datetime.date) -> None:
    """A table of default models that end, the first of many, and what to do."""
    from keyhouse.domain.model import retirement

    typer.echo()
    print_table(
        ("project", "organization", "default model", "its end"),
        (
            (one["project"], one["organization"], one["model"], retirement(datetime.date.fromisoformat(one["retiresOn"]), today))
            for one in retiring[:_SHOWN]
        ),
    )
    if len(retiring) > _SHOWN:
        typer.echo(f"\n{len(retiring)} in all: --json shows every one.")
    typer.echo(f"\n{shown(_WHAT_TO_DO)}")


def _today() -> datetime.date:
    return datetime.datetime.now(datetime.UTC).date()


def _key_fields(keys: dict[str, Any]) -> list[tuple[str, object]]:
    if not keys:
        return []
    return [
        ("key ring", keys["ring"]),
        ("keys", [f"{key['id']} ({'writes, ' if key['writes'] else ''}{key['values']} values)" for key in keys["keys"]]),
        ("unreadable", f"{keys['unreadable']} of {keys['values']} values"),
    ]


def _replica_fields(replicas: list[dict[str, Any]] | None) -> list[tuple[str, object]]:
    if replicas is None:
        return []
    shown = [f"process {each['processId']} on {each['host']} ({each['version']}, since {each['startedAt']})" for each in replicas]
    return [("served by", shown or "no process")]
