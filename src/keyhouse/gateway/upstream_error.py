"""How a call of an upstream can fail: one exception, a closed set of kinds. Says what is safe to try again; tries nothing itself."""

from enum import StrEnum


class UpstreamFailure(StrEnum):
    """Everything that can go wrong between a request and the end of its answer."""

    CONNECT_FAILED = "connect_failed"
    CONNECT_TIMEOUT = "connect_timeout"
    TLS_ERROR = "tls_error"
    BLOCKED = "blocked"
    POOL_TIMEOUT = "pool_timeout"
    FIRST_BYTE_TIMEOUT = "first_byte_timeout"
    IDLE_TIMEOUT = "idle_timeout"
    BROKEN = "broken"
    BAD_RESPONSE = "bad_response"


class UpstreamError(Exception):
    """A call that failed.

    `message` is a whole sentence that names no address, header or body, so it may be shown and logged. `request_sent` is False when no
    byte of the request can have been acted on: trying again is then safe.
    """

    def __init__(self, kind: UpstreamFailure, message: str, *, request_sent: bool = False) -> None:
        super().__init__(message)
        self.kind = kind
        self.message = message
        self.request_sent = request_sent

    def anew(self) -> "UpstreamError":
        """The same, not raised yet. Who keeps the error that it raises keeps what was under way with it, as a cycle: raise this instead."""
        return UpstreamError(self.kind, self.message, request_sent=self.request_sent)


class KeptAliveClosedError(UpstreamError):
    """A reused connection turned out closed before any byte of the answer. `Upstream.open` answers it with one fresh connection."""

    def __init__(self) -> None:
        super().__init__(
            UpstreamFailure.BROKEN, "The upstream closed a kept-alive connection just as the request was sent.", request_sent=True
        )
