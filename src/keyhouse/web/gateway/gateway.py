"""Everything under /v1: key, body, target, relay, bytes, in that order. No framework, no database once warm."""

import asyncio
from collections.abc import Awaitable
from time import perf_counter

from keyhouse.domain.calling import EndpointName
from keyhouse.domain.errors import Code, Error
from keyhouse.domain.tenancy import Caller, Permission
from keyhouse.gateway.call import Call
from keyhouse.gateway.failures import MESSAGES_ENDPOINTS, failure_of
from keyhouse.gateway.headers import RawHeaders, chosen_headers
from keyhouse.gateway.observation import Observation, Observe
from keyhouse.gateway.prepared import FORM_OR_JSON
from keyhouse.gateway.relay import Relay
from keyhouse.gateway.upstream import Begun
from keyhouse.gateway.upstream_error import UpstreamError
from keyhouse.gateway.wire.form import parse_form
from keyhouse.gateway.wire.parameters import CallerFormat
from keyhouse.gateway.wire.speech import voice_of
from keyhouse.gateway.wire.splice import Head, parse_head
from keyhouse.services.attention import Attention
from keyhouse.services.identity import Identity
from keyhouse.services.models import Models
from keyhouse.web.errors import internal_error
from keyhouse.web.gateway.calls_under_way import CallsUnderWay
from keyhouse.web.gateway.endpoints import ENDPOINTS, MODELS_PATH, GatewayEndpoint, format_of, is_models, no_endpoint, usual_path
from keyhouse.web.gateway.envelopes import refusal, with_request_id
from keyhouse.web.gateway.exchange import CallerLeftError, Exchange
from keyhouse.web.gateway.gateway_services import GatewayServices, Limits
from keyhouse.web.gateway.model_pages import models_answer, not_found
from keyhouse.web.gateway.origins import is_preflight, origin_headers, preflight_headers
from keyhouse.web.gateway.request_headers import RequestHeaders
from keyhouse.web.gateway.short_road import BETA_QUERY, CALLER_LEFT, ShortCall, ShortRoad
from keyhouse.web.http_exchange import HttpExchange
from keyhouse.web.log import log_failed_request, request_ids

_LOGGED = frozenset({Code.STORAGE_UNAVAILABLE, Code.CREDENTIALS_UNREADABLE, Code.CONFIGURATION})
"""Failures of the house itself, which its operator should see."""


