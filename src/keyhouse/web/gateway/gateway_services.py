"""What the gateway works with, whichever road a request takes: who calls, what is called, what is counted."""

from collections.abc import Iterator

import msgspec

from keyhouse.domain.tenancy import Caller, Permission
from keyhouse.gateway.observation import Observe
from keyhouse.gateway.relay import Relay
from keyhouse.services.attention import Attention
from keyhouse.services.identity import Identity
from keyhouse.services.models import Models
from keyhouse.web.gateway.calls_under_way import CallsUnderWay
from keyhouse.web.gateway.request_headers import RequestHeaders
from keyhouse.web.whole_numbers import whole_number


class Limits(msgspec.Struct, frozen=True):
    """What a request may do: the size of its body, how many calls of its project may be under way at once, how often its own may be tried
    again, and from which origins pages may send it."""

    max_request_bytes: int = 32 * 1024 * 1024
    calls_per_project: int = 1536
    retries: int = 2
    origins: frozenset[bytes] = frozenset()

    def retries_of(self, headers: RequestHeaders) -> int:
        """How often a request with these headers may be tried again."""
        asked = headers.read.get(b"x-keyhouse-retries")
        number = None if asked is None else whole_number(asked.decode("latin-1"))
        return self.retries if number is None else min(number, self.retries)


class GatewayServices(msgspec.Struct, frozen=True):
    """One of each for a process. `observe` is told of every request once it has ended."""

    identity: Identity
    models: Models
    attention: Attention
    relay: Relay
    limits: Limits
    observe: Observe
    under_way: CallsUnderWay
    request_ids: Iterator[str]

    def recalled(self, presented: bytes) -> Caller | None:
        """The caller who presented what has this digest, where it was admitted before."""
        caller = self.identity.recall(presented)
        return caller if caller is not None and Permission.VIEW in caller.permissions else None
