"""`keyhouse provider`: a project's model providers, listed, shown, set, tested, deleted and rolled back."""

from typing import Annotated, Any

import typer

from keyhouse.cli.completion import complete_provider
from keyhouse.cli.options import AsJson, Paged, ProjectPlace, Yes, flattened
from keyhouse.cli.output import confirm, print_fields, print_json, print_page, print_table
from keyhouse.cli.provider_fields import ProviderFields

app = typer.Typer(name="provider", help="A project's model providers and their credentials.", no_args_is_help=True)

Provider = Annotated[str, typer.Argument(help="The provider's id, such as openai.", autocompletion=complete_provider, show_default=False)]
All = Annotated[bool, typer.Option("--all", help="Those that nothing is stored for, too.")]
Version = Annotated[int, typer.Argument(help="The number of the change to go back to; see the history.", show_default=False)]

Live = Annotated[bool, typer.Option("--live", help="Ask the provider itself, with what is stored for it.")]
Model = Annotated[str, typer.Argument(help="A model as a request names it, such as gpt-6-luna or openai/gpt-6-luna.", show_default=False)]

_ALL = "/api/model-providers"
_MODELS = ("customModels", "customEmbeddingsModels", "models", "embeddingsModels")
_EXPLAINED = ("rule", "reason", "others", "endpoints")


@flattened
def list_providers(place: ProjectPlace, everything: All = False, as_json: AsJson = False) -> None:
    """List the providers of a project."""
    from keyhouse.cli.house import opened

    with opened(place) as house:
        providers = house.get(_ALL, "project")
    if as_json:
        print_json(providers)
        return
    chosen = [entry for entry in providers.values() if everything or "id" in entry]
    print_table(("provider", "enabled", "credentials", "models", "headers"), map(_row, chosen))
    if len(chosen) < len(providers):
        typer.echo(f"\n{len(providers) - len(chosen)} more can be set: keyhouse catalog providers")


@flattened
def show_provider(provider: Provider, place: ProjectPlace, as_json: AsJson = False) -> None:
    """Show what is stored for one provider, and its last test. Secrets are masked."""
    from keyhouse.cli.house import opened

    with opened(place) as house:
        entry = house.get(_path(provider), "project")
        entry.update(house.get(f"{_path(provider)}/test", "project"))
    _print_entry(entry, as_json=as_json)


@flattened
def set_provider(provider: Provider, fields: ProviderFields, place: ProjectPlace, as_json: AsJson = False) -> None:
    """Create or change a provider. What is not named stays as it is.

    Secrets are asked for, or read from standard input or a file; they are no arguments. With nothing but the provider's name you are
    asked for each of its fields.
    """
    from keyhouse.cli.connection import Request
    from keyhouse.cli.house import opened
    from keyhouse.cli.provider_update import put_body

    fields.require_legal()
    with opened(place) as house:
        current = house.ask(Request("GET", _path(provider), "project"))
        body = put_body(fields, current.json)
        answer = house.ask(Request("PUT", _path(provider), "project", body, if_match=current.tag))
    _print_entry(answer.json[provider], as_json=as_json, done=f"Stored {provider}.")


@flattened
def delete_provider(provider: Provider, place: ProjectPlace, yes: Yes = False, as_json: AsJson = False) -> None:
    """Delete a provider and destroy its secrets, those in its history as well."""
    from keyhouse.cli.connection import Request
    from keyhouse.cli.house import opened

    confirm(f"Delete {provider} and destroy its secrets, those in its history as well?", yes=yes)
    with opened(place) as house:
        answer = house.ask(Request("DELETE", _path(provider), "project"))
    _print_entry(answer.json[provider], as_json=as_json, done=f"Deleted {provider}.")


@flattened
def provider_history(provider: Provider, place: ProjectPlace, paged: Paged, as_json: AsJson = False) -> None:
    """List the changes of a provider, newest first: who, when, which fields. Never values."""
    from keyhouse.cli.house import opened

    with opened(place) as house:
        history = house.page(f"{_path(provider)}/history", "project", paged)
    print_page(
        history,
        ("version", "at", "action", "by", "fields"),
        lambda entry: (entry["version"], entry["at"], entry["action"], entry["actor"]["name"], _changes(entry["fields"])),
        as_json=as_json,
    )


@flattened
def roll_back_provider(provider: Provider, version: Version, place: ProjectPlace, as_json: AsJson = False) -> None:
    """Bring back the state after a change, secrets included, as a new change."""
    from keyhouse.cli.connection import Request
    from keyhouse.cli.house import opened

    with opened(place) as house:
        answer = house.ask(Request("POST", f"{_path(provider)}/rollback", "project", {"version": version}))
    _print_entry(answer.json[provider], as_json=as_json, done=f"Brought back version {version} of {provider}.")


