"""What a caller is told of an upstream's failure: codes for `UpstreamError` and `SigningError`, and the error event of a broken stream."""

import msgspec

from keyhouse.domain.calling import EndpointName
from keyhouse.domain.errors import Code, Error
from keyhouse.gateway.signing_error import SigningError, SigningFailure
from keyhouse.gateway.upstream_error import UpstreamError, UpstreamFailure
from keyhouse.gateway.wire import anthropic_messages, openai_chat
from keyhouse.gateway.wire.answer import ApiError

_CODES = {
    UpstreamFailure.CONNECT_FAILED: Code.UPSTREAM_UNREACHABLE,
    UpstreamFailure.CONNECT_TIMEOUT: Code.UPSTREAM_CONNECT_TIMEOUT,
    UpstreamFailure.TLS_ERROR: Code.UPSTREAM_TLS_ERROR,
    UpstreamFailure.BLOCKED: Code.UPSTREAM_BLOCKED,
    UpstreamFailure.POOL_TIMEOUT: Code.UPSTREAM_BUSY,
    UpstreamFailure.FIRST_BYTE_TIMEOUT: Code.UPSTREAM_TIMEOUT,
    UpstreamFailure.IDLE_TIMEOUT: Code.UPSTREAM_TIMEOUT,
    UpstreamFailure.BROKEN: Code.UPSTREAM_BROKEN,
    UpstreamFailure.BAD_RESPONSE: Code.UPSTREAM_INVALID_ANSWER,
}
_SIGNING_CODES = {
    SigningFailure.UNUSABLE: Code.PROVIDER_INCOMPLETE,
    SigningFailure.REFUSED: Code.PROVIDER_INCOMPLETE,
    SigningFailure.RATE_LIMITED: Code.UPSTREAM_BUSY,
    SigningFailure.UNAVAILABLE: Code.UPSTREAM_UNREACHABLE,
    SigningFailure.WRONG_ENDPOINT: Code.UPSTREAM_INVALID_ANSWER,
}
MESSAGES_ENDPOINTS: frozenset[EndpointName] = frozenset({"messages", "count_tokens"})
"""Whose callers speak the Messages API's envelope; all others speak OpenAI's."""


def failure_of(error: UpstreamError) -> Error:
    """The error for a failed call. `retry` is False in it where the provider may have acted, or would fail in the same way again."""
    unsafe = error.request_sent or error.kind in (UpstreamFailure.TLS_ERROR, UpstreamFailure.BLOCKED)
    return Error(_CODES[error.kind], error.message, **({"retry": False} if unsafe else {}))


def signing_failure_of(error: SigningError) -> Error:
    """The error for a request that cannot be signed."""
    return Error(_SIGNING_CODES[error.kind], error.message)


def error_body(endpoint: EndpointName | None, error: ApiError) -> bytes:
    """An error in the envelope of an endpoint's callers; OpenAI's where there is no such endpoint."""
    if endpoint in MESSAGES_ENDPOINTS:
        return msgspec.json.encode(anthropic_messages.render_error(error))
    return msgspec.json.encode(openai_chat.render_error(error))


def error_event(endpoint: EndpointName, error: ApiError) -> bytes:
    """The event that ends a broken stream, in the format of the endpoint's callers, such that official clients raise at it."""
    if endpoint in MESSAGES_ENDPOINTS:
        return b"event: error\ndata: %b\n\n" % error_body(endpoint, error)
    if endpoint == "responses":
        # The event has no member `error` (type ResponseErrorEvent of the openai package 3.54.0), but the client raises at nothing else,
        # and would take the event for one of the answer's.
        stated = {"type": "error", "code": error.code, "message": error.message, "param": None, **openai_chat.render_error(error)}
        return b"event: error\ndata: %b\n\n" % msgspec.json.encode(stated)
    return b"data: %b\n\n" % error_body(endpoint, error)


def status_of(failure: Error) -> int:
    """The status that an error inside a stream stands for: its head is out already."""
    return 504 if failure.code is Code.UPSTREAM_TIMEOUT else 502
