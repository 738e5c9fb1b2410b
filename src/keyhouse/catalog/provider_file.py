"""Reads one provider's data file into its `ProviderSpec`, and says which key of which file is wrong. Knows no provider."""

import atexit
import gc
import tomllib
from collections.abc import Iterator, Mapping
from typing import Annotated, Literal

import msgspec

from keyhouse.domain.calling import (
    Calling,
    ConnectionCheck,
    Dialect,
    Endpoint,
    EndpointName,
    OutputLimitName,
    Quirk,
    Refusable,
    Renamable,
    Route,
    Signing,
    SigningWay,
    Wire,
)
from keyhouse.domain.errors import Code, Error
from keyhouse.domain.provider_spec import Alternative, CredentialField, FieldFormat, ProviderKind, ProviderSpec

# The interpreter's last collection walks the types below while they are being taken apart, and msgspec 0.22 crashes then, now and then:
# https://github.com/msgspec/msgspec/issues/717 (2026-11-23). What is frozen is not walked.
atexit.register(gc.freeze)

_PARTS: Mapping[SigningWay, frozenset[str]] = {
    "bearer": frozenset({"token"}),
    "header": frozenset({"token"}),
    "aws_sigv4": frozenset({"access_key_id", "secret_access_key", "session_token", "region"}),
    "google_token": frozenset({"service_account"}),
}
_WIRES: Mapping[EndpointName, Wire] = {
    "chat": "openai_chat",
    "embeddings": "openai_embeddings",
    "responses": "openai_responses",
    "messages": "anthropic_messages",
    "count_tokens": "anthropic_count_tokens",
    "completions": "openai_completions",
    "speech": "openai_speech",
    "transcription": "openai_transcription",
    "images": "openai_images",
    "image_edits": "openai_image_edits",
    "moderations": "openai_moderations",
    "rerank": "cohere_rerank",
}
"""The wire format of an endpoint whose file names none."""

_Id = Annotated[str, msgspec.Meta(pattern="^[a-z][a-z0-9_]*$")]
_FieldName = Annotated[str, msgspec.Meta(pattern="^[A-Z][A-Z0-9_]*$")]
_Path = Annotated[str, msgspec.Meta(pattern="^(/|https://)")]
_Address = Annotated[str, msgspec.Meta(pattern="^https://")]


