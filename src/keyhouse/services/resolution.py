"""Which provider and model a request means: the order that docs/gateway.md states, and why. Pure; reads nothing but memory."""

from collections.abc import Iterable
from enum import StrEnum

import msgspec

from keyhouse.catalog.catalog import Catalog
from keyhouse.domain.calling import Endpoint, EndpointName, Route
from keyhouse.domain.errors import Code, Error
from keyhouse.gateway.wire.enforcement import MODES
from keyhouse.services.opened_projects import OpenedProject, OpenedProvider

DEFAULT = "default"
"""As a model's name: the project's default model."""

CALLED_BY: dict[EndpointName, tuple[EndpointName, ...]] = {"messages": ("messages", "chat"), "responses": ("responses", "chat")}
"""Which of a provider's endpoints may answer a caller's, first choice first, where it is not that of the same name alone."""

LONGEST_NAME = 2048
"""Characters of a model's name, as many as Amazon allows. Names go into addresses and memories, and a body of 32 MB may be one name.
https://docs.aws.amazon.com/bedrock/latest/APIReference/API_agent-runtime_BedrockFoundationModelModelConfiguration.html (2026-11-30)"""
_SHOWN_MODELS = 20
_LONGEST_SHOWN = 200


class Rule(StrEnum):
    """Why a provider was chosen."""

    NAMED = "named"
    DECLARED = "declared"
    CATALOGUE = "catalogue"
    PREFIX = "prefix"
    ONLY_PROVIDER = "only_provider"


_SENTENCES = {
    Rule.NAMED: "The name begins with the provider.",
    Rule.DECLARED: "The project declares this model for the provider.",
    Rule.CATALOGUE: "The catalogue knows this model of the provider.",
    Rule.PREFIX: "The provider's models begin like this one.",
    Rule.ONLY_PROVIDER: "It is the only provider that is enabled in the project.",
}


class Choice(msgspec.Struct, frozen=True):
    """A provider and its own id of the model, and by which rule. `others` are the providers that the same rule would have allowed next."""

    provider: OpenedProvider
    model_id: str
    rule: Rule
    is_default: bool = False
    others: tuple[str, ...] = ()

    @property
    def reason(self) -> str:
        """Why, in whole sentences."""
        default = "It is the project's default model. " if self.is_default else ""
        others = f" Passed over, as later in order: {', '.join(self.others)}." if self.others else ""
        return f"{default}{_SENTENCES[self.rule]}{others}"


def choose(project: OpenedProject, catalog: Catalog, model: str | None, endpoint: EndpointName) -> Choice:
    """The provider and model for a request. Raises Error `missing_model`, or `model_not_found`, which lists what would work."""
    is_default = not model or model == DEFAULT
    wanted = project.default_model if is_default else model
    if not wanted:
        raise Error(
            Code.MISSING_MODEL,
            f"The request names no model, and this project has no default model. {_what_works(project, catalog, '')}",
            param="model",
        )
    if len(wanted) > LONGEST_NAME:
        raise Error(
            Code.MODEL_NOT_FOUND, f"The model does not exist: no model's name is longer than {LONGEST_NAME} characters.", param="model"
        )
    found = _chosen(project, catalog, wanted, endpoint, is_default=is_default)
    if found is None:
        raise Error(Code.MODEL_NOT_FOUND, f"{_why_not(project, catalog, wanted)} {_what_works(project, catalog, wanted)}", param="model")
    return found


def route_of(provider: OpenedProvider) -> tuple[Route | None, dict[str, str]]:
    """The route for what is stored, and the values that its templates are filled with."""
    calling = provider.spec.calling
    if calling is None:
        return None, {}
    values = calling.values({name: value for name, value in provider.stored.credentials.opened().items() if isinstance(value, str)})
    return calling.route(values), values


def endpoints_of(route: Route | None, endpoint: EndpointName, model_id: str) -> list[tuple[EndpointName, Endpoint]]:
    """Which of the route's endpoints can answer a caller's for a model, with their names, first choice first."""
    if route is None:
        return []
    found = ((name, route.endpoint(name, model_id)) for name in CALLED_BY.get(endpoint, (endpoint,)))
    return [(name, called) for name, called in found if called is not None]