@flattened
def check_provider(provider: Provider, place: ProjectPlace, as_json: AsJson = False) -> None:
    """Test the stored credentials with one free request. Ends with 0 if they were accepted, or the provider has no free request."""
    from keyhouse.cli.connection import Request
    from keyhouse.cli.exit_codes import ExitCode
    from keyhouse.cli.house import opened

    with opened(place) as house:
        result = house.ask(Request("POST", f"{_path(provider)}/test", "project")).json
    if as_json:
        print_json(result)
    else:
        print_fields([(name, result[name]) for name in ("verdict", "message", "status")])
    if result["verdict"] not in ("verified", "unchecked"):
        raise typer.Exit(ExitCode.FAILED)


@flattened
def list_models(provider: Provider, place: ProjectPlace, live: Live = False, as_json: AsJson = False) -> None:
    """List the models of a provider: those that the project declares and those that the catalogue knows, or its own list of them."""
    from keyhouse.cli.exit_codes import ExitCode
    from keyhouse.cli.house import opened

    with opened(place) as house:
        entry = house.get(_path(provider), "project")
        listed = house.get(f"{_path(provider)}/live-models", "project") if live else None
    if as_json:
        print_json(listed or {name: entry.get(name) or [] for name in _MODELS})
    elif listed is None:
        print_table(("model", "mode", "from"), _model_rows(entry))
    elif listed["verdict"] == "verified":
        declared = {model for model, _, origin in _model_rows(entry) if origin == "project"}
        print_table(("model", "known", "declared"), ((model["id"], model["known"], model["id"] in declared) for model in listed["models"]))
        if not listed["complete"]:
            typer.echo("\nThe provider's list goes on.")
    else:
        print_fields([(name, listed[name]) for name in ("verdict", "message", "status")])
    if listed is not None and listed["verdict"] != "verified":
        raise typer.Exit(ExitCode.FAILED)


@flattened
def explain_model(model: Model, place: ProjectPlace, as_json: AsJson = False) -> None:
    """Tell which provider a model's name means on the gateway, and why. Calls nobody."""
    from keyhouse.cli.connection import segment
    from keyhouse.cli.house import opened

    with opened(place) as house:
        told = house.get(f"/v1/models/{segment(model)}", "project")["keyhouse"]
    if as_json:
        print_json(told)
    else:
        explained = [("provider", told["provider"]), ("model", told["model_id"]), *((name, told[name]) for name in _EXPLAINED)]
        print_fields([*explained, ("retires on", told.get("retires_on"))])


for _name, _command in (
    ("list", list_providers),
    ("show", show_provider),
    ("set", set_provider),
    ("test", check_provider),
    ("models", list_models),
    ("explain", explain_model),
    ("delete", delete_provider),
    ("history", provider_history),
    ("rollback", roll_back_provider),
):
    app.command(_name)(_command)


def _path(provider: str) -> str:
    from keyhouse.cli.connection import segment

    return f"{_ALL}/{segment(provider)}"


def _model_rows(entry: dict[str, Any]) -> list[tuple[str, str, str]]:
    own = [(model["modelId"], model["mode"], "project") for name in _MODELS[:2] for model in entry.get(name) or []]
    known = [(model, mode, "catalogue") for name, mode in zip(_MODELS[2:], ("chat", "embedding"), strict=True) for model in entry[name]]
    return own + known


def _row(entry: dict[str, Any]) -> tuple[object, ...]:
    models = [model["modelId"] for name in ("customModels", "customEmbeddingsModels") for model in entry.get(name) or []]
    return entry["provider"], entry["enabled"], list(entry["customKeys"] or {}), models, [header["key"] for header in entry["extraHeaders"]]


def _print_entry(entry: dict[str, Any], *, as_json: bool, done: str | None = None) -> None:
    if as_json:
        print_json(entry)
        return
    if done:
        typer.echo(f"{done}\n")
    print_fields(
        [
            ("provider", entry["provider"]),
            ("stored", "id" in entry),
            ("enabled", entry["enabled"]),
            *(entry["customKeys"] or {}).items(),
            *((f"header {header['key']}", header["value"]) for header in entry["extraHeaders"]),
            ("models", [model["modelId"] for model in entry.get("customModels") or []] or None),
            ("embeddings models", [model["modelId"] for model in entry.get("customEmbeddingsModels") or []] or None),
            ("catalogue", f"{len(entry['models'])} models, {len(entry['embeddingsModels'])} embeddings models"),
            ("last test", _last_test(entry.get("lastTest"))),
        ]
    )


def _last_test(test: dict[str, Any] | None) -> str | None:
    if test is None:
        return None
    changed = "" if test["current"] else ", before the last change"
    return f"{test['verdict']}, {test['at']} by {test['actor']['name']}{changed}: {test['message']}"


def _changes(fields: list[dict[str, str]]) -> str:
    return ", ".join(
        f"{field['name']} {field['change']}" + (f" #{field['fingerprint']}" if "fingerprint" in field else "") for field in fields
    )
