"""Spans that a server really sends, to a receiver on loopback."""

import gzip
from collections.abc import Iterator

import pytest

from tests.conftest import Serve
from tests.gateway.fault_upstream import response
from tests.gateway_road import anthropic_api, openai_api
from tests.gateway_road.conftest import openai_client, storing_in
from tests.gateway_road.upstreams import Upstream, answered_by, running_upstream

TRACE_ID = "0af7651916cd43dd8448eb211c80319c"


@pytest.fixture
def receiver(monkeypatch: pytest.MonkeyPatch) -> Iterator[Upstream]:
    """What stands in for a collector."""
    with running_upstream(answered_by(lambda request: response(b"", headers=b"content-type: application/x-protobuf\r\n"))) as running:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", running.address)
        yield running


def _sent(receiver: Upstream) -> bytes:
    """What the receiver got, unpacked."""
    bodies = []
    for request in receiver.requests:
        assert request.line == b"POST /v1/traces HTTP/1.1"
        packed = request.header(b"content-encoding") == [b"gzip"]
        bodies.append(gzip.decompress(request.body) if packed else request.body)
    return b"".join(bodies)


def test_a_call_arrives_as_a_span_without_its_words(serve: Serve, upstream: Upstream, receiver: Upstream) -> None:
    house = serve(tracing=True)
    storing_in(house, upstream)()
    with openai_client(house.address, house.keys.project_key) as client:
        client.chat.completions.create(
            model="gpt-5-mini",
            messages=[{"role": "user", "content": "planted words"}],
            extra_headers={"traceparent": f"00-{TRACE_ID}-b7ad6b7169203331-01"},
        )
    assert upstream.requests[0].header(b"traceparent") == []
    house.stop()
    body = _sent(receiver)
    for told in (b"chat gpt-5-mini", b"gen_ai.usage.input_tokens", b"keyhouse", bytes.fromhex(TRACE_ID), b"server.address"):
        assert told in body
    for kept in (b"planted words", b"You said", house.keys.project_key.encode()):
        assert kept not in body


@pytest.mark.parametrize("streamed", [False, True])
@pytest.mark.parametrize(
    ("model", "told"),
    [
        ("openai/gpt-5-mini", (b"chatcmpl-1", b"gpt-5-mini", b"stop")),
        ("anthropic/claude-opus-5-5", (b"msg_1", b"claude-opus-5-5", b"stop")),
    ],
)
def test_a_span_tells_what_an_answer_says_of_itself(
    serve: Serve, upstream: Upstream, receiver: Upstream, model: str, told: tuple[bytes, ...], streamed: bool
) -> None:
    upstream.follow(answered_by(lambda request: (anthropic_api if b"/v1/messages" in request.line else openai_api).answer(request)))
    house = serve(tracing=True)
    store = storing_in(house, upstream)
    store()
    store("anthropic", customKeys={"ANTHROPIC_API_KEY": anthropic_api.KEY, "ANTHROPIC_BASE_URL": upstream.address})
    with openai_client(house.address, house.keys.project_key) as client:
        answer = client.chat.completions.create(model=model, messages=[{"role": "user", "content": "Hi"}], stream=streamed)
        if streamed:
            list(answer)
    house.stop()
    body = _sent(receiver)
    for name in (b"gen_ai.response.id", b"gen_ai.response.model", b"gen_ai.response.finish_reasons"):
        assert name in body
    for value in told:
        assert value in body.partition(b"gen_ai.response.id")[2]
