"""From the choice of a provider to the `Target` of a call: route, address, headers, signing, and what is declared of the model. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from keyhouse.catalog.catalog import Catalog
from keyhouse.catalog.models_file import CatalogModel
from keyhouse.domain.calling import Endpoint, EndpointName, Refusable, Route, Signing
from keyhouse.domain.errors import Code, Error
from keyhouse.domain.model import CustomModel
from keyhouse.domain.provider_spec import ProviderSpec
from keyhouse.domain.target import Target
from keyhouse.gateway.signing import credential_header, possible_signing
from keyhouse.gateway.wire.enforcement import MODES
from keyhouse.services.opened_projects import OpenedProject, OpenedProvider
from keyhouse.services.resolution import LONGEST_NAME, Choice, endpoints_of, has_endpoint, route_of

Headers = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True, repr=False)
class _Wanted:
    """What is called, whichever endpoint of the route answers: `values` fill the templates, `endpoint` is the caller's."""

    choice: Choice
    route: Route
    values: Mapping[str, str]
    endpoint: EndpointName
    voice: str


def target_of(choice: Choice, project: OpenedProject, catalog: Catalog, endpoint: EndpointName, voice: str = "") -> Target:
    """The target of a choice for a caller's endpoint; `voice` is what the request names, for endpoints that have it in their path.

    Raises Error: `unsupported_endpoint`, naming the providers of the project that have it, `credentials_unreadable`,
    `provider_incomplete` where an address or a part of it is not stored.
    """
    provider = choice.provider
    provider.stored.require_readable(provider.spec)
    route, values = route_of(provider)
    found = endpoints_of(route, endpoint, choice.model_id)
    if route is None or not found:
        raise _unsupported(project, endpoint, choice)
    first, *others = (_target(_Wanted(choice, route, values, endpoint, voice), catalog, name, called) for name, called in found)
    # What a provider's own address has is known; a server of the project's own may lack what the like of it have.
    has_own_address = provider.spec.address_in_use(values.get) is not None
    instead = next((other for other in others if other.url != first.url), None) if has_own_address else None
    return first if instead is None else replace(first, instead=instead)


def _target(wanted: _Wanted, catalog: Catalog, name: EndpointName, called: Endpoint) -> Target:
    provider, model_id, route = wanted.choice.provider, wanted.choice.model_id, wanted.route
    headers, fixed, signing = headers_and_signing(provider, route, wanted.values, called.signings)
    if "{voice}" in called.path and not 0 < len(wanted.voice) <= LONGEST_NAME:
        raise Error(Code.BAD_REQUEST, "voice must name one of the provider's voices by its id.", param="voice")
    declared = _declared(provider, model_id, wanted.endpoint)
    known = catalog.model(provider.spec.id, model_id)
    address = address_of(provider.spec, wanted.values)
    places = {**wanted.values, "voice": wanted.voice} if wanted.voice else wanted.values
    try:
        url = route.url(called.path, places, address, model_id)
        stream_url = route.url(called.stream_path or called.path, places, address, model_id)
    except ValueError as wrong:
        raise Error(Code.PROVIDER_INCOMPLETE, f"{provider.spec.id} cannot be called as it is stored: {wrong}.") from None
    return Target(
        provider=provider.spec.id,
        model_id=model_id,
        upstream_model=called.upstream_model(model_id),
        endpoint=name,
        wire=called.wire,
        url=url,
        stream_url=stream_url,
        headers=headers,
        fixed_headers=fixed,
        signing=signing,
        values=wanted.values,
        declared=declared,
        temperature_range=provider.spec.temperature_range,
        max_output_tokens=_limit(declared) or (known.max_output_tokens if known else None),
        dialect=replace(called.dialect, refuses=(*called.dialect.refuses, *_refused_by(known))),
    )


def address_of(spec: ProviderSpec, values: Mapping[str, str]) -> str | None:
    """The address in use: the first that is stored, without an ending that says nothing, else the provider's own."""
    name = spec.address_in_use(values.get)
    if name is None:
        return spec.base_url
    endings = next(field.ignored_endings for field in spec.fields if field.name == name)
    return _without_ending(values[name], endings) if endings else values[name]


def _without_ending(address: str, endings: Sequence[str]) -> str:
    base, mark, query = address.partition("?")
    base = base.partition("#")[0].rstrip("/")
    return next((base.removesuffix(ending) for ending in endings if base.endswith(ending)), base) + mark + query


def headers_and_signing(
    provider: OpenedProvider, route: Route, values: Mapping[str, str], signings: Sequence[Signing]
) -> tuple[Headers, Headers, Signing | None]:
    """What `Target` says of every request: the project's own headers, the fixed ones, and how it is signed unless one of the project's own
    replaces that."""
    signing = possible_signing(signings, values)
    credential = None if signing is None else credential_header(signing).decode("ascii")
    own = _own_headers(provider, credential)
    names = {name.lower() for name, _ in own}
    fixed = tuple(pair for pair in route.rendered_headers(values).items() if pair[0].lower() not in names)
    return own, fixed, None if credential in names else signing


def _own_headers(provider: OpenedProvider, credential: str | None) -> Headers:
    """The project's own headers. Of the credentials' header only the first is sent."""
    own: list[tuple[str, str]] = []
    names: set[str] = set()
    for header in provider.stored.extra_headers:
        name = header.name.lower()
        if not (name == credential and name in names):
            own.append((header.name, header.value or ""))
        names.add(name)
    return tuple(own)


def _declared(provider: OpenedProvider, model_id: str, endpoint: EndpointName) -> CustomModel | None:
    """What the project says of a model; where it is declared twice, the one for this endpoint."""
    models = provider.models.get(model_id, ())
    wanted = MODES.get(endpoint)
    return next((model for model in models if model.mode == wanted), models[0] if models else None)


def _limit(declared: CustomModel | None) -> int | None:
    return int(declared.max_tokens) if declared is not None and declared.max_tokens else None


def _refused_by(known: CatalogModel | None) -> tuple[Refusable, ...]:
    """What a model of the catalogue is known not to take."""
    parameters = known.supported_parameters if known is not None else None
    return () if parameters is None or "reasoning" in parameters else ("reasoning_effort",)


def _unsupported(project: OpenedProject, endpoint: EndpointName, choice: Choice) -> Error:
    able = [provider.spec.id for provider in project.providers.values() if has_endpoint(provider, endpoint, choice.model_id)]
    elsewhere = f"Of this project's providers, {', '.join(able)} can." if able else "No enabled provider of this project can."
    return Error(
        Code.UNSUPPORTED_ENDPOINT,
        f"{choice.provider.spec.id} has no endpoint for {_PLAIN[endpoint]} with this model. {elsewhere}",
        param="model",
    )


_PLAIN: dict[EndpointName, str] = {
    "chat": "chat completions",
    "embeddings": "embeddings",
    "responses": "responses",
    "messages": "messages",
    "count_tokens": "counting tokens",
    "completions": "completions",
    "speech": "speech",
    "transcription": "transcriptions",
    "images": "images",
    "image_edits": "edits of images",
    "moderations": "moderations",
    "rerank": "reranking",
}
