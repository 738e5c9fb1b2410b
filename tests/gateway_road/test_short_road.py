"""Calls like those before them on their connection: they send, count and say the same on the short road as on the long one."""

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.conftest import Serve
from tests.gateway.fault_upstream import ReceivedRequest, response
from tests.gateway_road.conftest import Road
from tests.gateway_road.road_spies import Roads, Told, line_to, watched_roads
from tests.gateway_road.upstreams import Upstream, answered_by, json_answer

USAGE = {"prompt_tokens": 9, "completion_tokens": 4, "total_tokens": 13, "prompt_tokens_details": {"cached_tokens": 3}}
LINES = b"X-Request-Id: req_1\r\nset-cookie: a=b\r\nServer: some\r\nx-ratelimit-remaining-requests: 9\r\nOpenAI-Processing-MS: 12\r\n"
MESSAGES = [{"role": "user", "content": "Hi"}]
KEY = "sk-upstream-0123456789"
Case = tuple[str, bytes, tuple[bytes, ...]]
SHORT, LONG = [True, True], [False, False]


@pytest.fixture(scope="module", autouse=True)
def every_road() -> Iterator[Roads]:
    with watched_roads() as roads:
        yield roads


@pytest.fixture
def roads(every_road: Roads, road: Road) -> Roads:
    road.answers(echo)
    every_road.forget()
    return every_road


def echo(request: ReceivedRequest) -> bytes:
    """Says of which length the body was, with headers of every kind."""
    said = {"id": "c1", "model": "m", "choices": [{"finish_reason": "stop"}], "said": "x" * (len(request.body) % 97), "usage": USAGE}
    return json_answer(said, headers=LINES)


def asked(road: Road, roads: Roads, case: Case, *, repeats: bool) -> tuple[list[Told], list[ReceivedRequest], list[dict[str, Any]]]:
    """One call three times."""
    path, body, lines = case
    road.upstream.requests.clear()
    roads.forget()
    with line_to(road.house, repeats=repeats) as line:
        answers = [line.ask(path, body, *lines) for _ in range(3)]
    return answers, list(road.upstream.requests), roads.notes(3)


def equal_on_both(road: Road, roads: Roads, case: Case, ending: str = "answered") -> tuple[list[bool], list[Told], list[ReceivedRequest]]:
    """What was sent, told and noted of the same call on one connection, its heads equal or different. Where the short road begins with one,
    it is to end there like this."""
    same = asked(road, roads, case, repeats=True)
    begun, ended = list(roads.begun), list(roads.ended)
    different = asked(road, roads, case, repeats=False)
    assert (roads.begun, roads.ended) == ([], [])
    assert same == different
    assert ended == [ending] * begun.count(True)
    return begun, same[0], same[1]


def of(path: str, *lines: bytes, raw: bytes | None = None, **body: Any) -> Case:
    return path, raw if raw is not None else json.dumps(body).encode(), lines


def openai(road: Road) -> None:
    road.put("openai", {"OPENAI_API_KEY": KEY, "OPENAI_BASE_URL": f"{road.upstream.address}/v1"})


def openai_with_headers(road: Road) -> None:
    keys = {"OPENAI_API_KEY": KEY, "OPENAI_BASE_URL": f"{road.upstream.address}/v1"}
    road.put("openai", keys, extraHeaders=[{"key": "X-Team", "value": "blue"}, {"key": "X-Title", "value": "Ours"}])


def anthropic(road: Road) -> None:
    road.put("anthropic", {"ANTHROPIC_API_KEY": KEY, "ANTHROPIC_BASE_URL": road.upstream.address})


def azure(road: Road) -> None:
    keys = {"AZURE_OPENAI_API_KEY": KEY, "AZURE_OPENAI_ENDPOINT": road.upstream.address, "AZURE_OPENAI_API_VERSION": "2024-10-21"}
    road.put("azure", keys, customModels=["gpt-4o"])


def azure_gateway(road: Road) -> None:
    keys = {"AZURE_OPENAI_API_KEY": KEY, "AZURE_API_GATEWAY_BASE_URL": road.upstream.address}
    road.put("azure", keys, customModels=["gpt-4o"])


