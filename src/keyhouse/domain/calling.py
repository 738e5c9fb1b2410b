"""How a provider is called, as its data file states it: which route, which address, how signed. Pure, and it keeps no secret."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Literal
from urllib.parse import quote

EndpointName = Literal[
    "chat",
    "messages",
    "responses",
    "embeddings",
    "count_tokens",
    "completions",
    "speech",
    "transcription",
    "images",
    "image_edits",
    "moderations",
    "rerank",
]
"""In the order in which people are told them."""
Wire = Literal[
    "openai_chat",
    "openai_embeddings",
    "openai_responses",
    "openai_completions",
    "openai_speech",
    "openai_transcription",
    "openai_images",
    "openai_image_edits",
    "openai_moderations",
    "anthropic_messages",
    "anthropic_count_tokens",
    "anthropic_vertex",
    "bedrock_converse",
    "voyage_embeddings",
    "voyage_rerank",
    "cohere_rerank",
    "elevenlabs_speech",
    "elevenlabs_transcription",
]
"""A wire format, named after the API whose format it is."""
OutputLimitName = Literal["max_completion_tokens", "max_tokens"]
Refusable = Literal["frequency_penalty", "metadata", "prompt_cache_key", "reasoning_effort", "seed", "store", "stream_options", "user"]
"""A parameter of Chat Completions that some servers of its shape refuse, and that an answer can do without."""
Renamable = Literal["max_completion_tokens", "seed"]
"""A parameter of Chat Completions that some servers of its shape know by another name alone."""
Quirk = Literal["signed_calls", "short_call_ids", "assistant_after_tools", "no_names", "strict_turns", "own_thoughts", "bare_responses"]
"""What some servers want beside what the reference says. Of Chat Completions: signatures of tool calls back; ids of calls of nine letters
and digits; a message of the assistant between the results of tools and the user's next; no names of speakers; the system first, and of
the user no two messages in a row, unless the model is known to take more. Of all three formats: no thoughts but those of their own
models. Of Responses: fewer members than OpenAI has, and no others."""
SigningWay = Literal["bearer", "header", "aws_sigv4", "google_token"]

ANY = "*"
"""In `Route.when`: any value that is not blank."""

_PLACE = re.compile(r"\{([A-Za-z_]+)\}")
_HOST_LABEL = re.compile(r"[A-Za-z0-9-]+")


@dataclass(frozen=True, slots=True)
class Signing:
    """One way to sign, and which stored fields play which part in it.

    Parts: bearer and header `token`; aws_sigv4 `access_key_id`, `secret_access_key`, `session_token`, `region`; google_token
    `service_account`. `header` is the name of the header that carries the token, `service` the name that AWS signs for.
    """

    way: SigningWay
    parts: Mapping[str, str]
    header: str | None = None
    service: str | None = None

    def is_possible(self, values: Mapping[str, str]) -> bool:
        """Whether the fields that make it a signature are stored. Without one the request goes out unsigned."""
        return all(values.get(name) for part, name in self.parts.items() if part not in ("session_token", "region"))


@dataclass(frozen=True, slots=True)
class Dialect:
    """In what a server differs from others of its format: what it calls the limit of an answer, which parameters it refuses, which have
    another name there, what else it wants, and which values of `anthropic-beta` it refuses."""

    output_limit: OutputLimitName = "max_tokens"
    refuses: tuple[Refusable, ...] = ()
    renames: Mapping[Renamable, str] = field(default_factory=dict)
    quirks: tuple[Quirk, ...] = ()
    refuses_betas: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where one kind of request goes, for the models that match one of `models` (patterns; empty for all).

    `stream_path` is where a streamed answer is asked for, if elsewhere. Of `signings` the first possible one is used.
    """

    path: str
    wire: Wire
    stream_path: str | None = None
    models: tuple[str, ...] = ()
    model_prefix: str = ""
    signings: tuple[Signing, ...] = ()
    dialect: Dialect = field(default_factory=Dialect)

    def upstream_model(self, model_id: str) -> str:
        """The model as this endpoint names it: with the prefix, unless it names its publisher already."""
        return model_id if "/" in model_id else self.model_prefix + model_id


@dataclass(frozen=True, slots=True)
class ConnectionCheck:
    """The cheapest authenticated request, a GET, and how to read a list of models from its answer.

    `items` is the key of the list, empty where the answer itself is the list, None where it is no list of models; `id` is the key of an
    item's id, `id_prefix` what precedes it there, `more` the key that is set when the list goes on. `answer` is a key that every answer
    has, empty where it is a list, None where nothing is known of it; `refusals` are statuses that refuse a key, beside 401 and 403.
    """

    path: str
    items: str | None = None
    id: str = "id"
    id_prefix: str = ""
    more: str | None = None
    answer: str | None = None
    refusals: tuple[int, ...] = ()
    signings: tuple[Signing, ...] = ()


