"""Spans that a server really sends, to a receiver on loopback."""

from collections.abc import Iterator

import pytest

from tests.conftest import Serve
from tests.gateway.fault_upstream import response
from tests.gateway_road.conftest import openai_client, storing_in
from tests.gateway_road.upstreams import Upstream, answered_by, running_upstream

TRACE_ID = "0af7651916cd43dd8448eb211c80319c"


@pytest.fixture
def receiver(monkeypatch: pytest.MonkeyPatch) -> Iterator[Upstream]:
    """What stands in for a collector."""
    with running_upstream(answered_by(lambda request: response(b"", headers=b"content-type: application/x-protobuf\r\n"))) as running:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", running.address)
        yield running


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
    [request] = receiver.requests
    assert request.line == b"POST /v1/traces HTTP/1.1"
    body = request.body
    if request.header(b"content-encoding") == [b"gzip"]:
        import gzip

        body = gzip.decompress(body)
    for told in (b"chat gpt-5-mini", b"gen_ai.usage.input_tokens", b"keyhouse", bytes.fromhex(TRACE_ID)):
        assert told in body
    for kept in (b"planted words", b"You said", house.keys.project_key.encode()):
        assert kept not in body
