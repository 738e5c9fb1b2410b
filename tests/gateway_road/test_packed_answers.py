"""Answers framed unusually that have to be read: compressed unasked, without the last blank line, an error as a success."""

import asyncio
import gzip
import json
import threading
import zlib

import anthropic
import openai
import pytest

from tests.gateway.fault_upstream import response
from tests.gateway_road import anthropic_api
from tests.gateway_road.conftest import openai_client
from tests.gateway_road.test_http_edge import BODY, connected, head
from tests.gateway_road.upstreams import json_answer, named_event

MESSAGE = {
    "id": "msg_1",
    "type": "message",
    "role": "assistant",
    "model": "claude-opus-5-5",
    "content": [{"type": "text", "text": "Hello"}],
    "stop_reason": "end_turn",
    "stop_sequence": None,
    "usage": {"input_tokens": 3, "output_tokens": 2},
}
EVENTS = b"".join(
    named_event(event["type"], event)
    for event in (
        {"type": "message_start", "message": {**MESSAGE, "content": [], "stop_reason": None}},
        {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
        {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "Hello"}},
        {"type": "content_block_stop", "index": 0},
        {"type": "message_delta", "delta": {"stop_reason": "end_turn", "stop_sequence": None}, "usage": {"output_tokens": 2}},
        {"type": "message_stop"},
    )
)
JSON, STREAM = b"content-type: application/json\r\n", b"content-type: text/event-stream\r\n"
QUESTION = [{"role": "user", "content": "Hi"}]


@pytest.fixture
def client(road):
    road.put("anthropic", {"ANTHROPIC_API_KEY": anthropic_api.KEY, "ANTHROPIC_BASE_URL": road.upstream.address})
    with openai_client(road.house.address, road.house.keys.project_key) as made:
        yield made


def whole(client):
    return client.chat.completions.create(model="claude-opus-5-5", messages=QUESTION).choices[0].message.content


def streamed(client):
    chunks = client.chat.completions.create(model="claude-opus-5-5", messages=QUESTION, stream=True)
    return "".join(chunk.choices[0].delta.content or "" for chunk in chunks)


@pytest.mark.parametrize(("coding", "pack"), [(b"gzip", gzip.compress), (b"X-GZIP", gzip.compress), (b"deflate", zlib.compress)])
def test_a_compressed_answer_is_read_where_it_is_translated(road, client, coding, pack):
    coded = b"content-encoding: %b\r\n" % coding
    road.answers(response(pack(json.dumps(MESSAGE).encode()), headers=JSON + coded))
    assert whole(client) == "Hello"
    road.answers(response(pack(EVENTS), headers=STREAM + coded))
    assert streamed(client) == "Hello"


@pytest.mark.parametrize("ask", [whole, streamed])
def test_what_can_not_be_unpacked_is_an_error_that_says_so(road, client, ask):
    road.answers(response(b"\x0b\x02\x80Hello\x03", headers=STREAM + b"content-encoding: br\r\n"))
    with pytest.raises(openai.InternalServerError, match=r"compressed its answer \(br\)"):
        ask(client)


@pytest.mark.parametrize(("coding", "body"), [(b"br", b"\x0b\x02\x80Hello\x03"), (b"zstd", b"\x28\xb5\x2f\xfd"), (b"gzip", b"no gzip")])
def test_an_error_that_can_not_be_unpacked_says_so_in_the_callers_format(road, client, coding, body):
    road.store()
    kept = b"retry-after: 30\r\ncontent-encoding: %b\r\n" % coding
    road.answers(response(body, status=b"429 Too Many Requests", headers=b"content-type: text/html\r\n" + kept))
    said = rf"compressed them \({coding.decode()}\)"
    for model in ("openai/gpt-5-mini", "claude-opus-5-5"):
        with pytest.raises(openai.RateLimitError, match=said) as raised:
            client.chat.completions.create(model=model, messages=QUESTION)
        headers = raised.value.response.headers
        assert (headers["content-type"], headers["retry-after"], "content-encoding" in headers) == ("application/json", "30", False)
    answer = road.post("/v1/messages", {"model": "claude-opus-5-5", "max_tokens": 9, "messages": QUESTION})
    assert (answer.status_code, answer.json()["error"]["type"]) == (429, "rate_limit_error")


