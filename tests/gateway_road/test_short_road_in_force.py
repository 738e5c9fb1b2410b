"""What changes between two calls of one connection is in force for the next one, and nothing of what was is kept by its short road."""

import asyncio
import gc
import json
import math
import socket
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import pytest

from keyhouse.domain.target import Target
from keyhouse.gateway.plain_connection import PlainConnection
from keyhouse.services import attention
from keyhouse.web.gateway.short_road import ShortCall
from keyhouse.web.http_exchange import HttpExchange
from tests.conftest import Serve, ServedHouse
from tests.gateway.fault_upstream import Peer, ReceivedRequest, response
from tests.gateway_road import openai_api
from tests.gateway_road.conftest import storing_in
from tests.gateway_road.road_spies import Line, Roads, line_to, watched_roads
from tests.gateway_road.test_forgotten_connections import alive
from tests.gateway_road.test_known_heads import answers
from tests.gateway_road.upstreams import Upstream, answered_by, running_upstream
from tests.gateway_road.waiting import until
from tests.safety.planted import found_in, planted, planted_token
from tests.safety.test_reprs import our_objects

CHAT = "/v1/chat/completions"
BODY = json.dumps({"model": "gpt-5-mini", "messages": [{"role": "user", "content": "Hi"}]}).encode()
GOOD = response(b'{"usage":{"prompt_tokens":1,"completion_tokens":2}}', headers=b"content-type: application/json\r\n")
FAILED = response(b"{}", status=b"500 Failed")


@pytest.fixture
def open_house(sqlite_house: ServedHouse) -> Iterator[ServedHouse]:
    """A house of whose objects none goes by the collector of cycles, which its start has run."""
    gc.collect()
    gc.disable()
    yield sqlite_house
    gc.enable()


@pytest.fixture(autouse=True)
def roads() -> Iterator[Roads]:
    with watched_roads() as watched:
        yield watched


def warm(line: Line, roads: Roads, *lines: bytes) -> None:
    """The next call of the line goes the short road, if nothing changes."""
    roads.forget()
    statuses = [line.ask(CHAT, BODY, *lines).status for _ in range(3)]
    assert (statuses, roads.begun[-2:], roads.ended[-2:]) == ([200] * 3, [True] * 2, ["answered"] * 2)


def asked(line: Line, *lines: bytes) -> tuple[int, str]:
    answer = line.ask(CHAT, BODY, *lines)
    return answer.status, json.loads(answer.body or b"{}").get("error", {}).get("code", "")


def test_a_change_of_the_provider(sqlite_house: ServedHouse, upstream: Upstream, roads: Roads) -> None:
    store = storing_in(sqlite_house, upstream)
    store()
    address = {"OPENAI_BASE_URL": f"{upstream.address}/v1"}
    with line_to(sqlite_house) as line:
        warm(line, roads)
        store(customKeys={**address, "OPENAI_API_KEY": "sk-upstream-other-0987654321"})
        assert asked(line)[0] == 401
        store(extraHeaders=[{"key": "X-Team", "value": "blue"}])
        warm(line, roads)
        assert upstream.requests[-1].header(b"x-team") == [b"blue"]
        store(enabled=False)
        assert asked(line) == (400, "model_not_found")
        store()
        warm(line, roads)
        assert sqlite_house.client().delete("/api/model-providers/openai").status_code == 200
        assert asked(line) == (400, "model_not_found")


def test_a_change_of_the_provider_while_a_call_of_before_is_under_way(sqlite_house: ServedHouse, upstream: Upstream) -> None:
    store = storing_in(sqlite_house, upstream)
    store()
    asked_to_wait, go_on = threading.Event(), threading.Event()

    async def script(peer: Peer) -> None:
        while True:
            if b"wait" in (await peer.request()).body:
                asked_to_wait.set()
                await asyncio.to_thread(go_on.wait, 20)
            await peer.send(GOOD)

    upstream.follow(script)
    with line_to(sqlite_house) as line, line_to(sqlite_house) as waits:
        assert [asked(each)[0] for each in (line, waits, line, waits)] == [200] * 4
        waits.send(CHAT, BODY.replace(b"Hi", b"wait"))
        assert asked_to_wait.wait(20)
        store(customKeys={"OPENAI_BASE_URL": f"{upstream.address}/v1", "OPENAI_API_KEY": "sk-upstream-other-0987654321"})
        assert asked(line)[0] == 200
        assert upstream.requests[-1].header(b"authorization") == [b"Bearer sk-upstream-other-0987654321"]
        store(enabled=False)
        assert asked(line) == (400, "model_not_found")
        go_on.set()
        assert waits.answer().status == 200


