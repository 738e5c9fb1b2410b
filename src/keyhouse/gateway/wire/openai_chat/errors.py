"""Errors as OpenAI-shaped APIs state them: https://developers.openai.com/api/docs/guides/error-codes, looked up on 23 November 2026."""

from collections.abc import Mapping

from keyhouse.gateway.wire.answer import ApiError
from keyhouse.gateway.wire.decoding import decoded_object, no_message, stated_words
from keyhouse.gateway.wire.fields import JsonObject
from keyhouse.gateway.wire.overflows import CODE, is_overflow

_TYPES = {
    401: "authentication_error",
    402: "insufficient_quota",
    403: "permission_error",
    404: "not_found_error",
    408: "server_error",
    409: "conflict_error",
    424: "server_error",
    429: "rate_limit_error",
    503: "service_unavailable_error",
    529: "service_unavailable_error",
}
_STATUSES = {
    "invalid_request_error": 400,
    "authentication_error": 401,
    "insufficient_quota": 429,
    "permission_error": 403,
    "not_found_error": 404,
    "rate_limit_error": 429,
    "rate_limit_exceeded": 429,
    "service_unavailable_error": 503,
    CODE: 400,
    "invalid_prompt": 400,
    "slow_down": 429,
    "server_is_overloaded": 503,
}
"""The last four are codes of failed responses: https://github.com/tailcallhq/forgecode/pull/3040 (2026-04-16), codex-rs of openai/codex."""


def parse_error(status: int, body: bytes) -> ApiError:
    """The error of an answer that is none, whatever its body holds."""
    return parse_error_member(decoded_object(body), status)


def parse_error_member(body: Mapping[str, object], status: int | None = None) -> ApiError:
    """The error in `{"error": {...}}`, `{"error": "..."}`, or at the top as `message` or `detail`, in which servers that check each member
    list what is wrong with it; without a status it is told by the error's type or code."""
    error = body.get("error")
    if not isinstance(error, dict):
        error = {"message": error if isinstance(error, str) else body.get("message") or body.get("detail")}
    kind, code, message, param = (error.get(name) for name in ("type", "code", "message", "param"))
    told = status or _STATUSES.get(kind if isinstance(kind, str) else "") or _STATUSES.get(code if isinstance(code, str) else "")
    status = told or (code if isinstance(code, int) and 400 <= code <= 599 else 500)
    return ApiError(
        status=status,
        message=stated_words(message) or no_message(status),
        type=kind if isinstance(kind, str) else None,
        code=code if isinstance(code, str) else None,
        param=param if isinstance(param, str) else None,
    )


def render_error(error: ApiError) -> JsonObject:
    """The body of an error answer, and of the error chunk of a stream. An upstream's foreign type is kept as the code."""
    kind = _TYPES.get(error.status) or ("server_error" if error.status >= 500 else "invalid_request_error")
    code = CODE if is_overflow(error) else error.code or (error.type if error.type != kind else None)
    return {"error": {"message": error.message, "type": kind, "param": error.param, "code": code}}
