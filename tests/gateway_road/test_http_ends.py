"""How requests of the gateway end otherwise than by their answer: callers who read slowly or leave, and a server that stops."""

import asyncio
import contextlib
import http.client
import json
import socket
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from urllib.parse import urlsplit

import pytest

from keyhouse.web import http_protocol, http_taking
from tests.gateway.fault_upstream import Peer, Script
from tests.gateway_road.conftest import storing_in
from tests.gateway_road.test_http_connections import everything
from tests.gateway_road.test_http_edge import BODY, answer, connected, head

PIECE = b"x" * 1_000_000
PIECES = 40
EVENT = b'data: {"choices":[]}\n\n'
STREAMED = json.dumps({"model": "gpt-5-mini", "stream": True, "messages": []}).encode()
STREAM_HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"


def metric(house, name: str) -> float:
    with house.anonymous() as nobody:
        lines = nobody.get("/metrics").text.splitlines()
    return next((float(line.rpartition(" ")[2]) for line in lines if line.rpartition(" ")[0] == name), 0.0)


def stream_of_two(going_on: threading.Event) -> Script:
    """An upstream's stream: one event, and another one once it may go on."""

    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(STREAM_HEAD, b"%x\r\n%b\r\n" % (len(EVENT), EVENT))
        await asyncio.to_thread(going_on.wait, 20)
        await peer.send(b"%x\r\n%b\r\n0\r\n\r\n" % (len(EVENT), EVENT))

    return script


@pytest.mark.parametrize("is_framed", [False, True])
def test_an_upstream_is_read_no_faster_than_the_caller_reads(road, is_framed):
    road.store()
    begun, finished = threading.Event(), threading.Event()
    framing = b"transfer-encoding: chunked" if is_framed else b"content-length: %d" % (PIECES * len(PIECE))
    piece, end = (b"%x\r\n%b\r\n" % (len(PIECE), PIECE), b"0\r\n\r\n") if is_framed else (PIECE, b"")

    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(b"HTTP/1.1 200 OK\r\ncontent-type: audio/mpeg\r\n" + framing + b"\r\n\r\n")
        begun.set()
        for _ in range(PIECES):
            await peer.send(piece)
        await peer.send(end)
        finished.set()

    road.follows(script)
    with connected(road) as connection:
        connection.sendall(head(road, b"connection: close") + BODY)
        assert begun.wait(30)
        # Time enough for a server that holds all of it to take it.
        for _ in range(100):
            assert road.http.get("/healthz").status_code == 200
        assert not finished.is_set()
        received = everything(connection)
        assert finished.wait(30)
    assert received.endswith(end)
    assert received.count(PIECE[:1]) >= PIECES * len(PIECE)


def test_a_caller_who_reads_no_more_does_not_hold_the_upstream(road, monkeypatch):
    road.store()
    monkeypatch.setattr(http_taking, "TAKE_TIMEOUT_S", 0.05)
    left = threading.Event()

    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(b"HTTP/1.1 200 OK\r\ncontent-type: audio/mpeg\r\ntransfer-encoding: chunked\r\n\r\n")
        try:
            while not peer.reader.at_eof():
                await peer.send(b"%x\r\n%b\r\n" % (len(PIECE), PIECE))
        finally:
            left.set()

    road.follows(script)
    with connected(road) as connection:
        connection.sendall(head(road) + BODY)
        assert left.wait(30)
        assert not everything(connection).endswith(b"0\r\n\r\n")


def test_a_caller_who_leaves_in_the_middle_of_a_body_is_counted_and_calls_nobody(road):
    road.store()
    left = 'keyhouse_errors_total{code="caller_left"}'
    before = metric(road.house, left)
    with connected(road) as connection:
        connection.sendall(head(road, b"expect: 100-continue"))
        assert connection.recv(100).startswith(b"HTTP/1.1 100 ")
        connection.sendall(BODY[:10])
    while metric(road.house, left) == before:
        pass
    assert metric(road.house, left) == before + 1
    assert road.upstream.requests == []


def test_a_caller_who_resets_a_stream_leaves_the_house_well(road):
    road.store()
    left = threading.Event()

    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(STREAM_HEAD)
        try:
            while not peer.reader.at_eof():
                await peer.send(b"%x\r\n%b\r\n" % (len(EVENT), EVENT))
        finally:
            left.set()

    road.follows(script)
    with connected(road) as connection:
        connection.sendall(head(road, length=len(STREAMED)) + STREAMED)
        assert b"200 OK" in connection.recv(65536)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    assert left.wait(30)
    assert road.http.get("/healthz").status_code == 200


def test_half_a_request_behind_a_stream_does_not_end_it(road, monkeypatch):
    road.store()
    monkeypatch.setattr(http_protocol, "HEAD_TIMEOUT_S", 0.01)
    going_on = threading.Event()
    road.follows(stream_of_two(going_on))
    with connected(road) as connection:
        connection.sendall(head(road, length=len(STREAMED)) + STREAMED + b"POST /v1/chat")
        received = connection.recv(65536)
        # By then the time for a head is long over.
        for _ in range(50):
            assert road.http.get("/healthz").status_code == 200
        going_on.set()
        received += everything(connection)
    assert received.count(EVENT) == 2
    assert received.endswith(b"0\r\n\r\n")


@contextmanager
def stopping(house):
    """A house that is told to stop, and has stopped when the block ends."""
    thread = threading.Thread(target=house.stop)
    thread.start()
    yield
    thread.join(30)
    assert not thread.is_alive()


def connected_to(house) -> socket.socket:
    parts = urlsplit(house.address)
    return socket.create_connection((parts.hostname, parts.port), timeout=20)


