"""The ASGI application of everything under /v1: key, body, target, relay, bytes, in that order. No framework, no database once warm."""

import itertools
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from time import perf_counter

from starlette.types import Receive, Scope, Send

from keyhouse.domain.errors import Code, Error
from keyhouse.domain.tenancy import Caller, Permission
from keyhouse.gateway.call import Call
from keyhouse.gateway.failures import MESSAGES_ENDPOINTS, failure_of
from keyhouse.gateway.headers import header_text
from keyhouse.gateway.observation import Observation
from keyhouse.gateway.relay import Relay
from keyhouse.gateway.upstream_error import UpstreamError
from keyhouse.gateway.wire.form import parse_form
from keyhouse.gateway.wire.speech import voice_of
from keyhouse.gateway.wire.splice import Head, parse_head
from keyhouse.services.identity import Identity
from keyhouse.services.models import Models
from keyhouse.web.control.access import OPERATOR
from keyhouse.web.errors import internal_error
from keyhouse.web.gateway.endpoints import ENDPOINTS, MODELS_PATH, GatewayEndpoint, format_of, is_models
from keyhouse.web.gateway.envelopes import JSON, refusal, with_request_id
from keyhouse.web.gateway.exchange import CallerLeftError, Exchange
from keyhouse.web.gateway.model_pages import models_answer, not_found
from keyhouse.web.gateway.request_headers import RequestHeaders, request_headers
from keyhouse.web.log import REQUEST_ID, ROUTE, log_failure

Observe = Callable[[Observation], None]

_BETA = b"beta=true"
"""What Anthropic's clients put behind the path of calls with betas; of a caller's query nothing else goes on."""

_LOGGED = frozenset({Code.STORAGE_UNAVAILABLE, Code.CREDENTIALS_UNREADABLE, Code.CONFIGURATION})
"""Failures of the house itself, which its operator should see."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What a request may do: the size of its body, and how often its call may be tried again."""

    max_request_bytes: int = 32 * 1024 * 1024
    retries: int = 2


