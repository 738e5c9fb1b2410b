"""The caller's side of HTTP on raw sockets: what is no request, requests behind one another, old callers, and those who ask first."""

import asyncio
import json
import select
import socket
import threading

import pytest

from keyhouse.web import http_protocol
from tests.gateway.fault_upstream import Peer
from tests.gateway_road.test_http_edge import BODY, answer, chunked, connected, head, is_closed, piece_of
from tests.gateway_road.upstreams import json_answer

BIG = 8 * 1024 * 1024


def everything(connection: socket.socket) -> bytes:
    """All that comes until the end."""
    return b"".join(iter(lambda: piece_of(connection), b""))


def read_over(connection: socket.socket) -> None:
    """Read to the end, which must be one."""
    while connection.recv(65536):
        pass


def body_of(*parts: bytes) -> bytes:
    return b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in parts) + b"0\r\n\r\n"


def bad_key(request: bytes) -> bytes:
    return request.replace(b"Bearer sk-lw-", b"Bearer sk-lw-wrong")


# Framing of requests


@pytest.mark.parametrize("cut", [1, 3, 1000])
def test_a_chunked_body_is_put_together_wherever_it_is_cut(road, cut):
    road.store()
    whole = chunked(road) + body_of(BODY[:1], BODY[1:7], BODY[7:])
    with connected(road) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for start in range(0, len(whole), cut):
            connection.sendall(whole[start : start + cut])
        assert answer(connection)[0].startswith(b"HTTP/1.1 200")
    assert road.sent["messages"] == json.loads(BODY)["messages"]


@pytest.mark.parametrize(
    "line",
    [
        b"transfer-encoding: chunked",
        b"content-length: 5",
        b"transfer-encoding: identity",
        b"transfer-encoding: xchunked",
        b"content-length: -1",
        b"content-length: +7",
        b"a header without a colon",
        b"spaced : name",
        b"nul: a\0b",
        b": nameless",
        b"x-a: b\r\n folded: c",
        b"transfer-encoding:\r\n chunked",
        b"x-a: b\nx-c: d",
        b"x-a: b\rx-c: d",
        b"transfer-encoding: \x0bchunked",
        b"x-\xff: odd",
    ],
)
def test_a_head_that_could_be_read_in_two_ways_is_refused_and_the_connection_closed(road, line):
    road.store()
    with connected(road) as connection:
        connection.sendall(head(road, line) + BODY)
        assert everything(connection).startswith(b"HTTP/1.1 400 ")
    assert road.upstream.requests == []


@pytest.mark.parametrize(
    "body",
    [
        b"zz\r\n",
        b"5\r\nabcdefgh",
        b"5;\0\r\nabcde\r\n0\r\n\r\n",
        b"-1\r\n\r\n",
        b"fffffffffffffffff\r\n",
        b"+5\r\n",
        b"0x5\r\n",
        b" 5\r\n",
        b"5 \r\n",
        b"5\nabcde\n0\n\n",
        b'5;a="\r\n"\r\n',
    ],
)
def test_a_chunk_that_is_none_ends_the_request_and_reaches_no_upstream(road, body):
    road.store()
    with connected(road) as connection:
        connection.sendall(chunked(road) + body)
        assert everything(connection).startswith(b"HTTP/1.1 400 ")
    assert road.upstream.requests == []


def test_a_trailer_never_becomes_a_header(road):
    road.store()
    named = b"anthropic-beta: smuggled"
    with connected(road) as connection:
        connection.sendall(chunked(road) + body_of(BODY)[:-2] + named + b"\r\n\r\n")
        assert answer(connection)[0].startswith(b"HTTP/1.1 200")
    assert b"smuggled" not in road.request.head


def test_a_request_inside_another_ones_body_is_none(road):
    road.store()
    inner = head(road) + BODY
    with connected(road) as connection:
        connection.sendall(head(road, length=len(inner)) + inner + head(road) + BODY)
        assert answer(connection)[0].startswith(b"HTTP/1.1 400")
        assert answer(connection)[0].startswith(b"HTTP/1.1 200")
    assert len(road.upstream.requests) == 1


