"""The one exception of the house. Its codes are a closed set; which status a code means is chosen at the edge."""

from collections.abc import Mapping, Sequence
from enum import StrEnum


class Code(StrEnum):
    """Everything that can go wrong on purpose. What is not named here is `INTERNAL`."""

    UNAUTHENTICATED = "unauthenticated"
    INVALID_CREDENTIALS = "invalid_credentials"
    MISSING_CREDENTIALS = "missing_credentials"
    WRONG_KEY_KIND = "wrong_key_kind"
    INVALID_INSTANCE_KEY = "invalid_instance_key"
    PERMISSION_DENIED = "permission_denied"
    INSUFFICIENT_PERMISSIONS = "insufficient_permissions"
    NOT_FOUND = "not_found"
    ROUTE_NOT_FOUND = "route_not_found"
    PROJECT_NOT_FOUND = "project_not_found"
    TEAM_NOT_FOUND = "team_not_found"
    API_KEY_NOT_FOUND = "api_key_not_found"
    VERSION_NOT_FOUND = "version_not_found"
    MALFORMED_REQUEST = "malformed_request"
    BAD_REQUEST = "bad_request"
    PAYLOAD_TOO_LARGE = "payload_too_large"
    VALIDATION_ERROR = "validation_error"
    INVALID_PROVIDER = "invalid_provider"
    INVALID_API_KEY_CONFIGURATION = "invalid_api_key_configuration"
    PROVIDER_DEPRECATED = "provider_deprecated"
    CREDENTIALS_WOULD_BE_LOST = "credentials_would_be_lost"
    CREDENTIALS_UNREADABLE = "credentials_unreadable"
    ENDPOINT_CHANGED = "endpoint_changed"
    PRECONDITION_FAILED = "precondition_failed"
    CONFLICT = "conflict"
    ORGANIZATION_SLUG_TAKEN = "organization_slug_taken"
    TEAM_NAME_TAKEN = "team_name_taken"
    API_KEY_ALREADY_REVOKED = "api_key_already_revoked"
    SECRETS_DESTROYED = "secrets_destroyed"
    TOO_MANY_REQUESTS = "too_many_requests"
    STORAGE_UNAVAILABLE = "storage_unavailable"
    STORAGE_FULL = "storage_full"
    UNSUPPORTED_PARAMETER = "unsupported_parameter"
    UNSUPPORTED_ENDPOINT = "unsupported_endpoint"
    UNSUPPORTED_INPUT = "unsupported_input"
    WRONG_MODEL_MODE = "wrong_model_mode"
    MISSING_MODEL = "missing_model"
    MODEL_NOT_FOUND = "model_not_found"
    PROVIDER_INCOMPLETE = "provider_incomplete"
    METHOD_NOT_ALLOWED = "method_not_allowed"
    UPSTREAM_INVALID_ANSWER = "upstream_invalid_answer"
    UPSTREAM_STREAM_INCOMPLETE = "upstream_stream_incomplete"
    UPSTREAM_UNREACHABLE = "upstream_unreachable"
    UPSTREAM_CONNECT_TIMEOUT = "upstream_connect_timeout"
    UPSTREAM_TIMEOUT = "upstream_timeout"
    UPSTREAM_TLS_ERROR = "upstream_tls_error"
    UPSTREAM_BLOCKED = "upstream_blocked"
    UPSTREAM_BUSY = "upstream_busy"
    UPSTREAM_BROKEN = "upstream_broken"
    UPSTREAM_REDIRECT = "upstream_redirect"
    CONFIGURATION = "configuration"
    INTERNAL = "internal"


class Error(Exception):
    """A failure with a name.

    `message` is a whole sentence for a person and never holds a secret or a value that the caller sent as a key or header.
    `details` are further fields of the answer, JSON values, under the same rule.
    """

    def __init__(self, code: Code, message: str, **details: object) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.details: Mapping[str, object] = details

    @property
    def fields(self) -> Sequence[str]:
        """The fields that it is about, where its details name any."""
        named = self.details.get("fields")
        return named if isinstance(named, list) else ()

    def with_details(self, **details: object) -> "Error":
        """The same failure, with further details."""
        return Error(self.code, self.message, **{**self.details, **details})


def schema_failure(fields: Sequence[tuple[str, str, str]]) -> Error:
    """The 422 for a body that breaks the schema: `fields` are (path, type of the failure, message) each."""
    reasons = [{"code": "schema_failure", "meta": {"field": path, "type": kind, "message": message}} for path, kind, message in fields]
    first_path, _, first_message = fields[0]
    return Error(
        Code.VALIDATION_ERROR,
        f"{first_path}: {first_message}",
        target="json",
        fields=[path for path, _, _ in fields],
        reasons=reasons,
    )
