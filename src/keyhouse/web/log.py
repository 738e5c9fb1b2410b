"""What the edge writes to the log: failures and requests. Never a value of a request or of the house: routes by their template."""

import itertools
import secrets
from collections.abc import Iterable, Iterator, MutableMapping
from time import perf_counter
from typing import Any

import structlog
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from keyhouse.log import AccessLines, described

ROUTE = "keyhouse.route"
"""A scope's key under which a room notes the template of the route that it found."""
REQUEST_ID = "keyhouse.request_id"
"""A scope's key for what the answer bears as `x-keyhouse-request-id`."""

ID_HEADER = b"x-keyhouse-request-id"
_log = structlog.get_logger("keyhouse")


def log_failure(scope: MutableMapping[str, Any], cause: BaseException) -> None:
    """A request that failed on our side, with its cause's type and place."""
    log_failed_request(scope["method"], scope.get(ROUTE, "-"), scope.get(REQUEST_ID), cause)


def log_failed_request(method: str, route: str, request_id: str | None, cause: BaseException) -> None:
    """The same, for a room without a scope."""
    _log.error(
        "request failed",
        method=method,
        route=route,
        request_id=request_id,
        code=getattr(cause, "code", None),
        **described(cause),
    )


def request_ids() -> Iterator[str]:
    """Ids for requests, none of them twice in whichever process."""
    return map(f"req_{secrets.token_hex(6)}{{:08x}}".format, itertools.count(1))


class RequestLines:
    """Names requests, and notes each once it is answered. `lines` is None where nobody wants to know."""

    def __init__(self, lines: AccessLines | None) -> None:
        self._lines = lines
        self._ids = request_ids()

    def next_id(self) -> str:
        """What the answer to the next request bears under `ID_HEADER`."""
        return next(self._ids)

    def note(self, method: str, route: str, status: int, started: float, request_id: str) -> None:
        """Note a request that `started` at that reading of `perf_counter` and is answered now."""
        if self._lines is not None:
            self._lines.request(method, route, status, (perf_counter() - started) * 1000, request_id)


def _with_id(headers: Iterable[tuple[bytes, bytes]], request_id: str) -> list[tuple[bytes, bytes]]:
    """The headers with the request's id, unless another room has named the answer: a page may pass one of the gateway's on."""
    named = list(headers)
    return named if ID_HEADER in dict(named) else [*named, (ID_HEADER, request_id.encode())]


class RequestLog:
    """The same for the rooms that speak ASGI."""

    def __init__(self, app: ASGIApp, lines: RequestLines) -> None:
        self._app = app
        self._lines = lines

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one HTTP request."""
        started = perf_counter()
        request_id = scope[REQUEST_ID] = self._lines.next_id()
        status = 0

        def answer(message: Message) -> Any:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = _with_id(message["headers"], request_id)
            return send(message)

        try:
            await self._app(scope, receive, answer)
        finally:
            self._lines.note(scope["method"], scope.get(ROUTE, "-"), status, started, request_id)