def test_a_body_that_is_larger_than_any_may_be(serve: Serve, upstream: Upstream, roads: Roads) -> None:
    house = serve(max_request_bytes=1024)
    storing_in(house, upstream)()
    with line_to(house) as line:
        warm(line, roads)
        assert line.ask(CHAT, BODY.replace(b"Hi", b"x" * 1024)).status == 413
        assert asked(line) == (200, "")
    assert len(upstream.requests) == 4


@pytest.mark.parametrize("what", ["key revoked", "key expired", "project archived", "project's key replaced"])
def test_a_change_of_who_may_call(sqlite_house: ServedHouse, upstream: Upstream, roads: Roads, what: str) -> None:
    storing_in(sqlite_house, upstream)()
    keys = sqlite_house.keys
    admin, project = sqlite_house.client(keys.admin_key), f"/api/projects/{keys.project_id}"
    lines: tuple[bytes, ...] = ()
    if what.startswith("key"):
        made = admin.post("/api/api-keys", json={"keyType": "service", "name": "calls"}).json()
        lines = (b"x-api-key: " + made["token"].encode(), b"x-project-id: " + keys.project_id.encode())
        of_key = f"/api/api-keys/{made['apiKey']['id']}"
    with line_to(sqlite_house) as line:
        warm(line, roads, *lines)
        if what == "key expired":
            moment = (datetime.now(UTC) + timedelta(seconds=0.4)).isoformat()
            assert admin.patch(of_key, json={"expiresAt": moment}).status_code == 200
            until(lambda: asked(line, *lines)[0] == 401)
            return
        if what.startswith("key"):
            done = admin.delete(of_key)
        elif what == "project archived":
            done = admin.delete(project)
        else:
            done = admin.post(f"{project}/regenerate-api-key")
        assert done.status_code in (200, 204), done.text
        roads.forget()
        assert asked(line, *lines)[0] == 401
        assert roads.begun == [False]


def test_a_process_that_was_frozen_catches_up_first(sqlite_house, upstream, roads, monkeypatch) -> None:
    storing_in(sqlite_house, upstream)()
    with line_to(sqlite_house) as line:
        warm(line, roads)
        monkeypatch.setattr(attention, "_LONGEST_GAP_S", -1.0)
        assert asked(line) == (200, "")
        assert roads.begun[-1] is False
        monkeypatch.setattr(attention, "_LONGEST_GAP_S", 3600.0)
        assert asked(line) == (200, "")
    assert roads.begun[-2:] == [False, True]


def test_calls_that_do_not_end_there_go_the_long_road_from_then_on(sqlite_house, upstream, roads) -> None:
    storing_in(sqlite_house, upstream)()
    said = iter([*[GOOD] * 3, *[FAILED] * 7, GOOD, *[FAILED] * 8, GOOD, FAILED])
    upstream.follow(answered_by(lambda request: next(said)))
    with line_to(sqlite_house) as line:
        warm(line, roads)
        statuses = [asked(line)[0] for _ in range(18)]
    assert statuses == [*[500] * 7, 200, *[500] * 8, 200, 500]
    assert roads.begun == [True] * 18 + [False] * 2
    assert roads.ended == ["answered"] * 2 + ["went on"] * 7 + ["answered"] + ["went on"] * 8


class Thinking:
    """An upstream that answers two requests at once, and later ones when it is told to, `begun` coming before."""

    def __init__(self, begun: bytes = b"") -> None:
        self.asked, self.go_on = threading.Event(), threading.Event()
        self.begun, self.count = begun, 0

    async def script(self, peer: Peer) -> None:
        while True:
            await peer.request()
            self.count += 1
            if self.count > 2:
                await peer.send(self.begun)
                self.asked.set()
                await asyncio.to_thread(self.go_on.wait, 20)
            await peer.send(GOOD[len(self.begun) if self.count > 2 else 0 :])


