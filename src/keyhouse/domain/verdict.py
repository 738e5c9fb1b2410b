"""What a connection test finds out: a closed set of verdicts, each with one plain sentence. Never a word of the provider's. No I/O."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from keyhouse.domain.tenancy import Actor


class Verdict(StrEnum):
    """How stored credentials and their provider get on."""

    VERIFIED = "verified"
    KEY_REFUSED = "key_refused"
    MODEL_MISSING = "model_missing"
    WRONG_ENDPOINT = "wrong_endpoint"
    UNREACHABLE = "unreachable"
    TLS_ERROR = "tls_error"
    RATE_LIMITED = "rate_limited"
    BLOCKED = "blocked"
    UNCHECKED = "unchecked"


@dataclass(frozen=True, slots=True)
class ConnectionResult:
    """A verdict, a sentence for people, and the HTTP status seen, None where none was."""

    verdict: Verdict
    message: str
    status: int | None = None


@dataclass(frozen=True, slots=True)
class ListedModels:
    """What asking a provider for its models came to. `ids` are empty unless `result` is `verified`; not `complete`: there are more."""

    result: ConnectionResult
    ids: tuple[str, ...] = ()
    complete: bool = True


@dataclass(frozen=True, slots=True)
class LastTest:
    """The last test of a provider. `is_current` is False where credentials, headers or models changed since."""

    result: ConnectionResult
    at: datetime
    actor: Actor
    is_current: bool
