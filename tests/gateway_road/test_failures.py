"""Upstreams that fail: each failure has its own error, no answer that breaks off looks whole, and a caller who leaves ends the call."""

import json
import socket
import threading
from urllib.parse import urlsplit

import httpx
import openai
import pytest

from tests.conftest import NO_CERTIFICATES
from tests.gateway.fault_upstream import Peer, answering_once
from tests.gateway_road import openai_api
from tests.gateway_road.conftest import openai_client, storing_in
from tests.gateway_road.upstreams import data_event, json_answer, running_upstream, stream_answer

CHUNK = openai_api.chunk("gpt-5-mini", {"content": "Hello"}, None)
HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"


def framed(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


async def silent(peer: Peer) -> None:
    await peer.request()
    await peer.left()


def stream_of(road, **further):
    """The events of a streamed chat completion, as the official client reads them."""
    with openai_client(road.house.address, road.house.keys.project_key) as client:
        messages = [{"role": "user", "content": "Hi"}]
        return list(client.chat.completions.create(model="gpt-5-mini", messages=messages, stream=True, **further))


def test_an_upstream_that_is_not_there_is_502(road):
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        road.put("custom", {"CUSTOM_BASE_URL": f"http://127.0.0.1:{bound.getsockname()[1]}/v1"})
        answer = road.chat("custom/m")
    assert (answer.status_code, answer.json()["error"]["code"]) == (502, "upstream_unreachable")
    assert (answer.headers["x-keyhouse-provider"], answer.headers["x-keyhouse-model"]) == ("custom", "m")


@pytest.mark.parametrize("answer", [{"choices": []}, {"choices": [{"message": {}, "finish_reason": "error"}]}])
def test_an_answer_that_cannot_be_translated_is_not_asked_for_again(road, answer):
    road.store()
    road.answers(json_answer(answer))
    refused = road.post("/v1/messages", {"model": "openai/m", "max_tokens": 9, "messages": []})
    assert (refused.status_code, refused.headers["x-should-retry"]) == (502, "false")


def test_a_first_byte_that_does_not_come_is_504(serve):
    with running_upstream(silent) as upstream:
        house = serve(upstream_first_byte_timeout_s=0.05)
        storing_in(house, upstream)()
        answer = house.client().post("/v1/chat/completions", json={"model": "gpt-5-mini", "messages": []})
    assert (answer.status_code, answer.json()["error"]["code"]) == (504, "upstream_timeout")
    assert answer.headers["x-should-retry"] == "false"


def test_a_connection_that_takes_too_long_is_504_of_its_own_kind(serve):
    with socket.socket() as full:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        address = full.getsockname()
        fillers = []
        for _ in range(3):
            filler = socket.socket()
            filler.setblocking(False)
            filler.connect_ex(address)
            fillers.append(filler)
        house = serve(upstream_connect_timeout_s=0.05, upstream_retries=0)
        keys = {"CUSTOM_BASE_URL": f"http://127.0.0.1:{address[1]}/v1"}
        assert house.client().put("/api/model-providers/custom", json={"enabled": True, "customKeys": keys}).status_code == 200
        answer = house.client().post("/v1/chat/completions", json={"model": "custom/m", "messages": []})
        for filler in fillers:
            filler.close()
    assert (answer.status_code, answer.json()["error"]["code"]) == (504, "upstream_connect_timeout")


def test_a_pause_inside_a_stream_ends_in_an_error_event(serve):
    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(HEAD + framed(data_event(CHUNK)))
        await peer.left()

    with running_upstream(script) as upstream:
        house = serve(upstream_idle_timeout_s=0.05)
        storing_in(house, upstream)()
        answer = house.client().post("/v1/chat/completions", json={"model": "gpt-5-mini", "messages": [], "stream": True})
    events = answer.text.split("\n\n")
    assert json.loads(events[0].removeprefix("data: ")) == CHUNK
    assert json.loads(events[1].removeprefix("data: "))["error"]["code"] == "upstream_timeout"


@pytest.mark.parametrize(
    ("sent", "whole"),
    [
        (framed(data_event(CHUNK)), 1),
        (framed(data_event(CHUNK)) + b"40\r\ndata: {", 1),
        (framed(data_event(CHUNK) + b'data: {"id"'), 1),
        (framed(data_event(CHUNK) + data_event(CHUNK) + b"da"), 2),
        (framed(data_event(CHUNK)) + b"zz\r\n", 1),
        (b"", 0),
    ],
)
def test_a_stream_that_breaks_off_ends_in_an_error_that_the_client_raises(road, sent, whole):
    road.store()
    road.follows(answering_once(HEAD + sent))
    seen = []
    with openai_client(road.house.address, road.house.keys.project_key) as client:
        stream = client.chat.completions.create(model="gpt-5-mini", messages=[{"role": "user", "content": "Hi"}], stream=True)
        with pytest.raises(openai.APIError) as raised:
            seen.extend(stream)
    assert raised.value.body["code"] in ("upstream_broken", "upstream_invalid_answer")
    assert len(seen) == whole


@pytest.mark.parametrize("ending", ["\n\n", "\r\n\r\n", "\r\r"])
def test_events_pass_byte_for_byte_with_any_line_ends_wherever_they_are_cut(road, ending):
    line = ending[: len(ending) // 2]
    events = f": hello{line}{line}id: 1{line}data: one{line}data: two{ending}event: x{line}data: {{}}{ending}data: [DONE]{ending}".encode()
    road.store()
    for size in (1, 2, 3, 7, 1000):
        pieces = [framed(events[start : start + size]) for start in range(0, len(events), size)]
        road.follows(answering_once(HEAD, *pieces, b"0\r\n\r\n"))
        assert road.chat(stream=True).content == events


def test_a_stream_without_its_last_event_passes_where_the_framing_is_whole(road):
    road.store()
    road.answers(stream_answer(data_event(CHUNK), b"data: unfinished"))
    assert road.chat(stream=True).content == data_event(CHUNK) + b"data: unfinished"


def test_a_responses_stream_ends_in_an_error_event_of_its_own(road):
    road.store()
    road.follows(answering_once(HEAD + framed(b'event: response.created\ndata: {"type":"response.created"}\n\n')))
    with openai_client(road.house.address, road.house.keys.project_key) as client:
        stream = client.responses.create(model="gpt-5-mini", input="Hi", stream=True)
        with pytest.raises(openai.APIError):
            list(stream)


@pytest.mark.parametrize(
    "sent",
    [
        b'HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 100\r\n\r\n{"id":',
        b'HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n5\r\n{"id"\r\n',
    ],
)
def test_a_whole_answer_that_breaks_off_never_looks_complete(road, sent):
    road.store()
    road.follows(answering_once(sent))
    with pytest.raises(httpx.RemoteProtocolError):
        road.chat()


@pytest.mark.parametrize(
    "sent", [b"SSH-2.0-OpenSSH\r\n", b"HTTP/1.1 999 Odd\r\ncontent-length: 0\r\n\r\n", b"HTTP/1.1 101 Up\r\nupgrade: x\r\n\r\n"]
)
def test_what_is_no_answer_is_502(road, sent):
    road.store()
    road.follows(answering_once(sent))
    answer = road.chat()
    assert (answer.status_code, answer.json()["error"]["code"]) == (502, "upstream_invalid_answer")


def test_a_translated_stream_that_nothing_came_of_ends_in_an_error_though_its_status_has_no_body(road):
    road.store()
    road.answers(b"HTTP/1.1 204 No Content\r\ncontent-type: text/event-stream\r\n\r\n")
    messages = [{"role": "user", "content": "Hi"}]
    answer = road.post("/v1/messages", {"model": "openai/m", "max_tokens": 9, "stream": True, "messages": messages})
    assert (answer.status_code, answer.text[:13]) == (200, "event: error\n")


@pytest.mark.parametrize("status", [b"300 Multiple Choices", b"307 Temporary Redirect", b"399 Odd"])
def test_a_redirect_is_not_followed_and_not_passed_on(road, status):
    road.store()
    road.answers(json_answer({}, status, b"location: http://127.0.0.1:1/elsewhere\r\n"))
    answer = road.chat()
    assert (answer.status_code, answer.json()["error"]["code"]) == (502, "upstream_redirect")
    assert "location" not in answer.headers


def test_the_last_of_all_good_statuses_is_good(road):
    road.store()
    road.answers(json_answer({"choices": []}, b"299 Good"))
    answer = road.chat()
    assert (answer.status_code, answer.json()) == (299, {"choices": []})


def test_an_address_that_the_policy_refuses_says_which_rule_and_how_to_allow(serve, upstream):
    house = serve(allow_private_addresses=False)
    storing_in(house, upstream)()
    answer = house.client().post("/v1/chat/completions", json={"model": "gpt-5-mini", "messages": []})
    error = answer.json()["error"]
    assert (answer.status_code, error["code"]) == (403, "upstream_blocked")
    assert "loopback_address" in error["message"]
    assert "KEYHOUSE_ALLOWED_ADDRESSES" in error["message"]
    assert upstream.connections == 0


def test_metadata_services_are_never_called(road):
    road.put("custom", {"CUSTOM_BASE_URL": "http://169.254.169.254/latest"})
    assert road.chat("custom/m").json()["error"]["code"] == "upstream_blocked"


@pytest.mark.parametrize("status", [b"400 Bad Request", b"401 Unauthorized", b"404 Not Found", b"422 No", b"500 Oops", b"529 Overloaded"])
def test_an_upstreams_error_comes_back_with_its_status_and_words(road, status):
    body = {"error": {"message": "In their own words", "type": "their_type", "param": "p", "code": "their_code"}}
    road.store()
    road.answers(json_answer(body, status, b"retry-after: 30\r\nx-request-id: req_9\r\n"))
    answer = road.chat()
    assert (answer.status_code, answer.json()) == (int(status[:3]), body)
    assert (answer.headers["retry-after"], answer.headers["x-request-id"]) == ("30", "req_9")


def test_an_upstreams_error_that_repeats_the_key_comes_back_without_it(road):
    road.store(extraHeaders=[{"key": "X-Gate", "value": 'gate-"secret"-value'}])
    road.answers(lambda request: json_answer({"error": {"message": request.head.decode()}}, b"401 Unauthorized"))
    answer = road.chat()
    assert answer.status_code == 401
    assert openai_api.KEY not in answer.text
    assert "secret" not in answer.text
    assert "authorization: Bearer ***" in answer.text
    assert "x-gate: ***" in answer.text.lower()


@pytest.mark.parametrize("size", [0, 70_000, 1_000_000, 5_000_000])
def test_a_caller_who_leaves_while_waiting_closes_the_upstream(road, size):
    asked, left = threading.Event(), threading.Event()

    async def script(peer: Peer) -> None:
        await peer.request()
        asked.set()
        await peer.left()
        left.set()

    road.store()
    road.follows(script)
    with leaving(road.house, {"model": "gpt-5-mini", "messages": [{"role": "user", "content": "x" * size}]}):
        assert asked.wait(30)
        assert not left.is_set()
    assert left.wait(30)


def test_a_caller_who_leaves_a_stream_closes_the_upstream(road):
    left = threading.Event()

    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(HEAD + framed(data_event(CHUNK)))
        await peer.left()
        left.set()

    road.store()
    road.follows(script)
    with leaving(road.house, {"model": "gpt-5-mini", "messages": [], "stream": True}) as connected:
        answer = b""
        while b"Hello" not in answer:
            answer += connected.recv(65536)
        assert not left.is_set()
    assert left.wait(30)


@pytest.mark.parametrize("begun", [False, True])
def test_a_caller_who_leaves_is_no_failure_of_the_house(serve, capfd, begun):
    asked = threading.Event()

    async def script(peer: Peer) -> None:
        await peer.request()
        if begun:
            await peer.send(HEAD + framed(data_event(CHUNK)))
        asked.set()
        await peer.left()

    with running_upstream(script) as upstream:
        house = serve()
        storing_in(house, upstream)()
        with leaving(house, {"model": "gpt-5-mini", "messages": [], "stream": True}) as connected:
            assert asked.wait(30)
            if begun:
                assert connected.recv(65536)
        left = 'keyhouse_errors_total{code="caller_left"} 1'
        nobody = house.anonymous()
        told = next((text for _ in range(1000) if left in (text := nobody.get("/metrics").text)), "")
        assert left in told
        assert 'code="internal"' not in told
        house.stop()
    assert "request failed" not in "".join(capfd.readouterr())


def leaving(house, body) -> socket.socket:
    """A caller's connection that has sent a request; leaves as its block ends."""
    parts = urlsplit(house.address)
    connected = socket.create_connection((parts.hostname, parts.port), timeout=10)
    content = json.dumps(body).encode()
    head = f"POST /v1/chat/completions HTTP/1.1\r\nhost: a\r\nauthorization: Bearer {house.keys.project_key}\r\n"
    connected.sendall(head.encode() + b"content-length: %d\r\n\r\n%b" % (len(content), content))
    return connected


def test_a_body_over_the_limit_is_413_before_it_is_read(serve, upstream):
    house = serve(max_request_bytes=1000)
    storing_in(house, upstream)()
    for content in (b"x" * 2000, iter([b"x" * 600, b"x" * 600])):
        answer = httpx.post(
            f"{house.address}/v1/chat/completions",
            content=content,
            headers={"x-api-key": house.keys.project_key},
            trust_env=False,
            verify=NO_CERTIFICATES,
        )
        assert (answer.status_code, answer.json()["error"]["code"]) == (413, "payload_too_large")
    assert upstream.requests == []


def test_large_bodies_and_answers_pass_whole(road):
    road.store()
    text = "x" * (8 * 1024 * 1024)
    road.answers(lambda request: json_answer({"length": len(request.body), "echo": text}))
    answer = road.chat(padding=text)
    assert answer.json()["echo"] == text
    assert answer.json()["length"] > len(text)


def test_a_raw_stream_of_the_client_is_left_early_without_trouble(road):
    road.store()
    events = [data_event(openai_api.chunk("gpt-5-mini", {"content": str(number)}, None)) for number in range(2000)]
    road.answers(stream_answer(*events, b"data: [DONE]\n\n"))
    with openai_client(road.house.address, road.house.keys.project_key) as client:
        stream = client.chat.completions.create(model="gpt-5-mini", messages=[{"role": "user", "content": "Hi"}], stream=True)
        assert next(stream).choices[0].delta.content == "0"
        stream.close()
    assert len(stream_of(road)) == 2000
