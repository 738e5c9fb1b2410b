"""What of an upstream's error reaches the caller: its status and its words, however many they are, and no secret of the call."""

import asyncio
import base64
import gzip
import json
import zlib

import openai
import pytest

from tests.gateway.fault_upstream import Peer, response
from tests.gateway_road import openai_api
from tests.gateway_road.conftest import openai_client, storing_in
from tests.gateway_road.upstreams import answered_by, json_answer

MIB = 1024 * 1024
HEADERS = b"content-type: application/json\r\nretry-after: 30\r\nx-request-id: req_1\r\n"


@pytest.mark.parametrize("size", [MIB - 100, MIB + 1, 5 * MIB])
@pytest.mark.parametrize("framing", ["length", "chunks", "close"])
def test_an_error_of_any_size_ends_well_with_the_upstreams_status(road, size, framing):
    body = b'{"error":{"message":"' + b"x" * size + b'","type":"t","code":"c"}}'
    head = b"HTTP/1.1 418 Odd\r\n" + HEADERS

    async def script(peer: Peer) -> None:
        await peer.request()
        if framing == "length":
            await peer.send(head + b"content-length: %d\r\n\r\n" % len(body), body)
        elif framing == "chunks":
            await peer.send(head + b"transfer-encoding: chunked\r\n\r\n%x\r\n" % len(body), body, b"\r\n0\r\n\r\n")
        else:
            await peer.send(head + b"connection: close\r\n\r\n", body)

    road.store()
    road.follows(script)
    answer = road.chat()
    assert answer.status_code == 418
    assert (answer.headers["retry-after"], answer.headers["x-request-id"]) == ("30", "req_1")
    assert int(answer.headers["content-length"]) == len(answer.content)
    assert body.startswith(answer.content)
    assert len(answer.content) == min(len(body), MIB)
    road.follows(script)
    with openai_client(road.house.address, road.house.keys.project_key) as client, pytest.raises(openai.APIStatusError) as raised:
        client.chat.completions.create(model="gpt-5-mini", messages=[{"role": "user", "content": "Hi"}])
    assert raised.value.status_code == 418


def test_a_large_error_is_told_in_the_other_format_too(road):
    road.store()
    road.answers(lambda request: json_answer({"error": {"message": "x" * 2 * MIB, "type": "t"}}, b"503 No", b"retry-after: 30\r\n"))
    answer = road.post("/v1/messages", {"model": "openai/gpt-5", "max_tokens": 9, "messages": [{"role": "user", "content": "Hi"}]})
    assert (answer.status_code, answer.json()["type"], answer.headers["retry-after"]) == (503, "error", "30")


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/messages"])
def test_a_secret_is_hidden_although_it_is_sent_otherwise_than_it_was_stored(road, path):
    road.put("openai", {"OPENAI_API_KEY": f" {openai_api.KEY}\n", "OPENAI_BASE_URL": f"{road.upstream.address}/v1"})
    told = json_answer({"error": {"message": f"{openai_api.KEY} is wrong"}}, b"401 No")
    road.answers(told)
    assert openai_api.KEY not in road.post(path, {"model": "openai/m", "max_tokens": 9, "messages": []}).text
    assert road.request.header(b"authorization") == [f"Bearer {openai_api.KEY}".encode()]


@pytest.mark.parametrize(
    "spelt",
    [
        "a/b+c<d>&é-12345",
        "a\\/b+c<d>&\\u00e9-12345",
        "a/b+c\\u003cd\\u003e\\u0026\\u00e9-12345",
        "a/b\\u002Bc\\u003Cd\\u003E\\u0026\\u00E9-12345",
    ],
)
def test_a_secret_is_hidden_however_json_spells_it(road, spelt):
    road.store(extraHeaders=[{"key": "X-Gate", "value": "a/b+c<d>&é-12345"}])
    road.answers(response(f'{{"error":{{"message":"{spelt} is wrong"}}}}'.encode(), status=b"401 No"))
    assert road.chat().json() == {"error": {"message": "*** is wrong"}}


