"""The endpoints of the gateway by method and path, and which format their callers speak."""

from collections.abc import Iterable

import msgspec

from keyhouse.domain.calling import EndpointName
from keyhouse.gateway.failures import MESSAGES_ENDPOINTS
from keyhouse.gateway.prepared import FORM_ENDPOINTS
from keyhouse.gateway.wire.parameters import CallerFormat


class GatewayEndpoint(msgspec.Struct, frozen=True):
    """One endpoint: its path and name, whether its body is a form and not JSON, and whose API its callers speak."""

    path: str
    name: EndpointName
    takes_form: bool
    format: CallerFormat


def _endpoint(path: str, name: EndpointName) -> GatewayEndpoint:
    return GatewayEndpoint(path, name, name in FORM_ENDPOINTS, "anthropic_messages" if name in MESSAGES_ENDPOINTS else "openai_chat")


ENDPOINTS = {
    endpoint.path: endpoint
    for endpoint in (
        _endpoint("/v1/chat/completions", "chat"),
        _endpoint("/v1/embeddings", "embeddings"),
        _endpoint("/v1/responses", "responses"),
        _endpoint("/v1/messages", "messages"),
        _endpoint("/v1/messages/count_tokens", "count_tokens"),
        _endpoint("/v1/completions", "completions"),
        _endpoint("/v1/audio/speech", "speech"),
        _endpoint("/v1/audio/transcriptions", "transcription"),
        _endpoint("/v1/images/generations", "images"),
        _endpoint("/v1/images/edits", "image_edits"),
        _endpoint("/v1/moderations", "moderations"),
        _endpoint("/v1/rerank", "rerank"),
    )
}
"""By path; each takes POST."""

MODELS_PATH = "/v1/models"


def is_models(path: str) -> bool:
    """Whether a path is the list of models, or one of them."""
    return path.startswith(MODELS_PATH) and path[len(MODELS_PATH) : len(MODELS_PATH) + 1] in ("", "/")


_VERSION = "/v1"
_MISPLACED = tuple(path.removeprefix(_VERSION) for path in ENDPOINTS)
_OPENAI = "/openai"
_DEPLOYMENTS = "/deployments/"
_SECOND_RERANK = "/v2/rerank"


def is_meant_for_gateway(path: str) -> bool:
    """Whether a path begins as those of clients do, or is an endpoint's but for a base URL that is wrong: `/chat/completions`."""
    return path.startswith(("/v1/", "//v1/", "/openai/", "/v2/")) or path.endswith(_MISPLACED)


def usual_path(path: str) -> tuple[str, str]:
    """The path under `/v1` that another one stands for, and the model that it names; else the path itself.

    Azure's clients: `/openai/deployments/{model}/chat/completions`, `/openai/responses`, `/openai/v1/...`; the last is Groq's as well
    (learn.microsoft.com/azure/ai-foundry/openai/reference, and the openai and groq packages, 3.57.0 and 1.7.0). `/v2/rerank` is Cohere's
    second API, whose format `/v1/rerank` speaks (docs.cohere.com/reference/rerank). 2026-11-29.
    """
    if path == _SECOND_RERANK:
        return "/v1/rerank", ""
    if not path.startswith(_OPENAI + "/"):
        return path, ""
    rest = path.removeprefix(_OPENAI)
    if rest.startswith(_DEPLOYMENTS):
        ending = next((ending for ending in _MISPLACED if rest.endswith(ending)), None)
        return (path, "") if ending is None else (_VERSION + ending, rest[len(_DEPLOYMENTS) : -len(ending)])
    return rest if rest.startswith(_VERSION + "/") else _VERSION + rest, ""


def format_of(path: str, headers: Iterable[tuple[bytes, bytes]]) -> CallerFormat:
    """Which API a caller speaks on a path, be it known or not: where it is no endpoint of one alone, the header tells that Anthropic's
    clients send."""
    known = ENDPOINTS.get(path)
    if known is not None:
        return known.format
    if path.startswith("/v1/messages/") or any(name == b"anthropic-version" for name, _ in headers):
        return "anthropic_messages"
    return "openai_chat"


NO_ENDPOINT = (
    f"There is no such endpoint. The gateway takes POST on {', '.join(ENDPOINTS)}, and GET on {MODELS_PATH}. What a provider keeps, as"
    " files, batches and responses by their id, is to be asked for at the provider itself. The base URL of OpenAI's clients"
    " ends in /v1, that of Anthropic's has no path. Azure's endpoint has none either."
)
"""What is told of a path that is no client's."""


def no_endpoint(path: str) -> str:
    """What is told of any other path: where it ends as an endpoint's does, what is wrong with the client's base URL, as some clients add
    `/v1` to it and others want it there."""
    ending = next((ending for ending in _MISPLACED if path.endswith(ending)), None)
    if ending is None:
        return NO_ENDPOINT
    meant = _VERSION + ending
    if path == ending:
        remedy = f"end its base URL in {_VERSION}, as it adds {ending} by itself"
    elif path.endswith(meant):
        remedy = "what the path has before that is too much in its base URL"
    else:
        remedy = "its base URL has to lead there"
    return f"There is no such endpoint. This client means {meant}: {remedy}."