@pytest.mark.parametrize(("body", "ask"), [(b"no gzip", whole), (b"no gzip", streamed), (gzip.compress(EVENTS, mtime=0)[:-200], streamed)])
def test_an_answer_that_is_not_compressed_as_it_says_is_an_error(road, client, body, ask):
    road.answers(response(body, headers=STREAM + b"content-encoding: gzip\r\n"))
    with pytest.raises(openai.APIError):
        ask(client)


@pytest.mark.parametrize("padding", [b" " * 40_000_000 + b"1,", b'"' + b"a" * 40_000_000 + b'",'], ids=["blanks", "text"])
def test_a_whole_answer_that_unpacks_to_too_much_is_an_error(road, client, padding):
    packed = gzip.compress(b'{"padding":' + padding + json.dumps(MESSAGE).encode()[1:])
    road.answers(response(packed, headers=JSON + b"content-encoding: gzip\r\n"))
    with pytest.raises(openai.InternalServerError, match="not JSON"):
        whole(client)


def test_a_stream_that_unpacks_to_many_times_its_size_is_read_slice_by_slice(road, client):
    """Comments of 30 MB, a few KiB on the wire, and events behind them; and one whose text ends in the middle of a slice's last copy."""
    text = {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "a" * 3_000_000}}
    hello = next(event for event in EVENTS.split(b"\n\n") if b"text_delta" in event)
    many = EVENTS.replace(hello + b"\n\n", hello + b"\n\n" + b": comment\n\n" * 3_000_000 + named_event("content_block_delta", text))
    road.answers(response(gzip.compress(many), headers=STREAM + b"content-encoding: gzip\r\n"))
    assert streamed(client) == "Hello" + "a" * 3_000_000


def test_a_piece_that_unpacks_to_too_much_is_an_error(road, client):
    road.answers(response(gzip.compress(b":" + b"x" * 40_000_000), headers=STREAM + b"content-encoding: gzip\r\n"))
    with pytest.raises(openai.APIError, match="too large"):
        streamed(client)


@pytest.mark.parametrize("kept", [b"\n", b""])
def test_the_last_event_needs_no_blank_line(road, client, kept):
    road.answers(response(EVENTS.rstrip(b"\n") + kept, headers=STREAM))
    assert streamed(client) == "Hello"


def test_a_last_event_that_is_cut_never_ends_well(road, client):
    road.answers(response(EVENTS.rstrip(b"\n")[:-1], headers=STREAM))
    with pytest.raises(openai.APIError):
        streamed(client)


def test_an_error_under_the_status_of_success_is_told(road):
    road.store()
    road.answers(json_answer({"error": {"message": "The quota is used up.", "code": 1113}}))
    with (
        anthropic.Anthropic(base_url=road.house.address, api_key=road.house.keys.project_key, max_retries=0) as client,
        pytest.raises(anthropic.InternalServerError, match=r"quota is used up"),
    ):
        client.messages.create(model="gpt-5-mini", max_tokens=9, messages=QUESTION)


def test_a_compressed_stream_that_is_passed_on_is_passed_as_it_comes(road):
    road.store()
    packed, seen = gzip.compress(b"data: {}\n\n"), threading.Event()

    async def script(peer):
        await peer.request()
        await peer.send(b"HTTP/1.1 200 OK\r\n%bcontent-encoding: gzip\r\ncontent-length: %d\r\n\r\n" % (STREAM, len(packed)), packed[:9])
        await asyncio.to_thread(seen.wait, 20)
        await peer.send(packed[9:])

    road.follows(script)
    with connected(road) as connection:
        connection.sendall(head(road, b"accept-encoding: gzip") + BODY)
        begun = b""
        while not begun.endswith(packed[:9]):
            begun += connection.recv(65536)
        seen.set()
        rest = b""
        while len(rest) < len(packed) - 9:
            rest += connection.recv(65536)
    assert rest == packed[9:]