@dataclass(frozen=True, slots=True)
class Route:
    """One way to reach a provider: `when` says for which stored values, a field's name to the values it may have, "" for blank.

    `base_url` is a template; None means the address in use: the provider's first stored address field, else its own.
    Without `check` the provider has no free check on this route.
    """

    when: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    base_url: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    query: Mapping[str, str] = field(default_factory=dict)
    endpoints: Mapping[EndpointName, tuple[Endpoint, ...]] = field(default_factory=dict)
    check: ConnectionCheck | None = None

    def serves(self, values: Mapping[str, str]) -> bool:
        """Whether this route is for these stored values."""
        return all(_fits(values.get(name, ""), wanted) for name, wanted in self.when.items())

    def endpoint(self, name: EndpointName, model_id: str) -> Endpoint | None:
        """The first endpoint of that name for this model; None where the provider has none."""
        for endpoint in self.endpoints.get(name, ()):
            if not endpoint.models or any(fnmatchcase(model_id, pattern) for pattern in endpoint.models):
                return endpoint
        return None

    def url(self, path: str, values: Mapping[str, str], address: str | None, model_id: str = "") -> str:
        """The whole URL of a path of this route. Model ids and stored values are percent-encoded wherever they stand.

        Raises ValueError where a value is missing or could move the request to another host.
        """
        query = self.rendered_query(values)
        if path.startswith("https://"):
            whole = _rendered_url(path, {**values, "model": model_id})
        else:
            base, _, given = self._base(values, address).partition("?")
            whole = base.rstrip("/") + _rendered_path(path, {**values, "model": model_id})
            query = "&".join(filter(None, (given, query)))
        return f"{whole}?{query}" if query else whole

    def _base(self, values: Mapping[str, str], address: str | None) -> str:
        # A stored address is no template: what stands in braces there is the user's own.
        base = _rendered_url(self.base_url, values) if self.base_url else address
        if not base:
            raise ValueError("no address is stored")
        return base.partition("#")[0]

    def rendered_query(self, values: Mapping[str, str]) -> str:
        """The query, percent-encoded, without what has no value."""
        rendered = {name: _filled(template, values) for name, template in self.query.items()}
        return "&".join(f"{name}={quote(value, safe='')}" for name, value in rendered.items() if value)

    def rendered_headers(self, values: Mapping[str, str]) -> dict[str, str]:
        """The fixed headers, without those that have no value."""
        rendered = {name: _filled(template, values) for name, template in self.headers.items()}
        return {name: value for name, value in rendered.items() if value}


@dataclass(frozen=True, slots=True)
class Calling:
    """All routes of a provider, the first that serves wins. `defaults` stand in for fields that are not stored."""

    routes: tuple[Route, ...]
    defaults: Mapping[str, str] = field(default_factory=dict)

    def values(self, stored: Mapping[str, str]) -> dict[str, str]:
        """What the templates are filled with: the stored values that are not blank, over the defaults, without white space around them,
        which comes from pasting."""
        return {**self.defaults, **{name: value.strip() for name, value in stored.items() if value.strip()}}

    def route(self, values: Mapping[str, str]) -> Route | None:
        """The first route for these values."""
        return next((route for route in self.routes if route.serves(values)), None)


def _fits(value: str, wanted: tuple[str, ...]) -> bool:
    return value in wanted or (value != "" and ANY in wanted)


def _filled(template: str, values: Mapping[str, str]) -> str:
    """The template with its places filled as they are; empty when a place has no value."""
    names = _PLACE.findall(template)
    return "" if any(not values.get(name) for name in names) else _PLACE.sub(lambda place: values[place[1]], template)


def _rendered_url(template: str, values: Mapping[str, str]) -> str:
    scheme, separator, rest = template.partition("://")
    host, slash, path = rest.partition("/")
    return scheme + separator + _PLACE.sub(lambda place: _host_label(place[1], values), host) + slash + _rendered_path(path, values)


def _rendered_path(template: str, values: Mapping[str, str]) -> str:
    return _PLACE.sub(lambda place: _path_segment(place[1], values), template)


def _path_segment(name: str, values: Mapping[str, str]) -> str:
    """A value that becomes one segment of a path. Dots survive percent-encoding, and would climb."""
    value = _required(name, values)
    if value in (".", ".."):
        raise ValueError(f"{name} must not be a dot segment")
    return quote(value, safe="")


def _host_label(name: str, values: Mapping[str, str]) -> str:
    """A value that becomes part of a host name: it must not be able to name another host, where the credentials would go."""
    value = _required(name, values)
    if not _HOST_LABEL.fullmatch(value):
        raise ValueError(f"{name} must hold letters, digits and hyphens only")
    return value


def _required(name: str, values: Mapping[str, str]) -> str:
    value = values.get(name, "")
    if not value:
        raise ValueError(f"{name} is not stored")
    return value