@pytest.mark.parametrize("target", [b"CONNECT a:443", b"GET a:443", b"GET http://", b"GET /v1/\xff"])
def test_a_target_that_is_none_is_refused(road, target):
    with connected(road) as connection:
        connection.sendall(target + b" HTTP/1.1\r\nhost: a\r\n\r\n")
        assert everything(connection).startswith(b"HTTP/1.1 4")


def test_a_target_may_be_encoded_or_whole(road):
    for target in (b"/v1/%75nknown", b"http://a/v1/unknown"):
        with connected(road) as connection:
            connection.sendall(b"GET " + target + b" HTTP/1.1\r\nhost: a\r\n\r\n")
            assert b"There is no such endpoint" in answer(connection)[1]


@pytest.mark.parametrize(
    "target", [b"/v1/%2e%2e/api/model-providers", b"/v1/../api/model-providers", b"//v1/models", b"/%2fv1/models", b"/api/%2e%2e/v1/models"]
)
def test_a_path_leads_nowhere_but_where_it_says(road, target):
    with connected(road) as connection:
        connection.sendall(head(road, length=0).replace(b"POST /v1/chat/completions", b"GET " + target))
        assert answer(connection)[0].startswith(b"HTTP/1.1 404 ")


@pytest.mark.parametrize("path", [b"/v1/chat/completions", b"/api/model-providers/openai"])
def test_a_length_of_very_many_zeros_is_refused(road, path):
    request = head(road, length=100_000).replace(b"POST /v1/chat/completions", b"PUT " + path)
    with connected(road) as connection:
        connection.sendall(request.replace(b"content-length: ", b"content-length: " + b"0" * 5000))
        assert everything(connection).startswith(b"HTTP/1.1 400 ")


# One request after the other


def test_a_connection_goes_on_after_an_error(road):
    road.store()
    with connected(road) as connection:
        for request, status in ((bad_key(head(road)), 401), (head(road), 200), (bad_key(chunked(road)), 401), (chunked(road), 200)):
            connection.sendall(request + (body_of(BODY) if b"chunked" in request else BODY))
            assert answer(connection)[0].startswith(b"HTTP/1.1 %d " % status)


def test_a_body_that_nobody_wants_is_read_over_before_the_next_request(road):
    road.store()
    with connected(road) as connection:
        connection.sendall(bad_key(head(road, length=1_000_000)))
        assert answer(connection)[0].startswith(b"HTTP/1.1 401")
        connection.sendall(b"x" * 1_000_000 + head(road) + BODY)
        assert answer(connection)[0].startswith(b"HTTP/1.1 200")


def test_a_body_that_nobody_wants_and_never_comes_is_given_up(road, monkeypatch):
    monkeypatch.setattr(http_protocol, "BODY_IDLE_TIMEOUT_S", 0.05)
    with connected(road) as connection:
        connection.sendall(bad_key(head(road)))
        assert answer(connection)[0].startswith(b"HTTP/1.1 401")
        assert is_closed(connection)


def test_a_body_that_nobody_wants_does_not_come_without_end(road, monkeypatch):
    monkeypatch.setattr(http_protocol, "MAX_UNREAD_BYTES", 100_000)
    with connected(road) as connection:
        connection.sendall(bad_key(head(road, length=BIG)))
        assert answer(connection)[0].startswith(b"HTTP/1.1 401")
        with pytest.raises(OSError, match=r"reset|Broken pipe"):
            connection.sendall(b"x" * BIG)


