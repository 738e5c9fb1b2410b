"""Try a model: a page that sends a real call, and the call itself, which enters the gateway as every other one does."""

import asyncio
from itertools import groupby

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from keyhouse.domain.errors import Code, Error
from keyhouse.domain.tenancy import Caller
from keyhouse.gateway.headers import RawHeaders
from keyhouse.gateway.passing import PassedBody, pieces
from keyhouse.services.model_defaults import ModelDefaults
from keyhouse.services.model_providers import ModelProviders
from keyhouse.services.models import Models
from keyhouse.web.gateway.gateway import Gateway
from keyhouse.web.gateway.request_headers import RequestHeaders, request_headers
from keyhouse.web.pages.rendering import HEADERS, page
from keyhouse.web.pages.rights import require_view
from keyhouse.web.pages.site import Page
from keyhouse.web.pages.visit import Visit

_PATH = "/projects/{project}/try"
_ENDPOINT = "/v1/chat/completions"


class TryPages:
    """See the module."""

    def __init__(self, providers: ModelProviders, defaults: ModelDefaults, models: Models, gateway: Gateway) -> None:
        self._providers = providers
        self._defaults = defaults
        self._models = models
        self._gateway = gateway

    def pages(self) -> list[Page]:
        """Every address."""
        return [Page("GET", _PATH, self.show), Page("POST", _PATH, self.call)]

    async def show(self, visit: Visit) -> Response:
        """The page. `model` or `provider` in the query chooses a model, else it is the project's default one."""
        require_view(visit)
        models, default = await self._models.chat_models(visit.project_id)
        by_provider = groupby(models, lambda model: model.provider)
        groups = [(self._providers.spec(provider), list(group)) for provider, group in by_provider]
        query = visit.request.query_params
        of_provider = next((model.id for model in models if model.provider == query.get("provider")), "")
        chosen = query.get("model") or of_provider or default or (models[0].id if models else "")
        project = await self._defaults.project(visit.project_id)
        return page(visit, "try.html", project=project, groups=groups, chosen=chosen, default=default or "")

    async def call(self, visit: Visit) -> Response:
        """The gateway's own answer to the request that the form holds as JSON: byte for byte what an application gets."""
        require_view(visit)
        if "request" not in visit.form:
            raise Error(Code.BAD_REQUEST, "Nothing was sent to a provider: this page needs JavaScript to show an answer as it comes.")
        return GatewayCall(self._gateway, visit.caller, visit.form.text("request").encode("utf-8", "surrogatepass"))


class GatewayCall(Response):
    """An answer that the gateway gives, for a caller whom a session stands for. When the browser leaves, the gateway hears of it."""

    def __init__(self, gateway: Gateway, caller: Caller, request: bytes) -> None:
        super().__init__()
        self._gateway = gateway
        self._caller = caller
        self._request = request

    async def __call__(self, _scope: Scope, receive: Receive, send: Send) -> None:
        """Serve it."""
        exchange = _TriedExchange(self._caller, self._request, receive, send)
        try:
            await self._gateway.serve(exchange)
        finally:
            exchange.close()


class _TriedExchange:
    """See `web.gateway.exchange.Exchange`: a request of the page's own making, answered over the browser's."""

    method = "POST"
    path = _ENDPOINT
    raw_path = _ENDPOINT.encode()
    query = b""

    def __init__(self, caller: Caller, request: bytes, receive: Receive, send: Send) -> None:
        self.headers = [(b"content-type", b"application/json")]
        self.head_at = 0.0
        self.caller: Caller | None = caller
        self.has_begun = False
        self.has_left = False
        self._request = request
        self._receive = receive
        self._send = send
        self._watcher: asyncio.Task[None] | None = None

    def read_headers(self) -> RequestHeaders:
        """See Exchange."""
        return request_headers(self.headers)

    async def body(self, limit: int) -> bytes | None:
        """See Exchange."""
        return self._request if len(self._request) <= limit else None

    def end_with_caller(self) -> None:
        """See Exchange."""
        answering = asyncio.current_task()
        if answering is not None:
            self._watcher = asyncio.create_task(self._watch(answering))

    async def _watch(self, answering: asyncio.Task[object]) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass
        self.has_left = True
        answering.cancel()

    def close(self) -> None:
        """Watch no longer."""
        if self._watcher is not None:
            self._watcher.cancel()

    async def answer(self, status: int, headers: RawHeaders, body: bytes | PassedBody) -> None:
        """See Exchange."""
        self.has_begun = True
        await self._send({"type": "http.response.start", "status": status, "headers": [*headers, *_HEADERS]})
        if isinstance(body, bytes):
            await self._send({"type": "http.response.body", "body": body})
            return
        async for piece in pieces(body):
            await self._send({"type": "http.response.body", "body": piece, "more_body": True})
        await self._send({"type": "http.response.body", "body": b""})


_HEADERS = [(name.encode(), value.encode()) for name, value in HEADERS.items()]
