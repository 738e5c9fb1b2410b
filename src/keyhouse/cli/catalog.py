"""`keyhouse catalog`: which providers and models this installation knows. Reads the data files; no house is needed."""

from typing import TYPE_CHECKING, Annotated, Any, get_args

import typer

from keyhouse.cli.completion import complete_provider
from keyhouse.cli.exit_codes import CommandError, ExitCode
from keyhouse.cli.options import AsJson, flattened
from keyhouse.cli.output import print_fields, print_json, print_table

if TYPE_CHECKING:
    from collections.abc import Mapping

    from keyhouse.catalog.catalog import Catalog
    from keyhouse.catalog.models_file import CatalogModel
    from keyhouse.domain.provider_spec import ProviderSpec

app = typer.Typer(name="catalog", help="Which providers and models this installation knows.")

Provider = Annotated[str, typer.Argument(help="A provider's id.", autocompletion=complete_provider, show_default=False)]
MaybeProvider = Annotated[
    str | None, typer.Argument(help="A provider's id. Default: all of them.", autocompletion=complete_provider, show_default=False)
]


@app.callback(invoke_without_command=True)
def show_catalog(context: typer.Context, as_json: AsJson = False) -> None:
    """Show which providers and models this installation knows, of which day that is, and where it is from."""
    if context.invoked_subcommand is not None:
        if as_json:
            raise CommandError(f"Write --json behind the command: keyhouse catalog {context.invoked_subcommand} --json.", ExitCode.USAGE)
        return
    catalog, file = _catalog(), _models_file()
    counted = [(spec, len(catalog.all_models(spec.id))) for spec in catalog.providers.values()]
    if as_json:
        source = {name: getattr(catalog.source, name) for name in catalog.source.__struct_fields__}
        providers = [{"id": spec.id, "name": spec.name, "models": models} for spec, models in counted]
        print_json({"modelsFile": file, "generatedAt": catalog.generated_at, "source": source, "providers": providers})
        return
    print_table(("provider", "name", "models"), ((spec.id, spec.name, models) for spec, models in counted))
    typer.echo(f"\nModels of {catalog.generated_at}, from {catalog.source.name} {catalog.source.version}, in {file or 'this release'}.")
    typer.echo("`keyhouse catalog show PROVIDER` and `keyhouse catalog models PROVIDER` tell more.")


@flattened
def list_providers(as_json: AsJson = False) -> None:
    """List the providers and the fields of their credentials."""
    catalog = _catalog()
    if as_json:
        print_json([_provider(catalog, spec) for spec in catalog.providers.values()])
        return
    print_table(
        ("id", "name", "fields"), ((spec.id, spec.name, [field.name for field in spec.fields]) for spec in catalog.providers.values())
    )
    typer.echo(f"\nModels of {catalog.generated_at}, from {catalog.source.name} {catalog.source.version}.")


@flattened
def list_models(provider: MaybeProvider = None, as_json: AsJson = False) -> None:
    """List the models of a provider, or of all."""
    catalog = _catalog()
    providers = list(catalog.providers) if provider is None else [_spec(catalog, provider).id]
    models = [(each, model) for each in providers for model in _models(catalog, each)]
    if as_json:
        print_json([{"provider": each, **_model(model)} for each, model in models])
        return
    print_table(
        ("model", "mode", "context", "output", "retires"),
        ((f"{each}/{model.id}", model.mode, model.context_window, model.max_output_tokens, _day(model)) for each, model in models),
    )


@flattened
def show_provider(provider: Provider, as_json: AsJson = False) -> None:
    """Show what is known of one provider: its fields, their rules, where its keys are made."""
    catalog = _catalog()
    shown = _provider(catalog, _spec(catalog, provider))
    if as_json:
        print_json(shown)
        return
    shown["together"] = [" and ".join(group) for group in shown["together"]]
    print_fields((name, value) for name, value in shown.items() if name != "fields" and value not in ([], ""))
    typer.echo()
    print_table(
        ("field", "label", "required", "public"),
        ((field["name"], field["label"], field["required"], field["public"]) for field in shown["fields"]),
    )


for _name, _command in (("providers", list_providers), ("models", list_models), ("show", show_provider)):
    app.command(_name)(_command)


def _catalog() -> "Catalog":
    from keyhouse.catalog.catalog import load_catalog
    from keyhouse.settings import read_settings

    return load_catalog(read_settings().models_file)


def _models_file() -> str | None:
    """The file that the operator points at; None where the models are those of this release."""
    from keyhouse.settings import read_settings

    file = read_settings().models_file
    return None if file is None else str(file)


def _spec(catalog: "Catalog", name: str) -> "ProviderSpec":
    spec = catalog.provider_spelt(name)
    if spec is None:
        raise CommandError("There is no such provider. `keyhouse catalog providers` lists those there are.")
    return spec


def _models(catalog: "Catalog", provider: str) -> "list[CatalogModel]":
    from keyhouse.catalog.models_file import CatalogMode

    ids = [model for mode in get_args(CatalogMode) for model in catalog.models(provider, mode)]
    return [model for name in ids if (model := catalog.model(provider, name))]


def _model(model: "CatalogModel") -> dict[str, Any]:
    """What is known of a model; what is not is left out."""
    shown: dict[str, Any] = {
        "id": model.id,
        "mode": model.mode,
        "contextWindow": model.context_window,
        "maxOutputTokens": model.max_output_tokens,
        "supportedParameters": model.supported_parameters,
        "multimodalInputs": model.multimodal_inputs,
        "prices": _prices(model.prices) or None,
        "priceTiers": [{"aboveTokens": tier.above_tokens, "prices": _prices(tier.prices)} for tier in model.price_tiers] or None,
        "retiresOn": _day(model),
    }
    return {name: value for name, value in shown.items() if value is not None}


def _day(model: "CatalogModel") -> str | None:
    """The day its provider ends it, as YYYY-MM-DD."""
    return model.retires_on.isoformat() if model.retires_on else None


def _prices(prices: "Mapping[str, float]") -> dict[str, float]:
    """Prices by what is counted, spelt as everything else that commands print."""
    return {_camel(counted): price for counted, price in prices.items()}


def _camel(name: str) -> str:
    first, *others = name.split("_")
    return first + "".join(map(str.capitalize, others))


def _provider(catalog: "Catalog", spec: "ProviderSpec") -> dict[str, Any]:
    return {
        "id": spec.id,
        "name": spec.name,
        "kind": spec.kind,
        "deprecated": spec.deprecated,
        "fields": [
            {"name": field.name, "label": field.label, "required": field.required, "public": field.public, "format": field.format}
            for field in spec.fields
        ],
        "atLeastOneOf": list(spec.at_least_one),
        "together": [list(group) for group in spec.together],
        "baseUrl": spec.base_url or "",
        "spellings": list(spec.spellings),
        "documentation": spec.documentation_url,
        "models": len(_models(catalog, spec.id)),
    }
