"""A request made in this process, and its answer, kept whole."""

from urllib.parse import unquote, urlencode

from keyhouse.cli.connection import Request
from keyhouse.domain.tenancy import Caller
from keyhouse.gateway.headers import RawHeaders
from keyhouse.gateway.passing import PassedBody, pieces
from keyhouse.web.gateway.request_headers import RequestHeaders, request_headers


class LocalExchange:
    """See `web.gateway.exchange.Exchange`. `status`, `answered` and `tag` (its entity tag, if it has one) are the answer's."""

    def __init__(self, request: Request, caller: Caller) -> None:
        self.method = request.method
        self.path = unquote(request.path)
        self.raw_path = request.path.encode()
        self.query = urlencode(request.query).encode()
        # As they come over a connection.
        self.headers = [(name.lower().encode(), value.encode("latin-1")) for name, value in request.headers().items()]
        self.head_at = 0.0
        self.caller: Caller | None = caller
        self.has_begun = False
        self.has_left = False
        self.status = 0
        self.answered = b""
        self.tag: str | None = None
        self._body = request.encoded_body() or b""

    def read_headers(self) -> RequestHeaders:
        """See Exchange."""
        return request_headers(self.headers)

    async def body(self, limit: int) -> bytes | None:
        """See Exchange."""
        return self._body if len(self._body) <= limit else None

    def end_with_caller(self) -> None:
        """See Exchange: this one waits."""

    async def answer(self, status: int, headers: RawHeaders, body: bytes | PassedBody) -> None:
        """See Exchange."""
        self.has_begun, self.status = True, status
        self.tag = dict(headers).get(b"etag", b"").decode() or None
        self.answered = body if isinstance(body, bytes) else b"".join([piece async for piece in pieces(body)])