def test_of_two_secrets_the_longer_is_hidden_whole_and_a_short_value_is_none(road):
    road.store(extraHeaders=[{"key": "X-Gate", "value": f"{openai_api.KEY}-and-more"}, {"key": "X-On", "value": "on"}])
    road.answers(json_answer({"error": {"message": f"{openai_api.KEY}-and-more or {openai_api.KEY} is wrong on one"}}, b"401 No"))
    assert road.chat().json()["error"]["message"] == "*** or *** is wrong on one"


def test_of_a_header_that_holds_a_token_the_token_is_hidden(road):
    road.store(extraHeaders=[{"key": "Authorization", "value": "Bearer token-of-a-gateway"}, {"key": "X-Team", "value": "our research"}])
    road.answers(json_answer({"error": {"message": "token-of-a-gateway of our research, bearer of research"}}, b"401 No"))
    assert road.chat().json()["error"]["message"] == "*** of ***, bearer of research"


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/messages"])
def test_a_secret_in_an_errors_headers_is_hidden(road, path):
    road.store()
    headers = f"x-request-id: {openai_api.KEY}\r\nx-ratelimit-scope: key {openai_api.KEY}\r\nretry-after: 30\r\n".encode()
    road.answers(lambda request: json_answer({"error": {"message": "no"}}, b"429 No", headers))
    answer = road.post(path, {"model": "openai/m", "max_tokens": 9, "messages": []})
    assert openai_api.KEY not in str(answer.headers)
    assert (answer.headers["x-ratelimit-scope"], answer.headers["retry-after"]) == ("key ***", "30")


def test_a_proxy_that_shows_what_it_was_sent_shows_no_password_of_its_own(serve, upstream):
    # For plain http a proxy is asked with the whole address: the upstream stands in for one.
    upstream.script = answered_by(lambda request: json_answer({"error": {"message": request.head.decode()}}, b"403 No"))
    house = serve(http_proxy=upstream.address.replace("://", "://somebody:planted@"))
    storing_in(house, upstream)(customKeys={"OPENAI_API_KEY": openai_api.KEY, "OPENAI_BASE_URL": "http://provider.example/v1"})
    answer = house.client().post("/v1/chat/completions", json={"model": "openai/m", "messages": []})
    sent = base64.b64encode(b"somebody:planted")
    assert upstream.requests[0].header(b"proxy-authorization") == [b"Basic " + sent]
    assert (answer.status_code, "proxy-authorization" in answer.text, sent.decode() in answer.text) == (403, True, False)


def test_a_secret_is_hidden_without_the_white_space_it_is_stored_with(road):
    road.store(extraHeaders=[{"key": "X-Gate", "value": " key-of-a-gateway "}])
    road.answers(json_answer({"error": {"message": "key-of-a-gateway!"}}, b"401 No"))
    assert road.chat().json()["error"]["message"] == "***!"


