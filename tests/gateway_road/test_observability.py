"""What operators see of a server: alive, ready, and its metrics, for whom they are meant."""

import asyncio
import re
from pathlib import Path

import httpx
import openai
import psycopg
import pytest

from keyhouse.services.metrics.metrics import METRICS
from keyhouse.web import observability
from tests.conftest import ADMIN_KEY, PostgresServer, Serve, ServedHouse
from tests.gateway.fault_upstream import Peer, Script, response
from tests.gateway_road import openai_api
from tests.gateway_road.conftest import Store, openai_client
from tests.gateway_road.upstreams import Upstream, answered_by, data_event, stream_answer

PAGE = (Path(__file__).parents[2] / "docs" / "observability.md").read_text(encoding="utf-8")
QUESTION = [{"role": "user", "content": "What is new?"}]


def sample(house: ServedHouse, name: str) -> float:
    text = house.anonymous().get("/metrics").text
    return next((float(line.rpartition(" ")[2]) for line in text.splitlines() if line.rpartition(" ")[0] == name), 0.0)


def test_a_call_is_seen_in_the_metrics(sqlite_house: ServedHouse, store: Store, client: openai.OpenAI) -> None:
    store()
    client.chat.completions.create(model="gpt-5-mini", messages=QUESTION)  # type: ignore[arg-type]
    list(client.chat.completions.create(model="gpt-5-mini", messages=QUESTION, stream=True))  # type: ignore[arg-type]
    with openai_client(sqlite_house.address, "sk-lw-wrong") as stranger, pytest.raises(openai.AuthenticationError):
        stranger.models.list()
    assert sample(sqlite_house, 'keyhouse_requests_total{endpoint="chat",provider="openai",status="200"}') == 2
    assert sample(sqlite_house, 'keyhouse_errors_total{code="invalid_credentials"}') == 1
    assert sample(sqlite_house, 'keyhouse_tokens_total{provider="openai",kind="output"}') >= 4
    assert sample(sqlite_house, 'keyhouse_request_duration_seconds_count{endpoint="chat",provider="openai",stream="yes"}') == 1
    assert sample(sqlite_house, 'keyhouse_upstream_connection_events_total{event="opened"}') >= 1
    text = sqlite_house.anonymous().get("/metrics").text
    assert "gpt-5-mini" not in text
    assert sqlite_house.keys.project_key not in text


def test_an_upstream_that_breaks_is_counted_by_its_code(
    sqlite_house: ServedHouse, store: Store, client: openai.OpenAI, upstream: Upstream
) -> None:
    store()
    upstream.script = answered_by(lambda request: b"nonsense\r\n\r\n")
    with pytest.raises(openai.InternalServerError):
        client.chat.completions.create(model="gpt-5-mini", messages=QUESTION)  # type: ignore[arg-type]
    assert sample(sqlite_house, 'keyhouse_errors_total{code="upstream_invalid_answer"}') == 1


def test_the_tokens_of_a_large_answer_are_counted(
    sqlite_house: ServedHouse, store: Store, client: openai.OpenAI, upstream: Upstream
) -> None:
    store()
    body = b'{"id":"c","object":"chat.completion","created":1,"model":"m","choices":[{"index":0,"finish_reason":"stop","message":'
    body += (
        b'{"role":"assistant","content":"'
        + b"word " * 200_000
        + b'"}}],"usage":{"prompt_tokens":11,"completion_tokens":7,"total_tokens":18}}'
    )
    upstream.script = answered_by(lambda request: response(body, headers=b"content-type: application/json\r\n"))
    client.chat.completions.create(model="gpt-5-mini", messages=QUESTION)  # type: ignore[arg-type]
    assert sample(sqlite_house, 'keyhouse_tokens_total{provider="openai",kind="output"}') == 7


SLOW_S = 0.3


async def _asks_to_come_back(peer: Peer) -> None:
    for answer in (b"HTTP/1.1 503 Away\r\nretry-after: %.1f\r\ncontent-length: 0\r\n\r\n" % SLOW_S, openai_api.answer):
        request = await peer.request()
        await peer.send(answer(request) if callable(answer) else answer)


async def _has_a_late_body(peer: Peer) -> None:
    head, _, body = openai_api.answer(await peer.request()).partition(b"\r\n\r\n")
    await peer.send(head + b"\r\n\r\n")
    await asyncio.sleep(SLOW_S)
    await peer.send(body)


@pytest.mark.parametrize("script", [_asks_to_come_back, _has_a_late_body])
def test_what_an_upstream_makes_a_caller_wait_is_no_added_latency(
    sqlite_house: ServedHouse, store: Store, upstream: Upstream, script: Script
) -> None:
    store()
    upstream.script = script
    client = sqlite_house.client()
    question = {"model": "gpt-5-mini", "max_tokens": 10, "messages": [{"role": "user", "content": "What is new?"}]}
    assert client.post("/v1/messages", json=question).status_code == 200
    whole = sample(sqlite_house, 'keyhouse_request_duration_seconds_sum{endpoint="messages",provider="openai",stream="no"}')
    added = sample(sqlite_house, 'keyhouse_added_latency_seconds_sum{endpoint="messages",provider="openai"}')
    assert whole - added >= SLOW_S / 2
    assert added > 0