def has_endpoint(provider: OpenedProvider, endpoint: EndpointName, model_id: str) -> bool:
    """Whether a provider can answer on this endpoint for this model."""
    return bool(endpoints_of(route_of(provider)[0], endpoint, model_id))


def model_names(project: OpenedProject, catalog: Catalog) -> list[str]:
    """Every `provider/model` that is declared or known, in registry order, the declared ones of a provider first."""
    names: dict[str, None] = {}
    for provider_id, provider in project.providers.items():
        names.update(dict.fromkeys(f"{provider_id}/{model_id}" for model_id in provider.models))
        names.update(dict.fromkeys(f"{provider_id}/{model_id}" for model_id in catalog.all_models(provider_id)))
    return list(names)


def _chosen(project: OpenedProject, catalog: Catalog, wanted: str, endpoint: EndpointName, *, is_default: bool) -> Choice | None:
    named, slash, rest = wanted.partition("/")
    spec = catalog.provider_spelt(named) if slash else None
    if spec is not None and spec.id in project.providers and rest:
        return Choice(project.providers[spec.id], rest, Rule.NAMED, is_default)
    providers = project.providers.values()
    declaring = [provider for provider in providers if wanted in provider.models]
    knowing = [provider for provider in providers if catalog.model(provider.spec.id, wanted) is not None]
    for rule, candidates in ((Rule.DECLARED, declaring), (Rule.CATALOGUE, knowing)):
        if candidates:
            first, *others = sorted(candidates, key=lambda provider: not _is_for(provider, endpoint, wanted))
            return Choice(first, wanted, rule, is_default, tuple(other.spec.id for other in others))
    if spec is not None:
        # The caller named a provider: the request goes there or nowhere.
        return None
    return _guessed(project, catalog, wanted, is_default=is_default)


def _is_for(provider: OpenedProvider, endpoint: EndpointName, model_id: str) -> bool:
    """Whether a provider has the endpoint for a model, and the project did not declare the model for another."""
    wanted = MODES.get(endpoint)
    modes = [model.mode for model in provider.models.get(model_id, ())]
    return has_endpoint(provider, endpoint, model_id) and (wanted is None or not modes or wanted in modes)


def _guessed(project: OpenedProject, catalog: Catalog, wanted: str, *, is_default: bool) -> Choice | None:
    spec = catalog.provider_of_prefix(wanted)
    if spec is not None and spec.id in project.providers:
        return Choice(project.providers[spec.id], wanted, Rule.PREFIX, is_default)
    if len(project.providers) == 1:
        return Choice(next(iter(project.providers.values())), wanted, Rule.ONLY_PROVIDER, is_default)
    return None


def _why_not(project: OpenedProject, catalog: Catalog, wanted: str) -> str:
    shown = wanted[:_LONGEST_SHOWN]
    named, slash, _ = wanted.partition("/")
    spec = catalog.provider_spelt(named) if slash else None
    if spec is None or spec.id in project.providers:
        return f"The model {shown!r} does not exist for this project."
    state = "is disabled" if spec.id in project.disabled else "is not enabled"
    return f"The model {shown!r} names the provider {spec.id}, which {state} in this project."


def _what_works(project: OpenedProject, catalog: Catalog, wanted: str) -> str:
    if not project.providers:
        return "No provider is enabled in this project: store one's credentials first."
    # First the same model under another provider's name, as other gateways write them, and then what the project declares.
    meant = wanted.rpartition("/")[2]
    names = sorted(model_names(project, catalog), key=lambda name: (name.rpartition("/")[2] != meant, not _is_declared(project, name)))
    providers = _listed(f"{provider}/..." for provider in project.providers)
    if not names:
        return f"Name one as {providers}."
    more = f" and {len(names) - _SHOWN_MODELS} more (GET /v1/models has all)" if len(names) > _SHOWN_MODELS else ""
    return f"What works: {_listed(names[:_SHOWN_MODELS])}{more}; any other model as {providers}."


def _is_declared(project: OpenedProject, name: str) -> bool:
    provider_id, _, model_id = name.partition("/")
    return model_id in project.providers[provider_id].models


def _listed(names: Iterable[str]) -> str:
    return ", ".join(names)