def test_a_call_counts_among_those_of_its_project(serve: Serve, upstream: Upstream, roads: Roads) -> None:
    house = serve(max_calls_per_project=1)
    storing_in(house, upstream)()
    thinking = Thinking()
    upstream.follow(thinking.script)
    with line_to(house) as line, line_to(house) as other:
        assert [asked(line)[0], asked(other)[0]] == [200, 200]
        line.send(CHAT, BODY)
        assert thinking.asked.wait(20)
        assert asked(other) == (429, "too_many_requests")
        thinking.go_on.set()
        assert line.answer().status == 200
        assert asked(other) == (200, "")
    assert roads.begun == [True, False, True]


def test_a_call_that_cannot_be_sent_at_once_counts_once(serve: Serve, upstream: Upstream, roads: Roads) -> None:
    house = serve(max_calls_per_project=1)
    storing_in(house, upstream)()
    with line_to(house) as line:
        warm(line, roads)
        # It drops its connections: a new one has to be waited for.
        upstream.follow(answered_by(lambda request: GOOD))
        assert [asked(line)[0] for _ in range(2)] == [200, 200]


@pytest.mark.parametrize("what", [b"PUT /v1/chat/completions", b"POST /v1/audio/speech"])
def test_what_the_short_road_has_not_takes_the_long_one(sqlite_house: ServedHouse, upstream: Upstream, roads: Roads, what: bytes) -> None:
    storing_in(sqlite_house, upstream)()
    key, body = sqlite_house.keys.project_key.encode(), json.dumps({"model": "gpt-5-mini", "input": "Hi"}).encode()
    request = b"%b HTTP/1.1\r\nhost: a\r\nauthorization: Bearer %b\r\ncontent-length: %d\r\n\r\n%b" % (what, key, len(body), body)
    with line_to(sqlite_house) as line:
        assert asked(line)[0] == 200
        told = []
        for _ in range(3):
            line.socket.sendall(request)
            told += [status for status, _ in answers(line.socket, 1)]
    assert told == [405 if what.startswith(b"PUT") else 200] * 3
    assert True not in roads.begun