class Gateway:
    """Answers callers of any OpenAI or Anthropic client. `observe` is told of every request once it has ended."""

    def __init__(self, identity: Identity, models: Models, relay: Relay, limits: Limits, observe: Observe) -> None:
        self._identity = identity
        self._models = models
        self._relay = relay
        self._limits = limits
        self._observe = observe
        self._prefix = f"req_{secrets.token_hex(6)}"
        self._numbers = itertools.count(1)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        started_at = perf_counter()
        endpoint = ENDPOINTS.get(scope["path"])
        request_id = scope[REQUEST_ID] = f"{self._prefix}{next(self._numbers):08x}"
        scope[ROUTE] = route = endpoint.path if endpoint is not None else MODELS_PATH if is_models(scope["path"]) else "-"
        observation = Observation(request_id, scope["method"], route, started_at=started_at)
        exchange = Exchange(scope, receive, send, observation)
        try:
            await self._serve(exchange, endpoint)
        except CallerLeftError:
            observation.code = "caller_left"
        finally:
            observation.ended_at = perf_counter()
            self._observe(observation)

    async def _serve(self, exchange: Exchange, endpoint: GatewayEndpoint | None) -> None:
        scope = exchange.scope
        try:
            if endpoint is not None:
                _require_method(scope, "POST")
                await self._call(exchange, endpoint)
            elif is_models(scope["path"]):
                _require_method(scope, "GET")
                await self._tell_models(exchange)
            else:
                raise Error(Code.ROUTE_NOT_FOUND, "There is no such endpoint.")
        except Error as error:
            await self._refuse(exchange, error)
        except CallerLeftError:
            raise
        except Exception as cause:
            log_failure(scope, cause)
            if exchange.has_begun:
                raise
            await self._refuse(exchange, internal_error())

    async def _tell_models(self, exchange: Exchange) -> None:
        scope, observation = exchange.scope, exchange.observation
        spoken = format_of(scope["path"], scope["headers"])
        caller = await self._admitted(scope, request_headers(scope["headers"]))
        observation.organization_id, observation.project_id = caller.organization_id, caller.project_id or ""
        observation.actor_id = caller.actor.id
        try:
            body = await models_answer(self._models, observation.project_id, scope, spoken)
        except Error as error:
            raise not_found(error) from error
        headers = [JSON, (b"content-length", b"%d" % len(body))]
        await exchange.answer(200, with_request_id(headers, spoken, observation.request_id.encode()), body)

    async def _call(self, exchange: Exchange, endpoint: GatewayEndpoint) -> None:
        observation = exchange.observation
        observation.endpoint = endpoint.name
        headers = request_headers(exchange.scope["headers"])
        observation.traceparent = headers.read.get(b"traceparent")
        caller = await self._admitted(exchange.scope, headers)
        observation.organization_id, observation.project_id = caller.organization_id, caller.project_id or ""
        observation.actor_id = caller.actor.id
        body = await exchange.body(headers.read.get(b"content-length"), self._limits.max_request_bytes)
        with exchange:
            form = parse_form(headers.read.get(b"content-type", b""), body) if endpoint.takes_form else None
            head = parse_head(body) if form is None else Head(form.value("model"), form.value("stream") == "true", None, {})
            voice = voice_of(body) if endpoint.name == "speech" else ""
            target = await self._models.target(observation.project_id, endpoint.name, head.model, voice)
            observation.provider, observation.model, observation.streams = target.provider, target.model_id, head.stream
            call = Call(endpoint.name, target, body, head, headers.forwarded, self._retries(headers), observation.request_id, form)
            if exchange.scope["query_string"] == _BETA and endpoint.name in MESSAGES_ENDPOINTS:
                call.query = _BETA
            await self._relayed(exchange, endpoint, call)

    async def _relayed(self, exchange: Exchange, endpoint: GatewayEndpoint, call: Call) -> None:
        observation = exchange.observation
        answer = await self._relay.answer(call, observation)
        headers = with_request_id(answer.headers, endpoint.format, observation.request_id.encode())
        try:
            await exchange.answer(answer.status, headers, answer.body)
            observation.code = answer.error_code()
        except UpstreamError as error:
            # The answer stays unfinished, and the server closes the connection: the caller must not take it for whole.
            observation.code = failure_of(error).code.value
        finally:
            answer.close()
            observation.usage = answer.usage()

    async def _admitted(self, scope: Scope, headers: RequestHeaders) -> Caller:
        caller: Caller | None = scope.get(OPERATOR)
        if caller is None:
            presented = headers.credentials()
            caller = await self._identity.caller_of_project(presented.token, presented.project_id)
        if Permission.VIEW not in caller.permissions:
            raise Error(Code.PERMISSION_DENIED, "This API key lacks the permission project:view.")
        return caller

    def _retries(self, headers: RequestHeaders) -> int:
        asked = headers.read.get(b"x-keyhouse-retries")
        return self._limits.retries if asked is None or not asked.isdigit() else min(int(asked), self._limits.retries)

    async def _refuse(self, exchange: Exchange, error: Error) -> None:
        observation = exchange.observation
        spoken = format_of(exchange.scope["path"], exchange.scope["headers"])
        if error.code in _LOGGED:
            log_failure(exchange.scope, error)
        observation.code = error.code.value
        status, headers, body = refusal(error, spoken, observation.request_id)
        if observation.provider:
            headers += [(b"x-keyhouse-provider", header_text(observation.provider)), (b"x-keyhouse-model", header_text(observation.model))]
        await exchange.answer(status, with_request_id(headers, spoken, observation.request_id.encode()), body)


def _require_method(scope: Scope, method: str) -> None:
    if scope["method"] != method:
        raise Error(Code.METHOD_NOT_ALLOWED, f"This endpoint takes {method}.", allow=method)