class Gateway:
    """Answers callers of any OpenAI or Anthropic client. `observe` is told of every request once it has ended."""

    def __init__(self, identity: Identity, models: Models, attention: Attention, relay: Relay, limits: Limits, observe: Observe) -> None:
        under_way = CallsUnderWay(limits.calls_per_project)
        self._services = GatewayServices(identity, models, attention, relay, limits, observe, under_way, request_ids())
        self._limits = limits
        self.short_road = ShortRoad(self._services, self._go_on)

    async def serve(self, exchange: Exchange) -> None:
        """Serve one request."""
        started_at = exchange.head_at or perf_counter()
        path, deployment = exchange.path, ""
        endpoint = ENDPOINTS.get(path)
        if endpoint is None:
            path, deployment = usual_path(path)
            endpoint = ENDPOINTS.get(path)
        route = endpoint.path if endpoint is not None else MODELS_PATH if is_models(path) else "-"
        observation = Observation(next(self._services.request_ids), exchange.method, route, started_at=started_at)
        await self._watched(exchange, observation, self._serve(exchange, endpoint, deployment, observation))

    async def _serve(self, exchange: Exchange, endpoint: GatewayEndpoint | None, deployment: str, observation: Observation) -> None:
        if self._services.attention.is_lost:
            await self._services.attention.regain()
        if self._limits.origins and is_preflight(exchange.method, exchange.headers):
            await self._tell_browser(exchange, observation)
        elif endpoint is not None:
            await self._call(exchange, endpoint, deployment, observation)
        else:
            await self._tell_models(exchange, observation)

    async def _go_on(self, exchange: HttpExchange, short: ShortCall) -> None:
        """Serve the rest of a request that has begun on the short road."""
        observation = short.observation()
        await self._watched(exchange, observation, self._serve_rest(exchange, short, observation))

    async def _serve_rest(self, exchange: HttpExchange, short: ShortCall, observation: Observation) -> None:
        begun = short.begun()
        try:
            exchange.end_with_caller()
            call = short.call(await exchange.body(self._limits.max_request_bytes) or b"")
            await self._relayed(exchange, short.prior.endpoint, call, observation, begun)
        except BaseException:
            if begun is not None:
                begun.leave()
            raise
        finally:
            self._services.under_way.end(observation.project_id)

    async def _watched(self, exchange: Exchange, observation: Observation, serving: Awaitable[None]) -> None:
        """Serve a request, say what went wrong, and note it once it has ended."""
        try:
            await serving
        except Error as error:
            await self._refuse(exchange, observation, error)
        except CallerLeftError:
            observation.code = CALLER_LEFT
        except asyncio.CancelledError:
            if not exchange.has_left:
                raise
            observation.code = CALLER_LEFT
        except Exception as cause:  # noqa: BLE001 - the edge: logged with its cause, told to nobody
            _log_failure(observation, cause)
            if not exchange.has_begun:
                await self._refuse(exchange, observation, internal_error())
        finally:
            observation.ended_at = perf_counter()
            self._services.observe(observation)

    async def _tell_browser(self, exchange: Exchange, observation: Observation) -> None:
        observation.answered(204)
        await exchange.answer(204, preflight_headers(self._limits.origins, exchange.headers), b"")

    async def _tell_models(self, exchange: Exchange, observation: Observation) -> None:
        if observation.route != MODELS_PATH:
            raise Error(Code.ROUTE_NOT_FOUND, no_endpoint(exchange.path))
        _require_method(exchange, "GET")
        spoken = format_of(exchange.path, exchange.headers)
        headers = exchange.read_headers()
        observation.admitted(exchange.caller or self._services.recalled(headers.presented()) or await self._admitted(headers))
        try:
            told, body = await models_answer(self._services.models, observation.project_id, exchange, spoken)
        except Error as error:
            raise not_found(error) from error
        observation.answered(200)
        await exchange.answer(200, self._shown(told, spoken, exchange, observation), body)

    async def _call(self, exchange: Exchange, endpoint: GatewayEndpoint, deployment: str, observation: Observation) -> None:
        _require_method(exchange, "POST")
        name = observation.endpoint = endpoint.name
        headers = exchange.read_headers()
        observation.traceparent = headers.read.get(b"traceparent")
        observation.admitted(exchange.caller or self._services.recalled(headers.presented()) or await self._admitted(headers))
        self._services.under_way.begin(project_id := observation.project_id)
        try:
            body = await exchange.body(self._limits.max_request_bytes)
            if body is None:
                raise _too_large(self._limits.max_request_bytes)
            exchange.end_with_caller()
            content_type = headers.read.get(b"content-type", b"")
            form = parse_form(content_type, body) if endpoint.takes_form and not _is_json_instead(name, content_type) else None
            head = parse_head(body) if form is None else Head(form.value("model"), form.value("stream") == "true")
            wanted = (observation.project_id, name, deployment or head.model, voice_of(body) if name == "speech" else "")
            target = self._services.models.remembered_target(*wanted) or await self._services.models.target(*wanted)
            observation.provider, observation.model, observation.streams = target.provider, target.model_id, head.stream
            call = Call(name, target, body, head, headers.forwarded, self._limits.retries_of(headers), observation.request_id, form)
            if exchange.query == BETA_QUERY and name in MESSAGES_ENDPOINTS:
                call.query = BETA_QUERY
            await self._relayed(exchange, endpoint, call, observation)
        finally:
            self._services.under_way.end(project_id)

    async def _relayed(
        self, exchange: Exchange, endpoint: GatewayEndpoint, call: Call, observation: Observation, begun: Begun | None = None
    ) -> None:
        answer = await self._services.relay.answer(call, observation, begun)
        headers = self._shown(answer.headers, endpoint.format, exchange, observation)
        observation.answered(answer.status)
        try:
            await exchange.answer(answer.status, headers, answer.body)
            observation.code = answer.error_code()
        except UpstreamError as error:
            # The answer stays unfinished, and the server closes the connection: the caller must not take it for whole.
            observation.code = failure_of(error).code.value
        finally:
            answer.close()
            observation.answer = answer.read

    async def _admitted(self, headers: RequestHeaders) -> Caller:
        presented = headers.credentials()
        caller = await self._services.identity.admit(headers.presented(), presented.token, presented.project_id)
        if Permission.VIEW not in caller.permissions:
            raise Error(Code.PERMISSION_DENIED, "This API key lacks the permission project:view.")
        return caller

    async def _refuse(self, exchange: Exchange, observation: Observation, error: Error) -> None:
        spoken = format_of(exchange.path, exchange.headers)
        if error.code in _LOGGED:
            _log_failure(observation, error)
        observation.code = error.code.value
        status, headers, body = refusal(error, spoken, observation.request_id)
        if isinstance(chosen := error.details.get("chosen"), tuple):
            observation.provider, observation.model = chosen
        if observation.provider:
            headers += chosen_headers(observation.provider, observation.model)
        observation.answered(status)
        await exchange.answer(status, self._shown(headers, spoken, exchange, observation), body)

    def _shown(self, headers: RawHeaders, spoken: CallerFormat, exchange: Exchange, observation: Observation) -> RawHeaders:
        """The headers of an answer with those that every answer has."""
        named = with_request_id(headers, spoken, observation.request_id.encode())
        return [*named, *origin_headers(self._limits.origins, exchange.headers)] if self._limits.origins else named


def _is_json_instead(name: EndpointName, content_type: bytes) -> bool:
    """Whether a body is JSON where a form may stand too."""
    return name in FORM_OR_JSON and content_type.partition(b";")[0].strip().lower() == b"application/json"


def _require_method(exchange: Exchange, method: str) -> None:
    if exchange.method != method:
        raise Error(Code.METHOD_NOT_ALLOWED, f"This endpoint takes {method}.", allow=method)


def _too_large(limit: int) -> Error:
    return Error(Code.PAYLOAD_TOO_LARGE, f"The body is larger than {limit} bytes. KEYHOUSE_MAX_REQUEST_BYTES sets the limit.")


def _log_failure(observation: Observation, cause: Exception) -> None:
    log_failed_request(observation.method, observation.route, observation.request_id, cause)
