"""What the signers sign, and how signing can fail. Signs nothing itself."""

from dataclasses import dataclass, field
from enum import StrEnum

from keyhouse.gateway.request import Headers


@dataclass(frozen=True, slots=True)
class UnsignedRequest:
    """A request as it will be sent: `host` as `host_header` writes it, `target` the path and query, `headers` those signed with it."""

    method: bytes
    host: bytes
    target: bytes
    headers: Headers = field(default=(), repr=False)
    body: bytes = field(default=b"", repr=False)


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