def test_the_metrics_are_for_this_machine_or_the_instance_key(sqlite_house: ServedHouse) -> None:
    anonymous = sqlite_house.anonymous()
    answer = anonymous.get("/metrics")
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    # A proxy on this machine speaks for somebody else.
    for name in ("X-Forwarded-For", "Forwarded", "Via"):
        assert anonymous.get("/metrics", headers={name: "203.0.113.7"}).status_code == 401
    forwarded = {"X-Forwarded-For": "127.0.0.1"}
    assert anonymous.get("/metrics", headers=forwarded).status_code == 401
    assert anonymous.get("/metrics", headers={**forwarded, "Authorization": "Bearer wrong"}).status_code == 401
    assert anonymous.get("/metrics", headers={**forwarded, "Authorization": f"Bearer {sqlite_house.keys.admin_key}"}).status_code == 401
    assert anonymous.get("/metrics", headers={**forwarded, "Authorization": f"Bearer {ADMIN_KEY}"}).status_code == 200


def test_a_setting_opens_the_metrics(serve: Serve) -> None:
    house = serve(metrics_public=True)
    assert house.anonymous().get("/metrics", headers={"X-Forwarded-For": "203.0.113.7"}).status_code == 200


def test_health_is_told_to_anybody(sqlite_house: ServedHouse) -> None:
    anonymous = sqlite_house.anonymous()
    assert (anonymous.get("/healthz").status_code, anonymous.get("/healthz").json()) == (200, {"status": "ok"})
    assert (anonymous.get("/readyz").status_code, anonymous.get("/readyz").json()) == (200, {"status": "ready"})
    head = anonymous.head("/readyz")
    assert (head.status_code, head.content, head.headers["content-length"]) == (200, b"", "18")
    assert (head.headers["cache-control"], head.headers["x-content-type-options"]) == ("no-store", "nosniff")
    assert anonymous.post("/healthz").status_code == 404


def test_a_server_whose_database_is_away_lives_but_is_not_ready(serve: Serve, postgres_server: PostgresServer) -> None:
    house = serve(database_url=postgres_server.new_database())
    anonymous = house.anonymous()
    assert anonymous.get("/readyz").status_code == 200
    postgres_server.stop()
    try:
        answer = anonymous.get("/readyz")
        assert answer.status_code == 503
        assert answer.json()["status"] == "unavailable"
        assert "database" in answer.json()["reason"]
        assert "keyhouse@" not in answer.text
        assert anonymous.get("/healthz").status_code == 200
        assert anonymous.get("/metrics").status_code == 200
    finally:
        postgres_server.start()
    for _ in range(100):
        if (ready := anonymous.get("/readyz")).status_code == 200:
            break
    assert ready.status_code == 200


def test_a_server_whose_database_does_not_answer_in_time_is_not_ready(
    serve: Serve, postgres_server: PostgresServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(observability, "_READY_WITHIN_S", 0.1)
    url = postgres_server.new_database()
    anonymous = serve(database_url=url).anonymous()
    with psycopg.connect(url) as other:
        other.execute("LOCK TABLE installation IN ACCESS EXCLUSIVE MODE")
        answer = anonymous.get("/readyz")
    assert answer.status_code == 503
    assert answer.json() == {"status": "unavailable", "reason": "The database did not answer within 0.1 seconds."}
    monkeypatch.undo()
    assert anonymous.get("/readyz").status_code == 200


def test_the_page_names_every_metric_and_label() -> None:
    explained = re.findall(r"^\| `(keyhouse_\w+)` \| (\w+) \| (.*?) \|", PAGE, re.MULTILINE)
    stated = [(metric.name, metric.kind, ", ".join(f"`{label}`" for label in metric.labels) or "-") for metric in METRICS]
    assert explained == stated


def test_nothing_is_noted_of_these_routes(sqlite_house: ServedHouse, capfd: pytest.CaptureFixture[str]) -> None:
    for path in ("/healthz", "/readyz", "/metrics"):
        sqlite_house.anonymous().get(path)
    sqlite_house.stop()
    assert "route=-" not in capfd.readouterr().err
    with pytest.raises(httpx.TransportError):
        sqlite_house.anonymous().get("/healthz")


def test_an_upstreams_words_do_not_reach_the_log(
    sqlite_house: ServedHouse, store: Store, upstream: Upstream, capfd: pytest.CaptureFixture[str]
) -> None:
    store()
    error = {"message": "Oops", "type": "t", "code": 'mine"\nforged line'}
    upstream.script = answered_by(lambda request: stream_answer(data_event({"id": "x", "choices": []}), data_event({"error": error})))
    body = {"model": "openai/m", "max_tokens": 9, "messages": [], "stream": True}
    assert "Oops" in sqlite_house.client().post("/v1/messages", json=body).text
    assert sample(sqlite_house, 'keyhouse_errors_total{code="upstream_broken"}') == 1
    sqlite_house.stop()
    log = capfd.readouterr().err
    assert "route=/v1/messages" in log
    assert "forged" not in log


def test_the_line_of_a_call_tells_how_often_it_was_tried_again(
    sqlite_house: ServedHouse, store: Store, upstream: Upstream, capfd: pytest.CaptureFixture[str]
) -> None:
    store()
    upstream.script = answered_by(lambda request: b"HTTP/1.1 429 Busy\r\nretry-after: 0\r\ncontent-length: 0\r\n\r\n")
    question = {"model": "gpt-5-mini", "messages": []}
    assert sqlite_house.client().post("/v1/chat/completions", json=question).status_code == 429
    assert len(upstream.requests) == 3
    sqlite_house.stop()
    assert "provider=openai stream=no input_tokens=- output_tokens=- retries=2 " in capfd.readouterr().err