def custom(road: Road, **update: Any) -> None:
    road.put("custom", {"CUSTOM_API_KEY": KEY, "CUSTOM_BASE_URL": f"{road.upstream.address}/v1"}, **{"customModels": ["m"], **update})


def custom_as_default(road: Road) -> None:
    custom(road, defaultModel="m")


def limited(road: Road) -> None:
    custom(road, customModels=[{"modelId": "m", "displayName": "M", "mode": "chat", "maxTokens": 100}])


CHAT, EMBEDDINGS, MESSAGES_PATH = "/v1/chat/completions", "/v1/embeddings", "/v1/messages"
BETAS = (b"anthropic-version: 2023-01-01", b"anthropic-beta: one-2025-01-01", b"Anthropic-Beta: two-2025-01-01")
THOUGHT = [{"role": "assistant", "content": [{"type": "thinking", "thinking": "Hm.", "signature": ""}]}, *MESSAGES]
PASSED: dict[str, tuple[Callable[[Road], None], Case]] = {
    "chat": (openai, of(CHAT, model="gpt-5-mini", messages=MESSAGES)),
    "with its provider": (openai, of(CHAT, model="openai/gpt-5-mini", messages=MESSAGES)),
    "of the default model": (custom_as_default, of(CHAT, messages=MESSAGES)),
    "of no model": (custom_as_default, of(CHAT, model=None, messages=MESSAGES)),
    "tuning params": (openai, of(CHAT, model="gpt-5-mini", messages=MESSAGES, drop_tuning_params=True)),
    "tuning params kept": (openai, of(CHAT, raw=b'{"drop_tuning_params":false , "model" : "openai/gpt-5","messages":[]}')),
    "odd text": (openai, of(CHAT, raw=b' {"mess\\u0061ges":[ ], "a":"\\"model\\":1", "model":"openai\\/gpt-5" }\r\n')),
    "of any type": (openai, of(CHAT, b"content-type: text/plain", model="gpt-5-mini", messages=MESSAGES)),
    "passed headers": (
        openai,
        of(CHAT, b"Idempotency-Key: once", b"X-Title:  App", b"cookie: a", b"OpenAI-Beta: b", model="gpt-5-mini", messages=MESSAGES),
    ),
    "retries, a trace": (
        openai,
        of(CHAT, b"x-keyhouse-retries: 0", b"traceparent: 00-" + b"1" * 32 + b"-" + b"2" * 16 + b"-01", model="gpt-5-mini", messages=[]),
    ),
    "query": (openai, of(f"{CHAT}?beta=true", model="gpt-5-mini", messages=MESSAGES)),
    "another path": (openai, of("/openai/v1/chat/completions", model="gpt-5-mini", messages=MESSAGES)),
    "own headers": (openai_with_headers, of(CHAT, b"x-title: App", b"x-team: mine", model="gpt-5-mini", messages=MESSAGES)),
    "embeddings": (openai, of(EMBEDDINGS, model="text-embedding-3-small", input="Hi")),
    "completions": (openai, of("/v1/completions", model="gpt-3.5-turbo-instruct", prompt="Hi")),
    "moderations": (openai, of("/v1/moderations", model="omni-moderation-latest", input="Hi")),
    "images": (openai, of("/v1/images/generations", model="gpt-image-1", prompt="Hi")),
    "rerank": (custom, of("/v2/rerank", model="custom/m", query="Hi", documents=["a"])),
    "messages": (anthropic, of(MESSAGES_PATH, *BETAS, model="claude-x", max_tokens=9, messages=MESSAGES)),
    "messages, a query": (anthropic, of(f"{MESSAGES_PATH}?beta=true", model="claude-x", max_tokens=9, messages=MESSAGES)),
    "messages, another query": (anthropic, of(f"{MESSAGES_PATH}?beta=false", model="claude-x", max_tokens=9, messages=MESSAGES)),
    "tokens": (anthropic, of(f"{MESSAGES_PATH}/count_tokens?beta=true", model="claude-x", messages=MESSAGES)),
    "deployment": (azure, of("/openai/deployments/gpt-4o/chat/completions?api-version=1", messages=MESSAGES)),
    "deployment over a model": (azure, of("/openai/deployments/azure/gpt-4o/chat/completions", model="other", messages=MESSAGES)),
    "of azure": (azure_gateway, of(CHAT, model="azure/gpt-4o", messages=MESSAGES)),
    "of a server of its own": (custom, of(CHAT, model="custom/m", messages=MESSAGES, temperature=1.5)),
}