@contextmanager
def idle(house):
    """A connection that has had its answer."""
    with connected_to(house) as connection:
        connection.sendall(b"GET /healthz HTTP/1.1\r\nhost: a\r\n\r\n")
        assert answer(connection)[0].startswith(b"HTTP/1.1 200 OK")
        yield connection


@contextmanager
def calling(house, body: bytes):
    with connected_to(house) as connection:
        given = (
            f"POST /v1/chat/completions HTTP/1.1\r\nhost: a\r\nx-api-key: {house.keys.project_key}\r\ncontent-length: {len(body)}\r\n\r\n"
        )
        connection.sendall(given.encode() + body)
        yield connection


def test_a_server_that_stops_finishes_what_is_under_way_and_says_that_it_closes(serve, upstream):
    house = serve()
    storing_in(house, upstream)()
    asked, answering = threading.Event(), threading.Event()

    async def script(peer: Peer) -> None:
        await peer.request()
        asked.set()
        await asyncio.to_thread(answering.wait, 20)
        await peer.send(b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n{}")

    upstream.follow(script)
    with idle(house) as unused, calling(house, BODY) as connection:
        assert asked.wait(30)
        with stopping(house):
            assert unused.recv(1) == b""
            answering.set()
            begun, body = answer(connection)
            assert begun.startswith(b"HTTP/1.1 200 OK")
            assert b"connection: close" in begun
            assert body == b"{}"
            assert connection.recv(1) == b""


def test_a_server_that_stops_finishes_a_stream_and_waits_for_no_more(serve, upstream):
    house = serve(shutdown_timeout_s=60)
    storing_in(house, upstream)()
    going_on = threading.Event()
    upstream.follow(stream_of_two(going_on))
    with idle(house) as unused, calling(house, STREAMED) as connection:
        received = connection.recv(65536)
        with stopping(house):
            assert unused.recv(1) == b""
            going_on.set()
            received += everything(connection)
    assert received.count(EVENT) == 2
    assert received.endswith(b"0\r\n\r\n")


@pytest.mark.parametrize("timeout_s", [0, 1])
def test_a_server_that_stops_ends_what_does_not_end_in_time(serve, upstream, timeout_s):
    house = serve(shutdown_timeout_s=timeout_s)
    storing_in(house, upstream)()
    left = threading.Event()

    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(STREAM_HEAD, b"%x\r\n%b\r\n" % (len(EVENT), EVENT))
        await peer.left()
        left.set()

    upstream.follow(script)
    with calling(house, STREAMED) as connection:
        received = connection.recv(65536)
        with stopping(house):
            received += everything(connection)
    assert EVENT in received
    assert not received.endswith(b"0\r\n\r\n")
    assert left.wait(30)


def test_a_server_that_stops_does_not_wait_for_ever_for_a_caller_who_reads_nothing(serve, upstream):
    house = serve(shutdown_timeout_s=1)
    storing_in(house, upstream)()
    begun = threading.Event()

    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(b"HTTP/1.1 200 OK\r\ncontent-type: audio/mpeg\r\ncontent-length: %d\r\n\r\n" % (PIECES * len(PIECE)))
        begun.set()
        for _ in range(PIECES):
            await peer.send(PIECE)

    upstream.follow(script)
    with calling(house, BODY) as connection:
        assert begun.wait(30)
        with stopping(house):
            pass
        assert len(everything(connection)) < PIECES * len(PIECE)


@pytest.mark.parametrize("begun", [0, 9])
def test_who_has_just_connected_to_a_server_that_stops_is_answered_however_slow(serve, begun, monkeypatch):
    """`begun`: how much of its request came before."""
    monkeypatch.setattr(http_protocol, "FIRST_REQUEST_S", 3600.0)
    house = serve(shutdown_timeout_s=60)
    request = b"GET /healthz HTTP/1.1\r\nhost: a\r\n\r\n"
    with idle(house) as unused, connected_to(house) as connection:
        connection.sendall(request[:begun])
        with stopping(house):
            assert unused.recv(1) == b""  # the others are gone by then
            connection.sendall(request[begun:])
            head_of_it, _ = answer(connection)
    assert head_of_it.startswith(b"HTTP/1.1 200 OK")
    assert b"connection: close" in head_of_it


def test_a_server_that_stops_does_not_wait_for_ever_for_who_connects_and_says_nothing(serve, monkeypatch):
    monkeypatch.setattr(http_protocol, "FIRST_REQUEST_S", 0.01)
    house = serve(shutdown_timeout_s=3600)
    with connected_to(house) as connection, stopping(house):
        assert connection.recv(1) == b""


def test_the_last_answer_of_a_server_that_stops_says_so(sqlite_house, monkeypatch):
    """Whoever asks again and again on one connection turns to another server instead of running into its end."""
    monkeypatch.setattr("keyhouse.web.serving._LATE_S", 3600.0)
    where = ("127.0.0.1", urlsplit(sqlite_house.address).port or 0)
    with contextlib.closing(http.client.HTTPConnection(*where, timeout=30)) as caller, ThreadPoolExecutor(1) as thread:
        caller.request("GET", "/healthz")
        assert caller.getresponse().read()
        stopping = thread.submit(sqlite_house.stop)
        with contextlib.suppress(ConnectionRefusedError, ConnectionResetError):
            while not stopping.done():
                socket.create_connection(where, 30).close()
        caller.request("GET", "/healthz")
        answer = caller.getresponse()
        assert (answer.status, answer.headers["connection"]) == (200, "close")
        answer.read()
        stopping.result()