def test_a_call_that_cannot_be_told_is_over_all_the_same(
    serve: Serve, upstream: Upstream, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    house = serve(max_calls_per_project=1)
    storing_in(house, upstream)()

    def spoilt(*_: object) -> None:
        raise RuntimeError("spoilt")

    with line_to(house) as line, line_to(house) as other:
        assert [asked(line)[0], asked(line)[0]] == [200, 200]
        with monkeypatch.context() as patched:
            patched.setattr(HttpExchange, "send_lines", spoilt)
            assert line.ask(CHAT, BODY).status == 500
        assert asked(other) == (200, "")
    assert "A request was not answered." in caplog.text


@pytest.mark.parametrize("begun", [0, len(GOOD) - 3], ids=["before its first byte", "in its body"])
def test_an_upstream_that_takes_too_long(sqlite_house: ServedHouse, upstream: Upstream, roads: Roads, begun: int) -> None:
    storing_in(sqlite_house, upstream)()
    thinking = Thinking(GOOD[:begun])
    upstream.follow(thinking.script)
    with line_to(sqlite_house) as line:
        assert [asked(line)[0] for _ in range(2)] == [200, 200]
        line.send(CHAT, BODY)
        assert thinking.asked.wait(20)
        if begun:
            assert line.socket.recv(1, socket.MSG_PEEK) == b"H"
        [waits] = [each for each in of_kind(PlainConnection) if each._asker is not None or each._body is not None]
        assert waits._deadlines.next_due <= waits.deadline < math.inf
        waits._loop.call_soon_threadsafe(waits.expire)
        answer = line.answer()
    assert (answer.status, answer.body is None) == ((200, True) if begun else (504, False))
    notes = roads.notes(3)
    assert (notes[-1]["status"], notes[-1]["code"]) == ((200 if begun else 504), "upstream_timeout")
    thinking.go_on.set()


def of_kind(kind: type) -> list[Any]:
    return [each for each in gc.get_objects() if type(each) is kind]


def was_answered_or_waits(roads: Roads, count: int) -> bool:
    return False in roads.begun or roads.noted.qsize() >= count


def test_a_caller_who_reads_late_has_every_answer(sqlite_house: ServedHouse, upstream: Upstream, roads: Roads) -> None:
    storing_in(sqlite_house, upstream)()
    body = b'{"a":"' + b"x" * 150_000 + b'"}'

    def answer(_: ReceivedRequest) -> bytes:
        return response(body)

    upstream.follow(answered_by(answer))
    count = 0
    with line_to(sqlite_house) as line:
        while False not in roads.begun and count < 400:
            line.send(CHAT, BODY)
            count += 1
            until(partial(was_answered_or_waits, roads, count))
        assert False in roads.begun
        assert answers(line.socket, count) == [(200, body)] * count
    assert len(roads.notes(count)) == count


def test_the_credentials_of_a_provider_that_is_gone_are_gone(open_house: ServedHouse, upstream: Upstream, roads: Roads) -> None:
    before = alive(Target)
    storing_in(open_house, upstream)()
    with line_to(open_house) as line:
        warm(line, roads)
        assert alive(Target) == before + 1
        assert open_house.client().delete("/api/model-providers/openai").status_code == 200
        until(lambda: alive(Target) == before)
        assert asked(line) == (400, "model_not_found")


@pytest.mark.parametrize("begun", [0, 20, len(GOOD) - 3])
@pytest.mark.parametrize("kind", [ShortCall, HttpExchange, PlainConnection])
def test_a_call_whose_caller_has_left_is_gone(open_house: ServedHouse, upstream: Upstream, roads: Roads, kind: type, begun: int) -> None:
    storing_in(open_house, upstream)()
    thinking = Thinking(GOOD[:begun])
    upstream.follow(thinking.script)
    # The PUT's own may be there a moment longer than its answer.
    until(lambda: not of_kind(HttpExchange))
    before = alive(kind)
    with line_to(open_house) as line:
        assert [asked(line)[0] for _ in range(2)] == [200, 200]
        line.send(CHAT, BODY)
        assert thinking.asked.wait(20)
        # What has come of the answer has been read.
        until(lambda: not begun or any(each.opened is not None for each in of_kind(ShortCall)))
        if begun == len(GOOD) - 3:
            assert line.socket.recv(1) == b"H"
        line.reset()
    assert roads.notes(3)[-1]["code"] == "caller_left"
    thinking.go_on.set()
    until(lambda: alive(kind) == before)


def test_an_upstream_that_has_gone(sqlite_house: ServedHouse, roads: Roads) -> None:
    told = []
    for repeats in (True, False):
        with line_to(sqlite_house, repeats=repeats) as line:
            with running_upstream(answered_by(lambda request: GOOD)) as gone:
                storing_in(sqlite_house, gone)()
                answers = [line.ask(CHAT, BODY, b"x-keyhouse-retries: 0") for _ in range(2)]
            answers += [line.ask(CHAT, BODY, b"x-keyhouse-retries: 0") for _ in range(2)]
        notes = roads.notes(4)
        told.append((answers, [{**note, "origin": None} for note in notes]))
    assert roads.begun == [True, False, False]
    assert told[0] == told[1]
    assert [answer.status for answer in told[0][0]] == [200, 200, 502, 502]


@pytest.mark.parametrize("begun", [0, 20])
def test_nothing_that_is_alive_on_the_short_road_prints_a_secret_or_a_prompt(serve: Serve, upstream: Upstream, begun: int) -> None:
    secret, header, prompt = planted_token("upstream"), planted("header").replace("é", ""), planted("prompt")
    house = serve()
    store = storing_in(house, upstream)
    store(
        customKeys={"OPENAI_API_KEY": secret, "OPENAI_BASE_URL": f"{upstream.address}/v1"}, extraHeaders=[{"key": "X-A", "value": header}]
    )
    thinking = Thinking(GOOD[:begun])
    upstream.follow(thinking.script)
    body = json.dumps({"model": "gpt-5-mini", "messages": [{"role": "user", "content": prompt}]}).encode()
    with line_to(house) as line:
        assert [line.ask(CHAT, body).status for _ in range(2)] == [200, 200]
        line.send(CHAT, body)
        assert thinking.asked.wait(20)
        printed = [(type(found).__name__, repr(found)) for found in our_objects()]
        thinking.go_on.set()
        assert line.answer().status == 200
    hidden = [secret, header, prompt, house.keys.project_key, openai_api.KEY]
    assert found_in("\n".join(text for _, text in printed).encode(), hidden) == []
    assert {"ShortCall", "PriorCalls", "Ready", "KnownHead", "CallerHead"} <= {name for name, _ in printed}