@pytest.mark.parametrize("name", PASSED)
def test_what_passes_as_it_is(road: Road, roads: Roads, name: str) -> None:
    store, case = PASSED[name]
    store(road)
    begun, answers, requests = equal_on_both(road, roads, case)
    assert begun == SHORT
    assert [answer.status for answer in answers] == [200] * 3
    assert len(requests) == 3


LOOKED_INTO: dict[str, tuple[Callable[[Road], None], Case]] = {
    "a stream": (openai, of(CHAT, model="gpt-5-mini", messages=MESSAGES, stream=True)),
    "another format": (anthropic, of(CHAT, model="claude-x", max_tokens=9, messages=MESSAGES)),
    "another format of messages": (openai, of(MESSAGES_PATH, model="gpt-5-mini", max_tokens=9, messages=MESSAGES)),
    "a declared limit": (limited, of(CHAT, model="custom/m", max_tokens=500, messages=MESSAGES)),
    "a temperature": (anthropic, of(MESSAGES_PATH, model="claude-x", max_tokens=9, messages=MESSAGES, temperature=1.5)),
    "what its server may lack": (openai, of("/v1/responses", model="gpt-5-mini", input="Hi")),
    "a renamed member": (azure_gateway, of(CHAT, model="azure/gpt-4o", messages=MESSAGES, max_completion_tokens=9)),
    "a refused member": (azure_gateway, of(CHAT, model="azure/gpt-4o", messages=MESSAGES, stream_options={}, drop_tuning_params=False)),
    "another's thoughts": (anthropic, of(MESSAGES_PATH, model="claude-x", max_tokens=9, messages=THOUGHT)),
    "speech": (openai, of("/v1/audio/speech", model="tts-1", voice="alloy", input="Hi")),
    "a form as JSON": (openai, of("/v1/images/edits", b"content-type: application/json", model="gpt-image-1", prompt="Hi")),
    "no JSON": (openai, of(CHAT, raw=b"{")),
    "nothing": (openai, of(CHAT, raw=b"")),
    "no object": (openai, of(CHAT, raw=b"[]")),
    "two models": (openai, of(CHAT, raw=b'{"model":"gpt-5","messages":[],"model":"gpt-5-mini"}')),
    "an unknown model": (openai, of(CHAT, model="custom/m", messages=MESSAGES)),
    "no model": (openai, of(CHAT, messages=MESSAGES)),
    "a long name": (openai, of(CHAT, model="openai/" + "m" * 300, messages=MESSAGES)),
    "no such endpoint": (openai, of("/v1/chats", model="gpt-5-mini")),
    "a key that is none": (openai, of(CHAT, b"x-api-key: sk-none", model="gpt-5-mini", messages=MESSAGES)),
    "an endpoint it lacks": (anthropic, of(EMBEDDINGS, model="anthropic/claude-x", input="Hi")),
    "a large body": (openai, of(CHAT, model="gpt-5-mini", messages=[{"role": "user", "content": "x" * 70_000}])),
}


@pytest.mark.parametrize("name", LOOKED_INTO)
def test_what_has_to_be_looked_into(road: Road, roads: Roads, name: str) -> None:
    store, case = LOOKED_INTO[name]
    store(road)
    begun, _, _ = equal_on_both(road, roads, case)
    assert True not in begun


