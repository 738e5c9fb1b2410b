"""The caller's side of HTTP: heads and pauses are bounded, nobody's wish for another protocol is followed, and `Expect` is answered."""

import json
import socket
from contextlib import contextmanager
from urllib.parse import urlsplit

import pytest

from keyhouse.web import http_protocol

BODY = json.dumps({"model": "gpt-5-mini", "messages": [{"role": "user", "content": "Hi"}]}).encode()


@contextmanager
def connected(road):
    parts = urlsplit(road.house.address)
    with socket.create_connection((parts.hostname, parts.port), timeout=20) as connection:
        yield connection


def key(road) -> bytes:
    return b"authorization: Bearer " + road.house.keys.project_key.encode()


def head(road, *lines: bytes, length: int = len(BODY)) -> bytes:
    given = (b"host: a", key(road), b"content-length: %d" % length, *lines)
    return b"POST /v1/chat/completions HTTP/1.1\r\n" + b"".join(line + b"\r\n" for line in given) + b"\r\n"


def chunked(road, *lines: bytes, coding: bytes = b"chunked") -> bytes:
    """The same of a request in another framing."""
    return head(road, *lines).replace(b"content-length: %d" % len(BODY), b"transfer-encoding: " + coding)


def answer(connection: socket.socket) -> tuple[bytes, bytes]:
    """Head and body of one answer; an empty head for a closed connection."""
    received = b""
    while b"\r\n\r\n" not in received:
        piece = piece_of(connection)
        if not piece:
            return b"", b""
        received += piece
    begun, _, body = received.partition(b"\r\n\r\n")
    length = next(int(line.partition(b":")[2]) for line in begun.lower().split(b"\r\n") if line.startswith(b"content-length:"))
    while len(body) < length:
        body += connection.recv(65536)
    return begun, body


def piece_of(connection: socket.socket) -> bytes:
    """What came; nothing for a connection that was closed, cleanly or not."""
    try:
        return connection.recv(65536)
    except ConnectionResetError:
        return b""


def is_closed(connection: socket.socket) -> bool:
    """Wait for the end of a connection."""
    while piece_of(connection):
        pass
    return True


def test_a_head_of_60_kib_is_read_and_a_larger_one_refused(road):
    road.store()
    with connected(road) as connection:
        connection.sendall(head(road, b"x-filler: " + b"a" * 60_000) + BODY)
        assert answer(connection)[0].startswith(b"HTTP/1.1 200")
        connection.sendall(head(road, b"x-filler: " + b"a" * 70_000) + BODY)
        assert answer(connection)[0].startswith(b"HTTP/1.1 431")
        assert is_closed(connection)
    assert len(road.upstream.requests) == 1


@pytest.mark.parametrize("line", [b"x-filler: " + b"a" * 1000 + b"\r\n", b"a" * 1000])
def test_an_endless_head_is_cut_off(road, line):
    with connected(road) as connection:
        connection.sendall(b"GET /v1/models HTTP/1.1\r\nx-long: ")
        sent = 0
        try:
            while sent < 4_000_000:
                sent += connection.send(line)
        except OSError:
            pass
        assert is_closed(connection)
    assert sent < 4_000_000


def test_endless_trailers_are_cut_off(road):
    road.store()
    with connected(road) as connection:
        connection.sendall(chunked(road) + b"%x\r\n%b\r\n0\r\n" % (len(BODY), BODY))
        sent = 0
        try:
            while sent < 4_000_000:
                sent += connection.send(b"x-trailer: " + b"a" * 1000 + b"\r\n")
        except OSError:
            pass
        assert is_closed(connection)
    assert sent < 4_000_000


def test_a_head_that_does_not_come_to_its_end_in_time_is_given_up(road, monkeypatch):
    monkeypatch.setattr(http_protocol, "HEAD_TIMEOUT_S", 0.05)
    with connected(road) as connection:
        connection.sendall(b"GET /v1/models HTTP/1.1\r\nhost:")
        assert is_closed(connection)


def test_a_body_that_pauses_for_too_long_is_given_up(road, monkeypatch):
    road.store()
    monkeypatch.setattr(http_protocol, "BODY_IDLE_TIMEOUT_S", 0.05)
    with connected(road) as connection:
        connection.sendall(head(road) + BODY[:10])
        assert is_closed(connection)
    assert road.upstream.requests == []


def test_a_connection_that_says_nothing_is_closed(serve, monkeypatch):
    monkeypatch.setattr(http_protocol, "KEEP_ALIVE_S", 0.05)
    house = serve()
    parts = urlsplit(house.address)
    with socket.create_connection((parts.hostname, parts.port), timeout=20) as connection:
        assert is_closed(connection)


def test_requests_that_come_together_are_answered_in_turn(road):
    road.store()
    with connected(road) as connection:
        connection.sendall((head(road) + BODY) * 3)
        received = b""
        while received.count(b"You said: Hi") < 3:
            received += connection.recv(65536)
    assert received.count(b"HTTP/1.1 200 OK") == 3


