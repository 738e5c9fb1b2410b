"""One look at a request's headers: the caller's key, what the gateway itself reads, and what may go on to an upstream."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from hashlib import blake2s

from keyhouse.domain.errors import Code, Error
from keyhouse.gateway.headers import TO_UPSTREAM, RawHeaders
from keyhouse.web.callers import Presented, presented

_KEYS = (b"x-api-key", b"api-key", b"x-auth-token")
_PRESENTED = (b"authorization", b"x-project-id", *_KEYS)
_READ = frozenset({*_PRESENTED, b"x-keyhouse-retries", b"traceparent"}) | TO_UPSTREAM
_HOW = "Send a project's API key as Authorization: Bearer <key>, x-api-key, api-key or X-Auth-Token."


@dataclass(slots=True)
class RequestHeaders:
    """`read` are the first values of the headers that matter, by lower-case name; `forwarded` those that may go on."""

    read: Mapping[bytes, bytes] = field(repr=False)
    forwarded: RawHeaders = field(repr=False)
    _digest: bytes = field(default=b"", repr=False)

    def presented(self) -> bytes:
        """A digest of everything that `credentials` looks at."""
        if not self._digest:
            value = self.read.get
            # No value holds a line break.
            self._digest = blake2s(b"\n".join([value(name, b"") for name in _PRESENTED])).digest()
        return self._digest

    def credentials(self) -> Presented:
        """The caller's key, and the project it names beside it: `Authorization`, `x-api-key`, `api-key`, `X-Auth-Token`, the first one
        that is present and not empty decides. Raises Error `unauthenticated`, `invalid_credentials` for an unreadable Authorization."""
        read = self.read
        authorization = read.get(b"authorization", b"").strip()
        if authorization:
            return self._authorized(authorization)
        token = next((value for name in _KEYS if (value := read.get(name, b"").strip())), b"")
        if not token:
            raise Error(Code.UNAUTHENTICATED, f"No API key was sent. {_HOW}")
        return Presented(token.decode("latin-1"), self._project_id())

    def _authorized(self, authorization: bytes) -> Presented:
        scheme, _, token = authorization.partition(b" ")
        if scheme.lower() == b"bearer":
            token = token.strip()
            if token:
                return Presented(token.decode("latin-1"), self._project_id())
        elif scheme.lower() == b"basic":
            found = presented([(b"authorization", authorization)])
            if found is not None:
                return found
        raise Error(Code.INVALID_CREDENTIALS, f"The Authorization header holds no API key. {_HOW}")

    def _project_id(self) -> str | None:
        return self.read.get(b"x-project-id", b"").strip().decode("latin-1") or None


def request_headers(headers: Iterable[tuple[bytes, bytes]]) -> RequestHeaders:
    """What there is to know of a request's headers, whose names are in lower case."""
    read: dict[bytes, bytes] = {}
    forwarded: RawHeaders = []
    for pair in headers:
        name = pair[0]
        if name in _READ:
            # Of two types one was read: the other must not go on.
            if name in TO_UPSTREAM and not (name == b"content-type" and name in read):
                forwarded.append(pair)
            if name not in read:
                read[name] = pair[1]
    return RequestHeaders(read, forwarded)