class _Strict(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    """An unknown key is a mistake."""


class FieldEntry(_Strict):
    """A credential field, as the file states it."""

    label: Annotated[str, msgspec.Meta(min_length=1)]
    public: bool = False
    required: bool = False
    may_be_blank: bool = False
    trimmed: bool = False
    format: FieldFormat = "text"
    host_suffix: str | None = None
    ignored_endings: tuple[str, ...] = ()


class AlternativeEntry(_Strict):
    """A way to reach the provider, as the file states it."""

    label: Annotated[str, msgspec.Meta(min_length=1)]
    fields: tuple[_FieldName, ...]


class SignEntry(_Strict):
    """A way to sign; beside `way`, `header` and `service` each key is a part and names a field."""

    way: SigningWay
    header: str | None = None
    service: str | None = None
    token: _FieldName | None = None
    access_key_id: _FieldName | None = None
    secret_access_key: _FieldName | None = None
    session_token: _FieldName | None = None
    region: _FieldName | None = None
    service_account: _FieldName | None = None


class EndpointEntry(_Strict):
    """An endpoint that needs more said than its path."""

    path: _Path
    wire: Wire | None = None
    stream_path: _Path | None = None
    models: tuple[str, ...] = ()
    model_prefix: str = ""
    output_limit: OutputLimitName = "max_tokens"
    refuses: tuple[Refusable, ...] = ()
    renames: dict[Renamable, str] = {}
    quirks: tuple[Quirk, ...] = ()
    refuses_betas: tuple[str, ...] = ()
    sign: SignEntry | tuple[SignEntry, ...] | None = None


class CheckEntry(_Strict):
    """The connection test."""

    path: _Path
    items: str | None = None
    id: str = "id"
    id_prefix: str = ""
    more: str | None = None
    answer: str | None = None
    refusals: tuple[int, ...] = ()
    sign: SignEntry | tuple[SignEntry, ...] | None = None


_Endpoints = dict[EndpointName, _Path | EndpointEntry | tuple[EndpointEntry, ...]]


class RouteEntry(_Strict):
    """A route; what it does not say it has from `[calling]`."""

    when: dict[_FieldName, tuple[str, ...]] = {}
    base_url: _Address | None = None
    sign: SignEntry | tuple[SignEntry, ...] | None = None
    headers: dict[str, str] | None = None
    query: dict[str, str] | None = None
    check: CheckEntry | None = None
    endpoints: _Endpoints | None = None


class CallingEntry(_Strict):
    """How the provider is called; with `routes`, what they have in common."""

    sign: SignEntry | tuple[SignEntry, ...]
    base_url: _Address | None = None
    headers: dict[str, str] = {}
    query: dict[str, str] = {}
    check: CheckEntry | None = None
    endpoints: _Endpoints = {}
    defaults: dict[_FieldName, str] = {}
    routes: tuple[RouteEntry, ...] = (RouteEntry(),)


class ProviderFile(_Strict):
    """A provider's file, key by key."""

    position: int
    id: _Id
    name: Annotated[str, msgspec.Meta(min_length=1)]
    fields: dict[_FieldName, FieldEntry]
    kind: ProviderKind = "llm"
    at_least_one: tuple[_FieldName, ...] = ()
    together: tuple[tuple[_FieldName, ...], ...] = ()
    alternatives: tuple[AlternativeEntry, ...] = ()
    address_fields: tuple[_FieldName, ...] = ()
    base_url: _Address | None = None
    aliases: dict[_FieldName, _FieldName] = {}
    keeps_unknown_fields: bool = False
    accepts_managed: bool = True
    deprecated: bool = False
    spellings: tuple[str, ...] = ()
    model_prefixes: tuple[str, ...] = ()
    temperature_range: tuple[float, float] | None = None
    documentation_url: _Address | Literal[""] = ""
    logo: str = ""
    telemetry_name: str = ""
    calling: CallingEntry | None = None


def read_provider_file(name: str, text: str) -> tuple[int, ProviderSpec]:
    """A provider's position in the registry and its spec, from the text of the file `name` (`<id>.toml`).

    Raises Error `configuration`, naming the file and the key.
    """
    try:
        entry = msgspec.convert(tomllib.loads(text), ProviderFile, strict=True)
        _require_consistent(entry, name.removesuffix(".toml"))
        return entry.position, _spec(entry)
    except tomllib.TOMLDecodeError as problem:
        raise Error(Code.CONFIGURATION, f"The provider file {name} is not valid TOML: {problem}.") from None
    except ValueError as problem:
        raise Error(Code.CONFIGURATION, f"The provider file {name} is wrong: {str(problem).rstrip('.')}.") from None


def _spec(entry: ProviderFile) -> ProviderSpec:
    return ProviderSpec(
        id=entry.id,
        name=entry.name,
        kind=entry.kind,
        fields=tuple(CredentialField(name=name, **msgspec.structs.asdict(field)) for name, field in entry.fields.items()),
        at_least_one=entry.at_least_one,
        together=entry.together,
        alternatives=tuple(Alternative(one.label, one.fields) for one in entry.alternatives),
        address_fields=entry.address_fields,
        base_url=entry.base_url,
        aliases=entry.aliases,
        keeps_unknown_fields=entry.keeps_unknown_fields,
        accepts_managed=entry.accepts_managed,
        deprecated=entry.deprecated,
        spellings=entry.spellings,
        model_prefixes=entry.model_prefixes,
        temperature_range=entry.temperature_range,
        calling=_calling(entry.calling) if entry.calling else None,
        documentation_url=entry.documentation_url,
        logo=entry.logo,
        telemetry_name=entry.telemetry_name,
    )


def _calling(entry: CallingEntry) -> Calling:
    return Calling(routes=tuple(_route(route, entry) for route in entry.routes), defaults=entry.defaults)


def _route(route: RouteEntry, common: CallingEntry) -> Route:
    signings = _signings(route.sign or common.sign)
    endpoints = common.endpoints if route.endpoints is None else route.endpoints
    check = route.check or common.check
    return Route(
        when=route.when,
        base_url=route.base_url or common.base_url,
        headers=common.headers if route.headers is None else route.headers,
        query=common.query if route.query is None else route.query,
        endpoints={name: tuple(_endpoint(name, one, signings) for one in _each(entry)) for name, entry in endpoints.items()},
        check=_check(check, signings) if check else None,
    )


def _each(entry: str | EndpointEntry | tuple[EndpointEntry, ...]) -> tuple[EndpointEntry, ...]:
    if isinstance(entry, tuple):
        return entry
    return (EndpointEntry(path=entry) if isinstance(entry, str) else entry,)


def _endpoint(name: EndpointName, entry: EndpointEntry, signings: tuple[Signing, ...]) -> Endpoint:
    return Endpoint(
        path=entry.path,
        wire=entry.wire or _WIRES[name],
        stream_path=entry.stream_path,
        models=entry.models,
        model_prefix=entry.model_prefix,
        dialect=Dialect(entry.output_limit, entry.refuses, entry.renames, entry.quirks, entry.refuses_betas),
        signings=_signings(entry.sign) if entry.sign else signings,
    )


def _check(entry: CheckEntry, signings: tuple[Signing, ...]) -> ConnectionCheck:
    return ConnectionCheck(
        path=entry.path,
        items=entry.items,
        id=entry.id,
        id_prefix=entry.id_prefix,
        more=entry.more,
        answer=entry.items if entry.answer is None else entry.answer,
        refusals=entry.refusals,
        signings=_signings(entry.sign) if entry.sign else signings,
    )


def _signings(entry: SignEntry | tuple[SignEntry, ...]) -> tuple[Signing, ...]:
    return tuple(map(_signing, entry if isinstance(entry, tuple) else (entry,)))


def _signing(entry: SignEntry) -> Signing:
    parts = {part: name for part in sorted(frozenset[str]().union(*_PARTS.values())) if (name := getattr(entry, part))}
    if parts.keys() != _PARTS[entry.way]:
        raise ValueError(f"`sign` by {entry.way} needs {', '.join(sorted(_PARTS[entry.way]))}, and nothing else, - at `$.calling`")
    if (entry.header is not None) != (entry.way == "header") or (entry.service is not None) != (entry.way == "aws_sigv4"):
        raise ValueError("`sign` names `header` for way header and `service` for way aws_sigv4 - at `$.calling`")
    return Signing(way=entry.way, parts=parts, header=entry.header, service=entry.service)


def _require_consistent(entry: ProviderFile, stem: str) -> None:
    if entry.id != stem:
        raise ValueError(f"the file is named after the provider, {entry.id!r} - at `$.id`")
    if entry.kind == "safety" and entry.calling is not None:
        raise ValueError("a safety provider is never called - at `$.calling`")
    for key, name in _named_fields(entry):
        if name not in entry.fields:
            raise ValueError(f"{name} is no field of this provider - at `$.{key}`")
        if key == "alternatives" and not entry.fields[name].public:
            raise ValueError(f"{name} is secret, and another choice would drop it - at `$.{key}`")


def _named_fields(entry: ProviderFile) -> Iterator[tuple[str, str]]:
    for key in ("at_least_one", "address_fields"):
        yield from ((key, name) for name in getattr(entry, key))
    yield from (("together", name) for group in entry.together for name in group)
    yield from (("alternatives", name) for one in entry.alternatives for name in one.fields)
    yield from (("aliases", name) for name in entry.aliases.values())
    if entry.calling is None:
        return
    yield from (("calling.defaults", name) for name in entry.calling.defaults)
    calling = _calling(entry.calling)
    for route in calling.routes:
        yield from (("calling.routes.when", name) for name in route.when)
        for signing in _all_signings(route):
            yield from (("calling.sign", name) for name in signing.parts.values())
        yield from (("calling", name) for template in _templates(route) for name in _places(template))


def _all_signings(route: Route) -> Iterator[Signing]:
    for endpoints in route.endpoints.values():
        for endpoint in endpoints:
            yield from endpoint.signings
    if route.check is not None:
        yield from route.check.signings


def _templates(route: Route) -> Iterator[str]:
    yield route.base_url or ""
    yield from route.headers.values()
    yield from route.query.values()
    yield from (endpoint.path + (endpoint.stream_path or "") for endpoints in route.endpoints.values() for endpoint in endpoints)
    yield route.check.path if route.check else ""


def _places(template: str) -> Iterator[str]:
    """The fields a template names; `model` and `voice` come from the request."""
    for piece in template.split("{")[1:]:
        name = piece.partition("}")[0]
        if name not in ("model", "voice"):
            yield name
