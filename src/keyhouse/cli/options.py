"""Options as values: a command takes a dataclass, and typer sees one option for each of its fields."""

import inspect
from collections.abc import Callable
from dataclasses import dataclass, fields, is_dataclass
from pathlib import Path
from typing import Annotated, Any, get_type_hints

import typer

_WHERE = "Where"


@dataclass(frozen=True)
class Folder:
    """Which data a command works on that needs the encryption keys."""

    data_dir: Annotated[Path | None, typer.Option(help="The data folder.", rich_help_panel=_WHERE)] = None
    database_url: Annotated[str | None, typer.Option(help="The database, if not in the data folder.", rich_help_panel=_WHERE)] = None


@dataclass(frozen=True)
class Place(Folder):
    """Which house a command works on: the data folder, or a running server."""

    endpoint: Annotated[
        str | None, typer.Option(help="Address of a running server, instead of the data folder.", rich_help_panel=_WHERE)
    ] = None
    api_key: Annotated[
        str | None,
        typer.Option(
            help="Key for that server; `-` reads it from standard input. Better: KEYHOUSE_API_KEY or KEYHOUSE_API_KEY_FILE. "
            "Without any of them you are asked.",
            rich_help_panel=_WHERE,
        ),
    ] = None


@dataclass(frozen=True)
class ProjectPlace(Place):
    """Which project of it."""

    project: Annotated[
        str | None, typer.Option("--project", "-p", help="The project, its id or slug. Default: the only one.", rich_help_panel=_WHERE)
    ] = None


@dataclass(frozen=True)
class OrganizationPlace(Place):
    """Which organization of it."""

    organization: Annotated[
        str | None, typer.Option(help="The organization, its id or slug. Default: the only one.", rich_help_panel=_WHERE)
    ] = None


@dataclass(frozen=True)
class Paged:
    """Which part of a list that is told in pages."""

    page: Annotated[int, typer.Option(help="Which page, from 1.")] = 1
    limit: Annotated[int, typer.Option(help="How many on a page, at most 1000.")] = 50

    @property
    def query(self) -> dict[str, str]:
        """The same in a request's query."""
        return {"page": str(self.page), "limit": str(self.limit)}


AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, as the API gives it.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask whether you are sure.")]


def flattened(command: Callable[..., None]) -> Callable[..., None]:
    """A command whose dataclass parameters are spread into one parameter for each field, which is what typer reads."""
    hints = get_type_hints(command, include_extras=True)
    spread: list[inspect.Parameter] = []
    groups: dict[str, type[Any]] = {}
    for parameter in inspect.signature(command).parameters.values():
        kind = hints[parameter.name]
        if is_dataclass(kind) and isinstance(kind, type):
            groups[parameter.name] = kind
            spread += _parameters_of(kind)
        else:
            spread.append(parameter.replace(annotation=kind, kind=inspect.Parameter.KEYWORD_ONLY))

    def run(**given: Any) -> None:
        values = {name: kind(**{field.name: given.pop(field.name) for field in fields(kind)}) for name, kind in groups.items()}
        command(**given, **values)

    run.__name__, run.__doc__ = command.__name__, command.__doc__
    run.__signature__ = inspect.Signature(spread)  # type: ignore[attr-defined]
    run.__annotations__ = {parameter.name: parameter.annotation for parameter in spread}
    return run


def _parameters_of(kind: type[Any]) -> list[inspect.Parameter]:
    hints = get_type_hints(kind, include_extras=True)
    return [
        inspect.Parameter(field.name, inspect.Parameter.KEYWORD_ONLY, default=field.default, annotation=hints[field.name])
        for field in fields(kind)
    ]
