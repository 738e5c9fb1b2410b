"""Errors of Converse: https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_Converse.html#API_runtime_Converse_Errors,
looked up on 23 November 2026."""

from collections.abc import Mapping

from keyhouse.gateway.wire.answer import ApiError
from keyhouse.gateway.wire.decoding import decoded_object, no_message

_STATUSES = {
    "validation": 400,
    "accessdenied": 403,
    "resourcenotfound": 404,
    "modeltimeout": 408,
    "modelerror": 424,
    "modelstreamerror": 424,
    "throttling": 429,
    "modelnotready": 429,
    "servicequotaexceeded": 400,
    "internalserver": 500,
    "serviceunavailable": 503,
}


def parse_error(status: int, body: bytes, error_type: str | None = None) -> ApiError:
    """The error of an answer that is none. `error_type` is the header `x-amzn-errortype`, which may end in a colon and a URL."""
    return parse_error_member(decoded_object(body), (error_type or "").partition(":")[0] or None, status)


def parse_error_member(body: Mapping[str, object], kind: str | None, status: int | None = None) -> ApiError:
    """The error in `{"message": "..."}`; without a status it is told by the exception's name, as in `throttlingException`."""
    message = body.get("message") or body.get("Message")
    status = status or _STATUSES.get((kind or "").removesuffix("Exception").lower(), 500)
    return ApiError(status=status, message=message if isinstance(message, str) else no_message(status), type=kind)
