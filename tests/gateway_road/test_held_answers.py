"""Answers that are read by the house itself and do not come to their end: told as what they are, and their upstream is left at once."""

import threading

import pytest

from tests.gateway.fault_upstream import Peer, Script
from tests.gateway_road.test_http_edge import connected, head

MESSAGES = b'{"model":"gpt-5-mini","max_tokens":9,"messages":[{"role":"user","content":"Hi"}]}'
BEGUN = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 100\r\n\r\n{"


def held(begun: bytes, asked: threading.Event, left: threading.Event) -> Script:
    """An upstream that begins an answer, and waits until it is left."""

    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(begun)
        asked.set()
        await peer.left()
        left.set()

    return script


def test_a_translated_answer_that_breaks_off_is_told_as_broken(road):
    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(BEGUN)

    road.store()
    road.follows(script)
    answer = road.post("/v1/messages", MESSAGES)
    assert (answer.status_code, answer.json()["type"]) == (502, "error")
    assert "before the end of its answer" in answer.text
    assert answer.headers["x-should-retry"] == "false"


def test_a_caller_who_leaves_while_an_answer_is_read_to_be_translated_closes_the_upstream(road):
    road.store()
    asked, left = threading.Event(), threading.Event()
    road.follows(held(BEGUN, asked, left))
    with connected(road) as connection:
        connection.sendall(head(road, length=len(MESSAGES)).replace(b"/chat/completions", b"/messages") + MESSAGES)
        assert asked.wait(30)
    assert left.wait(30)


@pytest.mark.parametrize("streamed", [False, True])
def test_an_answer_that_is_compressed_in_an_unknown_way_is_left_before_its_end(road, streamed):
    road.store()
    left = threading.Event()
    road.follows(held(BEGUN.replace(b"application/json", b"text/html\r\ncontent-encoding: br"), threading.Event(), left))
    answer = road.post("/v1/messages", MESSAGES[:-1] + (b',"stream":true}' if streamed else b"}"))
    assert (answer.status_code, answer.json()["type"]) == (502, "error")
    assert left.wait(30)


def test_a_translated_stream_says_that_it_is_one(road):
    road.store()
    answer = road.post("/v1/messages", MESSAGES[:-1] + b',"stream":true}')
    assert (answer.status_code, answer.headers["content-type"]) == (200, "text/event-stream; charset=utf-8")


def test_an_answer_without_a_type_passes_as_it_comes(road):
    seen = threading.Event()

    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\none\r\n")
        while not seen.is_set():
            await peer.send(b"3\r\ntwo\r\n")
        await peer.send(b"0\r\n\r\n")

    road.store()
    road.follows(script)
    with connected(road) as connection:
        connection.sendall(head(road, length=len(MESSAGES)) + MESSAGES)
        received = b""
        while b"two" not in received:
            received += connection.recv(65536)
        seen.set()
        while not received.endswith(b"\r\n0\r\n\r\n"):
            received += connection.recv(65536)
    assert b"content-type" not in received
