"""From an error's code to its status and its words at the edge: one table, and the flat envelope of the control plane."""

import msgspec

from keyhouse.domain.errors import Code, Error

STATUS: dict[Code, int] = {
    Code.UNAUTHENTICATED: 401,
    Code.INVALID_CREDENTIALS: 401,
    Code.MISSING_CREDENTIALS: 401,
    Code.WRONG_KEY_KIND: 401,
    Code.INVALID_INSTANCE_KEY: 401,
    Code.PERMISSION_DENIED: 403,
    Code.INSUFFICIENT_PERMISSIONS: 403,
    Code.NOT_FOUND: 404,
    Code.ROUTE_NOT_FOUND: 404,
    Code.PROJECT_NOT_FOUND: 404,
    Code.TEAM_NOT_FOUND: 404,
    Code.API_KEY_NOT_FOUND: 404,
    Code.VERSION_NOT_FOUND: 404,
    Code.MALFORMED_REQUEST: 400,
    Code.BAD_REQUEST: 400,
    Code.PAYLOAD_TOO_LARGE: 413,
    Code.VALIDATION_ERROR: 422,
    Code.INVALID_PROVIDER: 400,
    Code.INVALID_API_KEY_CONFIGURATION: 400,
    Code.PROVIDER_DEPRECATED: 400,
    Code.CREDENTIALS_WOULD_BE_LOST: 400,
    Code.CREDENTIALS_UNREADABLE: 400,
    Code.ENDPOINT_CHANGED: 400,
    Code.PRECONDITION_FAILED: 412,
    Code.CONFLICT: 409,
    Code.ORGANIZATION_SLUG_TAKEN: 409,
    Code.TEAM_NAME_TAKEN: 409,
    Code.API_KEY_ALREADY_REVOKED: 409,
    Code.SECRETS_DESTROYED: 409,
    Code.TOO_MANY_REQUESTS: 429,
    Code.STORAGE_UNAVAILABLE: 503,
    Code.STORAGE_FULL: 507,
    Code.METHOD_NOT_ALLOWED: 405,
    Code.MISSING_MODEL: 400,
    Code.MODEL_NOT_FOUND: 400,
    Code.PROVIDER_INCOMPLETE: 400,
    Code.UNSUPPORTED_PARAMETER: 400,
    Code.UNSUPPORTED_ENDPOINT: 400,
    Code.UNSUPPORTED_INPUT: 400,
    Code.WRONG_MODEL_MODE: 400,
    # The policy that refuses is the house's own, and trying again changes nothing.
    Code.UPSTREAM_BLOCKED: 403,
    Code.UPSTREAM_INVALID_ANSWER: 502,
    Code.UPSTREAM_STREAM_INCOMPLETE: 502,
    Code.UPSTREAM_UNREACHABLE: 502,
    Code.UPSTREAM_TLS_ERROR: 502,
    Code.UPSTREAM_BROKEN: 502,
    Code.UPSTREAM_REDIRECT: 502,
    Code.UPSTREAM_BUSY: 503,
    Code.UPSTREAM_CONNECT_TIMEOUT: 504,
    Code.UPSTREAM_TIMEOUT: 504,
    Code.CONFIGURATION: 500,
    Code.INTERNAL: 500,
}

# What stands in `error` where it is not the code itself: a word of its own, or (None) the message.
_LABEL: dict[Code, str | None] = {
    Code.UNAUTHENTICATED: "Unauthorized",
    Code.INVALID_CREDENTIALS: "Unauthorized",
    Code.WRONG_KEY_KIND: "Unauthorized",
    Code.INVALID_INSTANCE_KEY: "invalid_credentials",
    Code.PERMISSION_DENIED: "api_key_permission_denied",
    Code.INSUFFICIENT_PERMISSIONS: "Forbidden",
    Code.ROUTE_NOT_FOUND: None,
    Code.PROJECT_NOT_FOUND: None,
    Code.INVALID_PROVIDER: None,
    Code.INVALID_API_KEY_CONFIGURATION: None,
    Code.PROVIDER_DEPRECATED: None,
    Code.CONFLICT: "Conflict",
    Code.CONFIGURATION: "Internal server error",
    Code.INTERNAL: "Internal server error",
}


def flat_envelope(error: Error) -> bytes:
    """`{"error", "message", ...}`, the details of the error beside them."""
    label = _LABEL.get(error.code, error.code.value)
    return msgspec.json.encode({"error": label or error.message, "message": error.message, **error.details})


def internal_error() -> Error:
    """What a caller is told of a failure that nobody foresaw; the cause goes to the log."""
    return Error(Code.INTERNAL, "An unknown error occurred")
