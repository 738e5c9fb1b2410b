"""One request of the gateway and its answer, whichever way it came: over a connection, or from the command line in this process."""

from typing import Protocol

from keyhouse.domain.tenancy import Caller
from keyhouse.gateway.headers import RawHeaders
from keyhouse.gateway.passing import PassedBody
from keyhouse.web.gateway.request_headers import RequestHeaders


class CallerLeftError(Exception):
    """The caller closed the connection before its answer was complete."""


class Exchange(Protocol):
    """A request that is being answered. `path` is decoded, `raw_path` as it came; names of headers are in lower case.

    `head_at` is the moment of `perf_counter` at which the head came, 0.0 for about now. `caller` is set where the request brings its rights
    along instead of a key. `has_begun` says that the answer's head is out, `has_left`
    that the caller is gone.
    """

    head_at: float
    caller: Caller | None
    has_begun: bool
    has_left: bool

    @property
    def method(self) -> str:
        """The method."""

    @property
    def path(self) -> str:
        """The path, decoded."""

    @property
    def raw_path(self) -> bytes:
        """The path as it came."""

    @property
    def query(self) -> bytes:
        """What stands behind the path's `?`."""

    @property
    def headers(self) -> list[tuple[bytes, bytes]]:
        """The headers, as they came but for their names."""

    def read_headers(self) -> RequestHeaders:
        """What the gateway reads of them."""

    async def body(self, limit: int) -> bytes | None:
        """The whole body, None as soon as it is known to be larger than `limit` bytes. Raises CallerLeftError."""

    def end_with_caller(self) -> None:
        """From now on the caller's leaving cancels the task that answers. Raises CallerLeftError where it has left."""

    async def answer(self, status: int, headers: RawHeaders, body: bytes | PassedBody) -> None:
        """Send the answer. A body that comes in pieces and breaks off raises, and the caller sees an answer that breaks off.

        Raises ValueError, before anything is sent, for headers that are not legal HTTP.
        """
