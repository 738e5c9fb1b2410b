"""Spans of calls: named and filled by the conventions, joined to the caller's trace, without a word of what was said."""

import subprocess
import sys
from time import perf_counter

import pytest
from opentelemetry.sdk import trace as sdk
from opentelemetry.sdk.trace import export
from opentelemetry.sdk.trace.export import in_memory_span_exporter as in_memory
from opentelemetry.semconv._incubating.attributes import gen_ai_attributes as semconv

from keyhouse.catalog.catalog import load_catalog
from keyhouse.domain.address import Origin
from keyhouse.gateway.observation import Observation
from keyhouse.gateway.usage_reader import WholeRead
from keyhouse.gateway.wire.answer import Usage
from keyhouse.services.tracing import Tracing

TRACEPARENT = b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


def spans_of(*observations: Observation):  # type: ignore[no-untyped-def]
    exporter = in_memory.InMemorySpanExporter()
    provider = sdk.TracerProvider()
    provider.add_span_processor(export.SimpleSpanProcessor(exporter))
    tracing = Tracing(provider, {"bedrock": "aws.bedrock"})
    tracing.observe(observations)
    tracing.close()
    return exporter.get_finished_spans()


def ended(**changes: object) -> Observation:
    now = perf_counter()
    noted = Observation("req_1", "POST", "/v1/messages", endpoint="messages", provider="bedrock", model="claude-x", status=200)
    noted.project_id, noted.streams, noted.retries, noted.usage = "project_1", True, 1, Usage(40, 20, 50, 10, 5)
    noted.started_at, noted.answered_at, noted.ended_at, noted.upstream_s = now - 2.0, now - 1.5, now, 0.4
    for name, value in changes.items():
        setattr(noted, name, value)
    return noted


def test_a_call_is_a_span_by_the_conventions() -> None:
    [span] = spans_of(ended())
    assert span.name == "chat claude-x"
    assert span.kind.name == "CLIENT"
    assert span.attributes[semconv.GEN_AI_OPERATION_NAME] == semconv.GenAiOperationNameValues.CHAT.value
    assert span.attributes[semconv.GEN_AI_PROVIDER_NAME] == semconv.GenAiProviderNameValues.AWS_BEDROCK.value
    assert span.attributes[semconv.GEN_AI_REQUEST_MODEL] == "claude-x"
    assert span.attributes[semconv.GEN_AI_REQUEST_STREAM] is True
    assert span.attributes[semconv.GEN_AI_USAGE_INPUT_TOKENS] == 100
    assert span.attributes[semconv.GEN_AI_USAGE_OUTPUT_TOKENS] == 20
    assert span.attributes[semconv.GEN_AI_USAGE_CACHE_READ_INPUT_TOKENS] == 50
    assert span.attributes[semconv.GEN_AI_USAGE_CACHE_CREATION_INPUT_TOKENS] == 10
    assert span.attributes[semconv.GEN_AI_USAGE_REASONING_OUTPUT_TOKENS] == 5
    assert span.attributes["http.response.status_code"] == 200
    assert span.attributes["keyhouse.added_latency_s"] == pytest.approx(0.1)
    assert (span.end_time - span.start_time) / 1e9 == pytest.approx(2.0, abs=1e-6)
    assert span.parent is None
    assert span.status.status_code.name == "UNSET"


def test_an_error_is_told_by_its_code_or_status() -> None:
    broken, refused = spans_of(ended(code="upstream_broken"), ended(status=429, usage=None))
    assert (broken.attributes["error.type"], broken.status.status_code.name) == ("upstream_broken", "ERROR")
    assert (refused.attributes["error.type"], refused.status.status_code.name) == ("429", "ERROR")
    assert semconv.GEN_AI_USAGE_INPUT_TOKENS not in refused.attributes


def test_what_an_answer_says_of_itself_is_told() -> None:
    body = b'{"id":"msg_1","model":"claude-x-2026","content":[],"stop_reason":"end_turn"}'
    told, broken, refused = spans_of(
        ended(origin=Origin("https", "api.example.com", 443), answer=WholeRead(body)),
        ended(code="upstream_broken", answer=WholeRead(body.replace(b'"end_turn"', b"null"))),
        ended(status=400, code="missing_model"),
    )
    assert told.attributes[semconv.GEN_AI_RESPONSE_ID] == "msg_1"
    assert told.attributes[semconv.GEN_AI_RESPONSE_MODEL] == "claude-x-2026"
    assert told.attributes[semconv.GEN_AI_RESPONSE_FINISH_REASONS] == ("stop",)
    assert (told.attributes["server.address"], told.attributes["server.port"]) == ("api.example.com", 443)
    assert told.attributes["gen_ai.usage.cache_write.input_tokens"] == 10
    assert broken.attributes[semconv.GEN_AI_RESPONSE_FINISH_REASONS] == ("error",)
    assert not {"server.address", semconv.GEN_AI_RESPONSE_FINISH_REASONS, semconv.GEN_AI_RESPONSE_ID} & refused.attributes.keys()


def test_what_does_not_hold_of_a_call_is_left_out() -> None:
    [left] = spans_of(ended(streams=False, status=0, code="caller_left", answered_at=None, usage=None))
    assert semconv.GEN_AI_REQUEST_STREAM not in left.attributes
    assert "http.response.status_code" not in left.attributes
    assert (left.attributes["error.type"], left.status.status_code.name) == ("caller_left", "ERROR")


def test_a_span_joins_the_callers_trace() -> None:
    joined, odd = spans_of(ended(traceparent=TRACEPARENT), ended(traceparent=b"\xff nonsense"))
    assert f"{joined.context.trace_id:032x}" == "0af7651916cd43dd8448eb211c80319c"
    assert f"{joined.parent.span_id:016x}" == "b7ad6b7169203331"
    assert odd.parent is None


def test_what_called_nobody_is_no_span() -> None:
    assert spans_of(ended(provider="", model="", status=401, code="invalid_credentials")) == ()


def test_the_data_files_names_are_the_conventions() -> None:
    # Newer than the library: docs/gen-ai/gen-ai-metrics.md of open-telemetry/semantic-conventions-genai (2026-11-29).
    known = {value.value for value in semconv.GenAiProviderNameValues} | {"moonshot_ai"}
    named = {spec.telemetry_name for spec in load_catalog().providers.values() if spec.telemetry_name}
    assert named
    assert named <= known


def test_nothing_of_it_is_loaded_unless_asked_for() -> None:
    code = "import keyhouse.app, sys; sys.exit(any(name.startswith('opentelemetry') for name in sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
