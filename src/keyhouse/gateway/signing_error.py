"""How signing can fail: one exception, a closed set of kinds. Signs nothing itself."""

from enum import StrEnum


class SigningFailure(StrEnum):
    """Why there is no signature. `UNUSABLE`: what is stored cannot sign, nothing was asked. The others are the token endpoint's answer."""

    UNUSABLE = "unusable"
    REFUSED = "refused"
    RATE_LIMITED = "rate_limited"
    UNAVAILABLE = "unavailable"
    WRONG_ENDPOINT = "wrong_endpoint"


class SigningError(Exception):
    """A request that cannot be signed. `message` is a whole sentence without any stored or received value, `status` the one seen."""

    def __init__(self, kind: SigningFailure, message: str, status: int | None = None) -> None:
        super().__init__(message)
        self.kind = kind
        self.message = message
        self.status = status