@pytest.mark.parametrize("place", [MIB - len(openai_api.KEY) - 1, MIB - len(openai_api.KEY) // 2, MIB - 1])
def test_a_secret_that_lies_across_the_cut_is_hidden_all_the_same(road, place):
    road.store()
    road.answers(lambda request: response(b"x" * place + openai_api.KEY.encode() + b"y" * MIB, status=b"500 Echo"))
    answer = road.chat()
    assert answer.status_code == 500
    assert answer.content.rstrip(b"y").rstrip(b"*") == b"x" * place


def test_a_secret_that_comes_in_two_pieces_at_the_cut_is_hidden_all_the_same(road):
    secret = openai_api.KEY.encode()

    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(b"HTTP/1.1 500 Echo\r\ncontent-length: %d\r\n\r\n" % (MIB + len(secret)), b"x" * (MIB - 8) + secret[:12])
        for _ in range(10):  # so that the rest comes by itself
            await asyncio.to_thread(road.http.get, "/healthz")
        await peer.send(secret[12:] + b"y" * 8)

    road.store()
    road.follows(script)
    assert road.chat().content == b"x" * (MIB - 8) + b"***yyyyy"


def test_an_error_that_never_ends_is_cut_and_its_connection_left(road):
    async def endless(peer: Peer) -> None:
        await peer.request()
        await peer.send(b"HTTP/1.1 500 Endless\r\ntransfer-encoding: chunked\r\n\r\n")
        while True:
            await peer.send(b"10000\r\n" + b"x" * 65536 + b"\r\n")

    road.store()
    road.follows(endless)
    answer = road.chat()
    assert (answer.status_code, len(answer.content)) == (500, MIB)
    road.answers(openai_api.answer)
    assert road.chat().status_code == 200


def deflated(body: bytes) -> bytes:
    return zlib.compress(body)


@pytest.mark.parametrize(("encoding", "encode"), [(b"gzip", gzip.compress), (b"x-gzip", gzip.compress), (b"deflate", deflated)])
def test_a_compressed_error_is_read_although_nobody_asked_for_it(road, encoding, encode):
    told = {"error": {"message": f"The key {openai_api.KEY} is wrong.", "type": "t", "code": "wrong_key"}}
    road.store()
    road.answers(
        lambda request: response(encode(json.dumps(told).encode()), status=b"401 No", headers=b"content-encoding: %b\r\n" % encoding)
    )
    answer = road.chat()
    assert (answer.status_code, answer.json()["error"]["message"]) == (401, "The key *** is wrong.")
    assert "content-encoding" not in answer.headers


CUT = gzip.compress(b"x" * 99, mtime=0)[:-20]


@pytest.mark.parametrize(("encoding", "body"), [(b"br", b"\x0b\x02\x80"), (b"gzip", b"no gzip"), (b"gzip", CUT)])
def test_an_error_in_an_encoding_that_cannot_be_read_keeps_its_status(road, encoding, body):
    road.store()
    road.answers(lambda request: response(body, status=b"429 No", headers=b"content-encoding: %b\r\nretry-after: 30\r\n" % encoding))
    with openai_client(road.house.address, road.house.keys.project_key) as client, pytest.raises(openai.RateLimitError) as raised:
        client.chat.completions.create(model="gpt-5-mini", messages=[{"role": "user", "content": "Hi"}])
    assert raised.value.response.headers["retry-after"] == "30"
    assert "cannot be read" in raised.value.message or set(raised.value.response.content) == {ord("x")}


def test_a_compressed_error_is_not_blown_up(road):
    road.store()
    bomb = gzip.compress(bytes(64 * MIB))
    road.answers(lambda request: response(bomb, status=b"500 Bomb", headers=b"content-encoding: gzip\r\n"))
    answer = road.chat()
    assert (answer.status_code, len(answer.content)) == (500, MIB)


def test_a_secret_that_is_spelt_with_escapes_is_hidden_where_it_is_translated(road):
    road.store_custom()
    escaped = "".join(f"\\u{ord(letter):04x}" for letter in openai_api.KEY)
    road.answers(response(f'[{{"error":{{"message":"{escaped} is wrong"}}}}]'.encode(), status=b"401 No"))
    answer = road.post("/v1/messages", {"model": "custom/m", "max_tokens": 9, "messages": [{"role": "user", "content": "Hi"}]})
    assert answer.json()["error"]["message"] == "*** is wrong"


@pytest.mark.parametrize(
    "body",
    [
        *(b"<html>Busy</html>", b"", b'{"odd":1}', b'{"error":{"odd":1}} ', b"[]", b'{"error":"Slow down."}'),
        *(b'[{"error":{"code":429,"message":"Slow down."}}]', b'{"object":"error","message":"Slow down."}', b'{"detail":"Slow down."}'),
    ],
)
def test_an_error_passes_as_it_is_in_whichever_envelope(road, body):
    road.store()
    road.answers(response(body, status=b"418 Odd"))
    answer = road.chat()
    assert (answer.status_code, answer.content) == (418, body)
