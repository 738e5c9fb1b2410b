"""The short road of calls like those that their connection brought before: no task, as long as only the upstream has to be waited for.

A call that does not go this way, or not to its end, goes the long road: from its beginning, or from where it is. Both send, count and say
the same.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from time import perf_counter

import msgspec

from keyhouse.domain.errors import Error
from keyhouse.domain.target import Target
from keyhouse.domain.tenancy import Caller
from keyhouse.gateway.answer_facts import NOTHING_READ, AnswerRead
from keyhouse.gateway.call import Call
from keyhouse.gateway.connection import Connection
from keyhouse.gateway.failures import MESSAGES_ENDPOINTS
from keyhouse.gateway.observation import Observation
from keyhouse.gateway.ready import Ready
from keyhouse.gateway.response import UpstreamResponse
from keyhouse.gateway.upstream import Begun
from keyhouse.gateway.usage_reader import WholeRead
from keyhouse.gateway.wire.splice import Head, parse_head
from keyhouse.web.gateway.endpoints import ENDPOINTS, GatewayEndpoint, usual_path
from keyhouse.web.gateway.envelopes import request_id_lines
from keyhouse.web.gateway.gateway_services import GatewayServices
from keyhouse.web.gateway.origins import origin_headers
from keyhouse.web.gateway.request_headers import RequestHeaders
from keyhouse.web.http_answer import lines_of
from keyhouse.web.http_exchange import HttpExchange
from keyhouse.web.http_head import CallerHead

BETA_QUERY = b"beta=true"
"""What Anthropic's clients put behind the path of calls with betas; of a caller's query nothing else goes on."""
CALLER_LEFT = "caller_left"

_MOST_MODELS = 8
"""Of which a connection's calls are remembered."""
_MOST_MISSES = 8
"""So many calls in a row that had to go on by the long road tell that the next ones will, too."""
_log = logging.getLogger("keyhouse.http")


@dataclass(slots=True, eq=False, repr=False)
class KnownModel:
    """What is equal in calls of the same model with the same head, and the lines that tell of it; looked up `as_of` these changes."""

    ready: Ready
    lines: bytes
    as_of: int


@dataclass(slots=True, eq=False, repr=False)
class PriorCalls:
    """What calls with the same head have in common. `is_short`: the next one may go the short road. `presented` is the digest of their
    key, `query` what goes on of theirs, `lines` are the origin's. `caller` was looked up `as_of` these changes."""

    is_short: bool
    headers: RequestHeaders
    presented: bytes = b""
    endpoint: GatewayEndpoint = ENDPOINTS["/v1/chat/completions"]
    deployment: str = ""
    query: bytes = b""
    lines: bytes = b""
    misses: int = 0
    caller: Caller | None = None
    as_of: int = -1
    models: dict[str | None, KnownModel] = field(default_factory=dict)


class ShortRoad:
    """Begins calls. `go_on` lets one that has begun go on by the long road."""

    def __init__(self, services: GatewayServices, go_on: "Callable[[HttpExchange, ShortCall], Awaitable[None]]") -> None:
        self.services = services
        self.go_on = go_on
        self._callers, self._projects = services.identity.changes, services.models.changes

    def begin(self, exchange: HttpExchange) -> bool:
        """Send a request on, where everything that this takes is known; tells whether it has been."""
        started_at = exchange.head_at or perf_counter()
        prior = exchange.head.prior
        if prior is None:
            prior = exchange.head.prior = self._prior(exchange.head)
        if not prior.is_short or self.services.attention.is_lost:
            return False
        # Both only rise, so that their sum stays only where both do.
        as_of = self._callers.count + self._projects.count
        caller = prior.caller if prior.as_of == as_of else self._recalled(exchange.head, prior, as_of)
        body = exchange.whole_body()
        if caller is None or body is None or len(body) > self.services.limits.max_request_bytes:
            return False
        try:
            asked = parse_head(body)
            call = None if asked.stream else self._call(exchange, prior, caller, asked, started_at, as_of)
            return call is not None and self._send(call, body)
        except Error:
            # The long road says what it is.
            return False

    def _recalled(self, head: CallerHead, prior: PriorCalls, as_of: int) -> Caller | None:
        caller = self.services.recalled(prior.presented)
        head.is_admitted = caller is not None
        if caller is not None and caller.expires_at is None:
            prior.caller, prior.as_of = caller, as_of
        return caller

    def _call(
        self, exchange: HttpExchange, prior: PriorCalls, caller: Caller, asked: Head, started_at: float, as_of: int
    ) -> "ShortCall | None":
        project_id, model = caller.project_id or "", prior.deployment or asked.model
        known = prior.models.get(model)
        target = known.ready.target() if known is not None and known.as_of == as_of else None
        if known is None or target is None:
            target = self.services.models.remembered_target(project_id, prior.endpoint.name, model)
            known = None if target is None else self._known(prior, model, target, as_of)
            if known is None or target is None:
                return None
        request_id = next(self.services.request_ids)
        return ShortCall(self, exchange, prior, caller, project_id, target, known.ready, known.lines, asked, started_at, request_id)

    def _send(self, call: "ShortCall", body: bytes) -> bool:
        under_way, connection = self.services.under_way, None
        under_way.begin(call.project_id)
        try:
            connection = call.connection = self.services.relay.begin(call.ready, call.target, body, call.asked, call)
        finally:
            if connection is None:
                under_way.end(call.project_id)
        if connection is None:
            return False
        call.sent_at = perf_counter()
        call.exchange.at_leaving = call.leave
        return True

    def _known(self, prior: PriorCalls, model: str | None, target: Target, as_of: int) -> KnownModel | None:
        known = prior.models.get(model)
        if known is not None and known.ready.target() is target:
            known.as_of = as_of
            return known
        ready = self.services.relay.ready(target, prior.endpoint.name, prior.headers.forwarded, prior.query)
        if ready is None:
            return None
        if len(prior.models) == _MOST_MODELS:
            prior.models.clear()
        known = prior.models[model] = KnownModel(ready, lines_of(ready.said) + prior.lines, as_of)
        return known

    def _prior(self, head: CallerHead) -> PriorCalls:
        path, deployment = (head.path, "") if head.path in ENDPOINTS else usual_path(head.path)
        endpoint = ENDPOINTS.get(path)
        if endpoint is None or head.method != "POST" or endpoint.takes_form or endpoint.name == "speech":
            return PriorCalls(False, head.read())
        query = BETA_QUERY if head.query == BETA_QUERY and endpoint.name in MESSAGES_ENDPOINTS else b""
        allowed = self.services.limits.origins
        lines = lines_of(origin_headers(allowed, head.headers)) if allowed else b""
        return PriorCalls(True, head.read(), head.read().presented(), endpoint, deployment, query, lines)