@pytest.mark.parametrize("cut", [1, 7, 100])
def test_a_request_may_come_in_any_pieces(road, cut):
    road.store()
    whole = head(road) + BODY
    with connected(road) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for start in range(0, len(whole), cut):
            connection.sendall(whole[start : start + cut])
        assert answer(connection)[0].startswith(b"HTTP/1.1 200")


WEBSOCKET = (b"upgrade: websocket", b"connection: Upgrade", b"sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==", b"sec-websocket-version: 13")
H2C = (b"connection: Upgrade, HTTP2-Settings", b"http2-settings: AAEAAEAAAAIAAAABAAMAAABkAAQBAAAAAAUAAEAA", b"upgrade: h2c")


@pytest.mark.parametrize("asked", [WEBSOCKET, H2C])
def test_an_upgrade_is_answered_in_plain_http(road, asked):
    with connected(road) as connection:
        for _ in range(2):
            connection.sendall(b"GET /v1/realtime HTTP/1.1\r\nhost: a\r\n" + b"\r\n".join(asked) + b"\r\n\r\n")
            begun, body = answer(connection)
            assert begun.startswith(b"HTTP/1.1 404")
            assert b"There is no such endpoint" in body


@pytest.mark.parametrize("cut", [1, 50, 10_000])
def test_a_client_that_would_rather_speak_http2_is_answered_as_it_asked(road, cut):
    """Java's own client asks so of every address without TLS, bodies included."""
    road.store()
    whole = head(road, *H2C) + BODY
    with connected(road) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for _ in range(2):
            for start in range(0, len(whole), cut):
                connection.sendall(whole[start : start + cut])
            begun, body = answer(connection)
            assert begun.startswith(b"HTTP/1.1 200")
            assert b"You said: Hi" in body


def test_clients_that_would_rather_speak_http2_may_send_requests_together(road):
    road.store()
    with connected(road) as connection:
        connection.sendall((head(road, *H2C) + BODY) * 2 + head(road, b"connection: close") + BODY)
        assert b"".join(iter(lambda: piece_of(connection), b"")).count(b"You said: Hi") == 3


def test_a_tunnel_is_refused(road):
    with connected(road) as connection:
        connection.sendall(b"CONNECT a:443 HTTP/1.1\r\nhost: a:443\r\n\r\n")
        assert answer(connection)[0].startswith(b"HTTP/1.1 400")
        assert is_closed(connection)


def test_a_caller_who_asks_first_is_told_to_go_on(road):
    road.store()
    with connected(road) as connection:
        connection.sendall(head(road, b"expect: 100-continue"))
        assert connection.recv(65536) == b"HTTP/1.1 100 Continue\r\n\r\n"
        for at in range(0, len(BODY), 16):
            connection.sendall(BODY[at : at + 16])
            assert road.http.get("/healthz").status_code == 200  # so that each piece comes by itself
        assert answer(connection)[0].startswith(b"HTTP/1.1 200")


def test_a_caller_who_asks_first_is_refused_before_the_body(road):
    with connected(road) as connection:
        connection.sendall(head(road, b"expect: 100-continue", length=10**9))
        assert answer(connection)[0].startswith(b"HTTP/1.1 413")


@pytest.mark.parametrize(
    "start",
    [
        b"POST /v1/chat/completions HTTP/1.1\r\n",
        b"POST /v1/chat/completions HTTP/1.1\r\nhost: a\r\nhost: a\r\n",
        b"POST /v1/chat/completions HTTP/1.1\r\nHost: a\r\nx-a: b\r\nHOST: b\r\n",
        b"POST /v1/chat/completions HTTP/1.0\r\nhost: a\r\nhost: b\r\n",
    ],
)
def test_a_request_without_one_host_is_refused(road, start):
    """RFC 9112 section 3.2: whoever stands in front may have taken another one for the request's."""
    road.store()
    with connected(road) as connection:
        connection.sendall(start + key(road) + b"\r\ncontent-length: %d\r\n\r\n%b" % (len(BODY), BODY))
        assert answer(connection)[0].startswith(b"HTTP/1.1 400 ")
        assert is_closed(connection)
    assert road.upstream.requests == []


@pytest.mark.parametrize("coding", [b"gzip, chunked", b"chunked, chunked", b"identity", b"Chunked , gzip"])
def test_a_body_in_another_coding_than_chunks_is_refused(road, coding):
    """RFC 9112 section 6.1: who does not know a coding does not know where the body ends or what it says."""
    road.store()
    with connected(road) as connection:
        connection.sendall(chunked(road, coding=coding) + b"%x\r\n%b\r\n0\r\n\r\n" % (len(BODY), BODY))
        assert answer(connection)[0].startswith(b"HTTP/1.1 400 ")
    assert road.upstream.requests == []


@pytest.mark.parametrize("start", [b"POST /v1/chat/completions HTTP/1.0\r\nhost: a\r\n", b"POST /v1/chat/completions HTTP/1.0\r\n"])
def test_an_old_client_needs_no_host(road, start):
    road.store()
    with connected(road) as connection:
        connection.sendall(start + key(road) + b"\r\ncontent-length: %d\r\n\r\n%b" % (len(BODY), BODY))
        assert answer(connection)[0].startswith(b"HTTP/1.1 200 ")