def test_pipelined_requests_of_the_gateway_and_of_other_rooms_are_answered_in_their_order(road):
    road.store()
    other = b"GET /healthz HTTP/1.1\r\nhost: a\r\n\r\n"
    unknown = b"GET /v1/unknown HTTP/1.1\r\nhost: a\r\n\r\n"
    last = other.replace(b"host: a", b"host: a\r\nconnection: close")
    with connected(road) as connection:
        connection.sendall(head(road) + BODY + other + unknown + head(road) + BODY + last)
        received = everything(connection)
    assert received.count(b"HTTP/1.1 200 OK") == 4
    places = [received.index(mark) for mark in (b"You said", b'"ok"', b"There is no such endpoint")]
    assert places == sorted(places)
    assert received.index(b"There is") < received.rindex(b"You said") < received.rindex(b'"ok"')


def test_very_many_pipelined_requests_are_all_answered(road):
    road.store()
    count = 300
    with connected(road) as connection:
        sender = threading.Thread(target=connection.sendall, args=((head(road) + BODY) * count,))
        sender.start()
        received = b""
        while received.count(b"You said: Hi") < count:
            received += connection.recv(1 << 20)
        sender.join()
    assert received.count(b"HTTP/1.1 200 OK") == count


def test_pipelined_requests_are_read_no_further_than_they_are_answered(road):
    road.store()
    answering = threading.Event()

    async def script(peer: Peer) -> None:
        await peer.request()
        await asyncio.to_thread(answering.wait, 30)
        await peer.send(json_answer({}))

    road.follows(script)
    asked = b"GET /healthz HTTP/1.1\r\nhost: a\r\n\r\n" * 1000
    with connected(road) as connection:
        connection.sendall(head(road) + BODY)
        sent = 0
        # Some megabytes wait in the system.
        while sent < 24_000_000 and select.select([], [connection], [], 0.5)[1]:
            sent += connection.send(asked)
        answering.set()
    assert sent < 24_000_000


def test_a_pipelined_body_larger_than_what_is_held_waits_its_turn(road):
    road.store()
    large = json.dumps({"model": "gpt-5-mini", "messages": [{"role": "user", "content": "x" * 2_000_000}]}).encode()
    with connected(road) as connection:
        sender = threading.Thread(target=connection.sendall, args=((head(road) + BODY + head(road, length=len(large)) + large),))
        sender.start()
        assert answer(connection)[0].startswith(b"HTTP/1.1 200")
        assert answer(connection)[0].startswith(b"HTTP/1.1 200")
        sender.join()
    assert [len(request.body) for request in road.upstream.requests] == [len(BODY), len(large)]


def test_a_pipelined_body_that_pauses_for_too_long_is_given_up(road, monkeypatch):
    road.store()
    monkeypatch.setattr(http_protocol, "BODY_IDLE_TIMEOUT_S", 0.05)
    with connected(road) as connection:
        connection.sendall(head(road) + BODY + head(road) + BODY[:10])
        received = everything(connection)
    assert received.count(b"HTTP/1.1 200 OK") == 1
    assert len(road.upstream.requests) == 1


def test_nonsense_behind_a_request_is_not_answered_before_it(road):
    road.store()
    with connected(road) as connection:
        connection.sendall(head(road) + BODY + b"nonsense\r\n\r\n")
        received = everything(connection)
    assert received.startswith(b"HTTP/1.1 200 OK")
    assert received.count(b"HTTP/1.1") == 1


def test_a_caller_who_closes_gets_the_answer_first(road):
    road.store()
    with connected(road) as connection:
        connection.sendall(head(road, b"connection: close") + BODY)
        received = everything(connection)
    assert received.startswith(b"HTTP/1.1 200 OK")
    assert b"connection: close" in received
    assert b"You said: Hi" in received


# Old and bodiless


def test_http_1_0_gets_no_chunks_and_its_end_by_the_end_of_the_connection(road):
    road.store()
    streamed = json.dumps({"model": "gpt-5-mini", "stream": True, "messages": [{"role": "user", "content": "Hi"}]}).encode()
    with connected(road) as connection:
        connection.sendall(head(road, length=len(streamed)).replace(b"HTTP/1.1", b"HTTP/1.0") + streamed)
        begun, _, body = everything(connection).partition(b"\r\n\r\n")
    assert b"transfer-encoding" not in begun
    assert b"connection: close" in begun
    assert body.startswith(b"data: ")
    assert body.endswith(b"data: [DONE]\n\n")


