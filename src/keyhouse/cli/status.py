"""`keyhouse status`: how the house is, over its data folder or over a running server."""

from typing import TYPE_CHECKING, Any

import typer

from keyhouse.cli.options import AsJson, ProjectPlace
from keyhouse.cli.output import print_fields, print_json

if TYPE_CHECKING:
    from keyhouse.cli.house import House
    from keyhouse.settings import Settings


def status(place: ProjectPlace, as_json: AsJson = False) -> None:
    """Show how the house is: database, encryption keys, unreadable values, serving processes; or, of a server, what the key opens."""
    from keyhouse.cli.house import opened, settings_for

    settings = settings_for(place)
    if settings.endpoint is None:
        told = _local(settings)
    else:
        with opened(place) as house:
            told = {"endpoint": settings.endpoint, **_remote(house)}
    if as_json:
        print_json(told)
        return
    keys, replicas = told.pop("encryptionKeys", {}), told.pop("replicas", None)
    print_fields([*told.items(), *_key_fields(keys), *_replica_fields(replicas)])
    for sentence in (*((keys["problem"],) if keys.get("problem") else ()), *keys.get("warnings", ())):
        typer.echo(sentence)


def _local(settings: "Settings") -> dict[str, Any]:
    from importlib.metadata import version

    from keyhouse.cli.keys import inspected, status_json
    from keyhouse.web.control.answers import iso

    status = inspected(settings)
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
    }


def _remote(house: "House") -> dict[str, Any]:
    """Which version answers, and what the key is for: a project, or an organization."""
    from keyhouse.cli.connection import Request

    told: dict[str, Any] = {"version": house.get("/openapi.json", "nobody")["info"]["version"]}
    defaults = house.try_ask(Request("GET", "/api/model-defaults", "project"))
    if defaults is None:
        return told | {"projects": house.page("/api/projects", "organization", 1, 1)["pagination"]["total"]}
    providers = house.get("/api/model-providers", "project").values()
    return told | {
        "organization": defaults["scope"]["organizationName"],
        "project": defaults["scope"]["projectId"],
        "providers": [entry["provider"] for entry in providers if entry["enabled"]],
    }


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