class ShortCall(msgspec.Struct, eq=False):
    """One call on the short road, from its sending to its end or to where the long road begins. A `Struct`: it is made for each call."""

    road: ShortRoad
    exchange: HttpExchange
    prior: PriorCalls
    caller: Caller
    project_id: str
    target: Target
    ready: Ready
    lines: bytes
    asked: Head
    started_at: float
    request_id: str
    sent_at: float = 0.0
    connection: Connection | None = None
    opened: "asyncio.Future[UpstreamResponse] | None" = None

    def __repr__(self) -> str:
        return "***"

    def answered(self, lines: bytes, body: bytes) -> None:
        """See Asker: the answer goes to the caller."""
        answered_at = perf_counter()
        exchange = self.exchange
        self.connection = None
        self.prior.misses = 0
        self.road.services.under_way.end(self.project_id)
        try:
            id_lines = request_id_lines(lines, self.prior.endpoint.format, self.request_id.encode())
            exchange.send_lines(b"%b%b%b" % (lines, id_lines, self.lines), body)
            self.road.services.observe(self._observed(200, "", answered_at, answered_at - self.sent_at, WholeRead(body)))
        except Exception as error:  # noqa: BLE001 - the edge: logged with its cause, told to nobody
            _log.error("A request was not answered.", exc_info=error)
        finally:
            exchange.finish()

    def leave(self) -> None:
        """The caller has left: close the upstream at once."""
        connection, self.connection = self.connection, None
        if connection is not None:
            connection.abandon(self.opened)
            # It refers to us: the collector of cycles, which seldom runs, need not find us.
            self.opened = None
            self.road.services.under_way.end(self.project_id)
            self.road.services.observe(self._observed(0, CALLER_LEFT, None, perf_counter() - self.sent_at, NOTHING_READ))
            self.exchange.finish()

    def go_on(self, opened: "asyncio.Future[UpstreamResponse]") -> None:
        """See Asker: the rest takes the long road, once it is known what has come."""
        self.opened = opened
        opened.add_done_callback(self._opened)

    def _opened(self, opened: "asyncio.Future[UpstreamResponse]") -> None:
        if self.connection is not None:
            self.prior.misses += 1
            self.prior.is_short = self.prior.misses < _MOST_MISSES
            self.exchange.go_on(self._go_on)

    def begun(self) -> Begun | None:
        """The request as it was sent; whoever asks for it sees to it from then on."""
        connection, self.connection = self.connection, None
        return None if connection is None or self.opened is None else Begun(connection, self.opened)

    async def _go_on(self, exchange: HttpExchange) -> None:
        await self.road.go_on(exchange, self)

    def call(self, body: bytes) -> Call:
        """The call as the long road has it."""
        prior, limits = self.prior, self.road.services.limits
        retries = limits.retries_of(prior.headers)
        called = Call(prior.endpoint.name, self.target, body, self.asked, prior.headers.forwarded, retries, self.request_id)
        called.query = prior.query
        return called

    def observation(self) -> Observation:
        """What there is to note of the call while it waits for its answer."""
        return self._observed(0, "", None, perf_counter() - self.sent_at, NOTHING_READ)

    def _observed(self, status: int, code: str, answered_at: float | None, upstream_s: float, read: AnswerRead) -> Observation:
        caller, target, prior = self.caller, self.target, self.prior
        # By place: a third of the price.
        return Observation(
            self.request_id,
            "POST",
            prior.endpoint.path,
            prior.endpoint.name,
            caller.organization_id,
            caller.actor.id,
            self.project_id,
            target.provider,
            target.model_id,
            False,
            status,
            code,
            0,
            self.started_at,
            answered_at,
            perf_counter(),
            upstream_s,
            None,
            prior.headers.read.get(b"traceparent"),
            self.ready.origin,
            read,
        )