def test_http_1_0_sees_an_answer_that_breaks_off_as_broken(road):
    road.store()

    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(b"HTTP/1.1 200 OK\r\ncontent-type: audio/mpeg\r\ntransfer-encoding: chunked\r\n\r\n5\r\nabcde\r\n")

    road.follows(script)
    with connected(road) as connection:
        connection.sendall(head(road).replace(b"HTTP/1.1", b"HTTP/1.0") + BODY)
        with pytest.raises(ConnectionResetError):
            read_over(connection)


def test_http_1_0_gets_no_second_answer_behind_one_that_ends_with_the_connection(road):
    road.store()
    streamed = json.dumps({"model": "gpt-5-mini", "stream": True, "messages": [{"role": "user", "content": "Hi"}]}).encode()
    first = head(road, b"connection: keep-alive", length=len(streamed)).replace(b"HTTP/1.1", b"HTTP/1.0") + streamed
    with connected(road) as connection:
        connection.sendall(first + (b"GET /healthz HTTP/1.0\r\nconnection: keep-alive\r\n\r\n") * 2)
        received = everything(connection)
    assert received.endswith(b"data: [DONE]\n\n")


def test_http_1_0_is_not_told_to_go_on(road):
    road.store()
    with connected(road) as connection:
        connection.sendall(head(road, b"expect: 100-continue").replace(b"HTTP/1.1", b"HTTP/1.0"))
        assert road.http.get("/healthz").status_code == 200
        connection.sendall(BODY)
        assert everything(connection).startswith(b"HTTP/1.1 200 OK")


@pytest.mark.parametrize("line", [b"GET /healthz HTTP/2.0", b"GET /healthz HTTP/0.9", b"GET /healthz"])
def test_another_version_of_http_is_refused(road, line):
    with connected(road) as connection:
        connection.sendall(line + b"\r\nhost: a\r\n\r\n")
        assert everything(connection).startswith(b"HTTP/1.1 400 ")


@pytest.mark.parametrize("path", [b"/v1/models", b"/v1/chat/completions", b"/healthz"])
def test_head_gets_a_head_alone(road, path):
    with connected(road) as connection:
        connection.sendall(b"HEAD " + path + b" HTTP/1.1\r\nhost: a\r\n\r\nGET /healthz HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n")
        received = everything(connection)
    first, _, rest = received.partition(b"\r\n\r\n")
    assert b"content-length: " in first
    assert rest.startswith(b"HTTP/1.1 200 OK")


@pytest.mark.parametrize("length", [b"", b"content-length: 5\r\n"])
def test_an_answer_without_a_body_has_no_framing(road, length):
    road.store()
    road.answers(b"HTTP/1.1 204 No Content\r\n" + length + b"x-request-id: a\r\n\r\n")
    with connected(road) as connection:
        connection.sendall(head(road, b"connection: close") + BODY)
        begun, _, rest = everything(connection).partition(b"\r\n\r\n")
    assert begun.startswith(b"HTTP/1.1 204 ")
    assert b"transfer-encoding" not in begun
    assert b"content-length" not in begun
    assert rest == b""


# Callers who ask first


def test_a_caller_who_asked_first_and_was_refused_can_not_go_on(road):
    with connected(road) as connection:
        connection.sendall(bad_key(head(road, b"expect: 100-continue")))
        received = everything(connection)
    assert received.startswith(b"HTTP/1.1 401 ")
    assert b"connection: close" in received


def test_a_caller_who_asks_and_does_not_wait_is_answered_once(road):
    road.store()
    with connected(road) as connection:
        connection.sendall(head(road, b"expect: 100-continue", b"connection: close") + BODY)
        received = everything(connection)
    assert received.startswith(b"HTTP/1.1 200 OK")
