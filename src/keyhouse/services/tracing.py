"""Spans of calls, by OpenTelemetry's conventions for generative AI. Off unless asked for; the library is not even loaded then.

https://github.com/open-telemetry/semantic-conventions-genai/blob/main/docs/gen-ai/client-inference.md (2026-11-29).
Where spans go, the OTEL_* variables of the library say.
"""

import time
from collections.abc import Iterable, Mapping
from importlib import import_module
from importlib.metadata import version
from typing import Any

from keyhouse.domain.errors import Code, Error
from keyhouse.gateway.answer_facts import AnswerFacts
from keyhouse.gateway.observation import Observation
from keyhouse.gateway.wire.answer import Usage

_OPERATIONS = {"messages": "chat", "responses": "chat", "completions": "text_completion"}
"""Endpoints whose operation has another name in the conventions."""
_ENDING = frozenset({"chat", "text_completion"})
"""Operations whose answers say why they ended."""
Attribute = str | int | float | bool | tuple[str, ...]
_EXPORTER = "opentelemetry.exporter.otlp.proto.http.trace_exporter"


class Tracing:
    """Makes a span of each call, once it has ended. `names` are the conventions' names of providers, by id, where they differ.

    `tracer_provider` is one of OpenTelemetry's.
    """

    def __init__(self, tracer_provider: Any, names: Mapping[str, str]) -> None:
        trace = import_module("opentelemetry.trace")
        self._provider = tracer_provider
        self._tracer = tracer_provider.get_tracer("keyhouse", version("keyhouse"))
        self._names = names
        self._client_kind = trace.SpanKind.CLIENT
        self._error = trace.Status(trace.StatusCode.ERROR)
        self._propagator = import_module("opentelemetry.trace.propagation.tracecontext").TraceContextTextMapPropagator()

    def observe(self, observations: Iterable[Observation]) -> None:
        """Note requests that have ended; one that reached no provider made no call."""
        for each in observations:
            if each.provider:
                self._note(each)

    def _note(self, observation: Observation) -> None:
        operation = _OPERATIONS.get(observation.endpoint, observation.endpoint)
        ended_ns = time.time_ns()
        span = self._tracer.start_span(
            f"{operation} {observation.model}",
            context=self._context(observation.traceparent),
            kind=self._client_kind,
            attributes=self._attributes(operation, observation),
            start_time=ended_ns - int(observation.duration_s * 1e9),
        )
        if observation.code or observation.status >= 400:
            span.set_attribute("error.type", observation.code or str(observation.status))
            span.set_status(self._error)
        span.end(end_time=ended_ns)

    def _context(self, traceparent: bytes | None) -> Any:
        return None if traceparent is None else self._propagator.extract({"traceparent": traceparent.decode("latin-1")})

    def close(self) -> None:
        """Send what waits. Takes seconds where nobody receives it."""
        self._provider.shutdown()

    def _attributes(self, operation: str, observation: Observation) -> dict[str, Attribute]:
        attributes: dict[str, Attribute] = {
            "gen_ai.operation.name": operation,
            "gen_ai.provider.name": self._names.get(observation.provider, observation.provider),
            "gen_ai.request.model": observation.model,
            "keyhouse.project_id": observation.project_id,
            "keyhouse.request_id": observation.request_id,
            "keyhouse.retries": observation.retries,
        }
        if observation.streams:
            attributes["gen_ai.request.stream"] = True
        if observation.status:
            attributes["http.response.status_code"] = observation.status
        if observation.added_s is not None:
            attributes["keyhouse.added_latency_s"] = observation.added_s
        if observation.origin is not None:
            attributes["server.address"], attributes["server.port"] = observation.origin.host, observation.origin.port
        if observation.usage is not None:
            attributes.update(_counts(observation.usage))
        attributes.update(_facts(observation.answer.facts(), is_broken=operation in _ENDING and bool(observation.code)))
        return attributes


def require_tracing() -> None:
    """Load what sends spans. Raises Error `configuration` where the extra is not installed."""
    try:
        import_module("opentelemetry.sdk.trace.export")
        import_module(_EXPORTER)
    except ImportError:
        raise Error(
            Code.CONFIGURATION,
            "KEYHOUSE_TRACING needs an extra: run `uv sync --extra tracing` in a clone, else install `keyhouse[tracing]`.",
        ) from None


def open_tracing(names: Mapping[str, str]) -> Tracing:
    """Tracing to where the OTEL_* variables say. Raises Error `configuration` where the extra is not installed."""
    require_tracing()
    sdk = import_module("opentelemetry.sdk.trace")
    batch = import_module("opentelemetry.sdk.trace.export").BatchSpanProcessor
    provider = sdk.TracerProvider(resource=_named_resource(import_module("opentelemetry.sdk.resources").Resource))
    provider.add_span_processor(batch(import_module(_EXPORTER).OTLPSpanExporter()))
    return Tracing(provider, names)


def _named_resource(resource: Any) -> Any:
    """What the OTEL_* variables say of this service; it is called keyhouse unless they say otherwise."""
    told = resource.create()
    unnamed = str(told.attributes.get("service.name", "")).startswith("unknown_service")
    return resource.create({"service.name": "keyhouse"}) if unnamed else told


def _facts(facts: AnswerFacts, *, is_broken: bool) -> dict[str, Attribute]:
    """`is_broken`: a reason for its end was expected, and the answer broke off."""
    reasons = facts.finish_reasons or (("error",) if is_broken and facts.id else ())
    told: dict[str, Attribute | None] = {
        "gen_ai.response.id": facts.id,
        "gen_ai.response.model": facts.model,
        "gen_ai.response.finish_reasons": reasons or None,
    }
    return {name: value for name, value in told.items() if value is not None}


def _counts(usage: Usage) -> dict[str, int]:
    counts = {
        # The conventions count what a cache served among the input.
        "gen_ai.usage.input_tokens": usage.prompt_tokens,
        "gen_ai.usage.output_tokens": usage.output_tokens,
        "gen_ai.usage.cache_read.input_tokens": usage.cache_read_tokens,
        "gen_ai.usage.cache_write.input_tokens": usage.cache_write_tokens,
        # Its name until 2026, which receivers still know it by.
        "gen_ai.usage.cache_creation.input_tokens": usage.cache_write_tokens,
        "gen_ai.usage.reasoning.output_tokens": usage.reasoning_tokens,
    }
    return {name: count for name, count in counts.items() if count is not None}
