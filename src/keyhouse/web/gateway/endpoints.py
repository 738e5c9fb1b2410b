"""The endpoints of the gateway by method and path, and which format their callers speak."""

from collections.abc import Iterable
from dataclasses import dataclass

from keyhouse.domain.calling import EndpointName
from keyhouse.gateway.failures import MESSAGES_ENDPOINTS
from keyhouse.gateway.prepared import FORM_ENDPOINTS
from keyhouse.gateway.wire.parameters import CallerFormat


@dataclass(frozen=True, slots=True)
class GatewayEndpoint:
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


_MISPLACED = tuple(path.removeprefix("/v1") for path in ENDPOINTS)


def is_meant_for_gateway(path: str) -> bool:
    """Whether a path begins with `/v1/`, or is an endpoint's but for a base URL that is wrong: `/chat/completions`, `//v1/messages`."""
    return path.startswith(("/v1/", "//v1/")) or path.endswith(_MISPLACED)


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
    " ends in /v1, that of Anthropic's has no path."
)
"""What is told of any other path."""
