"""What operators and their machines ask a server: whether it lives, whether it can serve, and its metrics. Nothing here is logged."""

import asyncio
import ipaddress
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import msgspec
from starlette.types import ASGIApp, Receive, Scope, Send

from keyhouse.domain.errors import Error
from keyhouse.services.metrics.exposition import CONTENT_TYPE
from keyhouse.web import callers
from keyhouse.web.asgi import answer_whole

_JSON = b"application/json"
_READY_WITHIN_S = 3.0
# Whoever stands in front of us on this machine speaks for somebody else.
_FORWARDED = frozenset({b"forwarded", b"via", b"x-forwarded-for", b"x-forwarded-host", b"x-forwarded-proto", b"x-real-ip"})


@dataclass(frozen=True, slots=True)
class MetricsAccess:
    """Who may read the metrics: everybody, or this machine and whoever sends the instance key."""

    is_public: bool = False
    admin_key: str | None = None

    def __repr__(self) -> str:
        return "MetricsAccess(***)"

    def admits(self, scope: Scope) -> bool:
        """Whether a request may read them."""
        return self.is_public or _is_local(scope) or self._has_key(scope)

    def _has_key(self, scope: Scope) -> bool:
        token = callers.bearer(scope["headers"])
        return self.admin_key is not None and token is not None and callers.is_same_key(token, self.admin_key)


class Reply(msgspec.Struct, frozen=True):
    """An answer to a machine."""

    status: int
    content_type: bytes
    body: bytes


class Observability:
    """Answers `/healthz`, `/readyz` and `/metrics`, and lets everything else through.

    `look` raises Error where the database is away; `metrics` renders the metrics.
    """

    def __init__(self, app: ASGIApp, look: Callable[[], Awaitable[None]], metrics: Callable[[], bytes], access: MetricsAccess) -> None:
        self._app = app
        self._look = look
        self._metrics = metrics
        self._access = access
        self._answers = {"/healthz": self._alive, "/readyz": self._ready, "/metrics": self._measured}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one HTTP request."""
        answer = self._answers.get(scope["path"])
        if answer is None or scope["method"] not in ("GET", "HEAD"):
            await self._app(scope, receive, send)
            return
        reply = await answer(scope)
        headers = [
            (b"content-type", reply.content_type),
            (b"content-length", b"%d" % len(reply.body)),
            (b"cache-control", b"no-store"),
            (b"x-content-type-options", b"nosniff"),
        ]
        await answer_whole(send, reply.status, headers, b"" if scope["method"] == "HEAD" else reply.body)

    async def _alive(self, _scope: Scope) -> Reply:
        return _reply(200, status="ok")

    async def _ready(self, _scope: Scope) -> Reply:
        try:
            async with asyncio.timeout(_READY_WITHIN_S):
                await self._look()
        except Error as error:
            return _reply(503, status="unavailable", reason=error.message)
        except TimeoutError:
            return _reply(503, status="unavailable", reason=f"The database did not answer within {_READY_WITHIN_S:g} seconds.")
        return _reply(200, status="ready")

    async def _measured(self, scope: Scope) -> Reply:
        if not self._access.admits(scope):
            how = "From another machine the metrics need the instance key (KEYHOUSE_ADMIN_KEY) as Authorization: Bearer <key>."
            return _reply(401, error="Unauthorized", message=how)
        return Reply(200, CONTENT_TYPE, self._metrics())


def _reply(code: int, **body: str) -> Reply:
    return Reply(code, _JSON, msgspec.json.encode(body))


def _is_local(scope: Scope) -> bool:
    """Whether the request was made on this machine, for nobody else."""
    client = scope.get("client")
    if not client or any(name in _FORWARDED for name, _ in scope["headers"]):
        return False
    try:
        return ipaddress.ip_address(client[0]).is_loopback
    except ValueError:
        return False
