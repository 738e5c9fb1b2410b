"""Errors of the Messages API: https://platform.claude.com/docs/en/api/errors, looked up on 23 November 2026."""

from collections.abc import Mapping

from keyhouse.gateway.wire.answer import ApiError
from keyhouse.gateway.wire.decoding import decoded_object, no_message
from keyhouse.gateway.wire.fields import JsonObject, without_nones
from keyhouse.gateway.wire.overflows import told_to_claude_code

_TYPES = {
    400: "invalid_request_error",
    401: "authentication_error",
    402: "billing_error",
    403: "permission_error",
    404: "not_found_error",
    408: "timeout_error",
    409: "conflict_error",
    424: "api_error",
    413: "request_too_large",
    429: "rate_limit_error",
    500: "api_error",
    503: "overloaded_error",
    504: "timeout_error",
    529: "overloaded_error",
}
_STATUSES = {kind: status for status, kind in _TYPES.items()}


def parse_error(status: int, body: bytes) -> ApiError:
    """The error of an answer that is none, whatever its body holds."""
    return parse_error_member(decoded_object(body), status)


def parse_error_member(body: Mapping[str, object], status: int | None = None) -> ApiError:
    """The error in `{"type": "error", "error": {...}}`; without a status it is told by the error's type."""
    error = body.get("error")
    members = error if isinstance(error, dict) else {}
    kind, message, request_id = members.get("type"), members.get("message"), body.get("request_id")
    status = status or _STATUSES.get(kind if isinstance(kind, str) else "", 500)
    return ApiError(
        status=status,
        message=message if isinstance(message, str) and message else no_message(status),
        type=kind if isinstance(kind, str) else None,
        request_id=request_id if isinstance(request_id, str) else None,
    )


def render_error(error: ApiError) -> JsonObject:
    """The body of an error answer, and the data of a stream's `error` event."""
    kind = _TYPES.get(error.status) or ("api_error" if error.status >= 500 else "invalid_request_error")
    details = {"error_code": error.error_code} if error.error_code else None
    stated = without_nones({"type": kind, "message": told_to_claude_code(error), "details": details})
    return without_nones({"type": "error", "error": stated, "request_id": error.request_id})
