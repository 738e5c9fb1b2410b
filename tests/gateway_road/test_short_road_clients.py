"""The official clients' calls take the short road from the second one on, though they send head and body apart."""

from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import anthropic
import pytest

from tests.gateway.fault_upstream import ReceivedRequest
from tests.gateway_road.conftest import Road, openai_client
from tests.gateway_road.road_spies import Line, Roads, line_to, watched_roads
from tests.gateway_road.test_short_road import BETAS, CHAT, KEY, MESSAGES, MESSAGES_PATH, echo, of
from tests.gateway_road.upstreams import json_answer

USAGE = {"input_tokens": 3, "output_tokens": 4}


@pytest.fixture(scope="module", autouse=True)
def every_road() -> Iterator[Roads]:
    with watched_roads() as watched:
        yield watched


@pytest.fixture
def roads(every_road: Roads, road: Road) -> Roads:
    road.answers(echo)
    road.put("openai", {"OPENAI_API_KEY": KEY, "OPENAI_BASE_URL": f"{road.upstream.address}/v1"})
    road.put("anthropic", {"ANTHROPIC_API_KEY": KEY, "ANTHROPIC_BASE_URL": road.upstream.address})
    every_road.forget()
    return every_road


def require_short(roads: Roads) -> None:
    """Of four calls, the first could not be known; all were noted as equal."""
    notes = roads.notes(4)
    assert all(note == notes[0] for note in notes)
    assert (roads.begun, roads.ended) == ([True] * 3, ["answered"] * 3)


def test_openai(road: Road, roads: Roads) -> None:
    with openai_client(road.house.address, road.house.keys.project_key) as client:
        for number in range(4):
            said = client.chat.completions.create(model="gpt-5-mini", messages=[{"role": "user", "content": "Hi" * number}])
            assert said.usage is not None
            assert said.usage.total_tokens == 13
    require_short(roads)
    assert len({request.body for request in road.upstream.requests}) == 4


def test_openai_embeddings(road: Road, roads: Roads) -> None:
    road.answers(
        lambda request: json_answer({"data": [{"embedding": [0.5], "index": 0}], "usage": {"prompt_tokens": 1, "total_tokens": 1}})
    )
    with openai_client(road.house.address, road.house.keys.project_key) as client:
        for _ in range(4):
            assert client.embeddings.create(model="text-embedding-3-small", input="Hi", encoding_format="float").data[0].embedding == [0.5]
    require_short(roads)


def message(request: ReceivedRequest) -> bytes:
    text = [{"type": "text", "text": "Hi"}]
    return json_answer({"type": "message", "role": "assistant", "content": text, "stop_reason": "end_turn", "usage": USAGE})


def test_anthropic(road: Road, roads: Roads) -> None:
    road.answers(message)
    with anthropic.Anthropic(base_url=road.house.address, api_key=road.house.keys.project_key, max_retries=0) as client:
        for number in range(4):
            said: Any = client.messages.create(model="claude-x", max_tokens=9, messages=[{"role": "user", "content": "Hi" * (number + 1)}])
            assert said.content[0].text == "Hi"
    require_short(roads)


CALLS = {
    "chat": of(CHAT, model="gpt-5-mini", messages=MESSAGES),
    "messages": of(MESSAGES_PATH, *BETAS, model="claude-x", max_tokens=9, messages=MESSAGES),
}


def in_parts(line: Line, whole: bytes, cuts: tuple[int, ...]) -> None:
    """Send a request cut at these places, counted from where its body starts."""
    start = whole.index(b"\r\n\r\n") + 4
    places = [0, *(start + cut for cut in cuts), len(whole)]
    for begin, end in pairwise(places):
        line.socket.sendall(whole[begin:end])


@pytest.mark.parametrize("cuts", [(0,), (0, 1), (5,), (-1,), (-3, 3)], ids=str)
@pytest.mark.parametrize("call", CALLS)
def test_however_it_is_cut_a_call_is_the_same(road: Road, roads: Roads, call: str, cuts: tuple[int, ...]) -> None:
    path, body, lines = CALLS[call]
    told = []
    with line_to(road.house) as line:
        for turn in range(6):
            whole = line.request(path, body, *lines)
            if turn % 2:
                in_parts(line, whole, cuts)
            else:
                line.socket.sendall(whole)
            told.append(line.answer())
    assert all(each == told[0] for each in told)
    notes = roads.notes(6)
    assert all(note == notes[0] for note in notes)
    if min(cuts) >= 0:
        # A head that does not come whole is parsed.
        assert roads.begun == [True] * 5
    sent = [(request.head, request.body) for request in road.upstream.requests]
    assert all(each == sent[0] for each in sent)


def test_a_call_whose_body_never_comes_reaches_no_upstream_and_is_noted(road: Road, roads: Roads) -> None:
    path, body, lines = CALLS["chat"]
    with line_to(road.house) as line:
        line.ask(path, body, *lines)
        line.ask(path, body, *lines)
        before = roads.notes(2)[0]
        line.socket.sendall(line.request(path, body, *lines)[: -len(body)])
    left = roads.notes(1)[0]
    assert (left["status"], left["code"], left["route"]) == (0, "caller_left", before["route"])
    assert len(road.upstream.requests) == 2