IDS = {
    "openai": b"x-request-id: theirs\r\n",
    "anthropic": b"request-id: theirs\r\n",
    "both": b"request-id: a\r\nX-Request-Id: b\r\n",
    "both, turned": b"x-request-id: a\r\nRequest-Id: b\r\n",
    "twice": b"x-request-id: a\r\nx-request-id: b\r\n",
    "twice the other": b"request-id: a\r\nrequest-id: b\r\n",
    "empty id": b"x-request-id: \r\nrequest-id:\r\n",
    "blank": b"x-request-id:   padded  \r\n",
    "in a value": b"openai-model: x-request-id: a\r\n",
    "none": b"",
}
LAYOUTS: dict[str, Callable[[bytes], bytes]] = {
    "counted": lambda lines: response(b'{"usage":{"prompt_tokens":1,"completion_tokens":2}}', headers=lines),
    "counted last": lambda lines: b"HTTP/1.1 200 OK\r\n%bContent-Type: text/html; charset=utf-8\r\nCONTENT-LENGTH: 2\r\n\r\n{}" % lines,
    "framed": lambda lines: b"HTTP/1.1 200 OK\r\n%btransfer-encoding: chunked\r\n\r\n3\r\n[1]\r\n0\r\n\r\n" % lines,
    "framed twice": lambda lines: b"HTTP/1.1 200 OK\r\n%btransfer-encoding: chunked\r\n\r\n1\r\n{\r\n1\r\n}\r\n0\r\na: b\r\n\r\n" % lines,
    "empty": lambda lines: response(b"", headers=lines),
    "packed": lambda lines: response(b"\x1f\x8b123", headers=b"content-encoding: gzip\r\nconnection: Keep-Alive\r\n" + lines),
    "created": lambda lines: response(b"{}", status=b"201 Created", headers=lines),
}
NOT_PLAIN = {"framed twice", "created", "empty id", "blank"}


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("ids", IDS)
def test_what_an_answer_says(road: Road, roads: Roads, layout: str, ids: str) -> None:
    road.answers(LAYOUTS[layout](IDS[ids]))
    ending = "went on" if layout in NOT_PLAIN or ids in NOT_PLAIN else "answered"
    for store, case in (PASSED["chat"], PASSED["messages"]):
        store(road)
        assert equal_on_both(road, roads, case, ending)[0] == SHORT


@pytest.mark.parametrize("origin", ["https://chat.example.com", "https://elsewhere.example.com", None])
@pytest.mark.parametrize("allowed", ["https://chat.example.com", "*"])
def test_pages_of_other_origins(serve: Serve, shared_upstream: Upstream, every_road: Roads, allowed: str, origin: str | None) -> None:
    shared_upstream.follow(answered_by(echo))
    house = serve(allowed_origins=allowed)
    road = Road(house, shared_upstream, house.client())
    openai(road)
    lines = () if origin is None else (b"Origin: " + origin.encode(),)
    begun, answers, _ = equal_on_both(road, every_road, of(CHAT, *lines, model="gpt-5-mini", messages=MESSAGES))
    assert begun == SHORT
    assert answers[2]["access-control-allow-origin"] == ("*" if allowed == "*" else origin if origin == allowed else None)


COUNTED = ("keyhouse_requests_total", "keyhouse_tokens_total", "keyhouse_errors_total", "keyhouse_retries_total")
EVENTS = "keyhouse_upstream_connection_events_total"
TIMED = ("keyhouse_request_duration_seconds_count", "keyhouse_added_latency_seconds_count")


def counts(road: Road) -> dict[str, float]:
    """What the metrics count of requests."""
    lines = [line for line in road.http.get("/metrics").text.splitlines() if line.startswith((*COUNTED, *TIMED, EVENTS))]
    return {name: float(count) for name, _, count in (line.rpartition(" ") for line in lines)}


def test_what_the_metrics_count(road: Road, roads: Roads) -> None:
    store, case = PASSED["chat"]
    store(road)
    asked(road, roads, case, repeats=False)
    counted = [counts(road)]
    for repeats in (True, False):
        asked(road, roads, case, repeats=repeats)
        assert roads.begun == (SHORT if repeats else [])
        counted.append(counts(road))
    before, short, long = counted
    added = {name: short[name] - before.get(name, 0) for name in short}
    assert added == {name: long[name] - short[name] for name in long}
    assert sum(count for name, count in added.items() if name.startswith("keyhouse_requests_total")) == 3
    assert sum(count for name, count in added.items() if name.startswith(EVENTS)) == 3
