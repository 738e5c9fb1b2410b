"""What is tried again, how often, and what never is."""

import itertools
import threading
import time
from email.utils import formatdate

import pytest

from tests.gateway.fault_upstream import Peer
from tests.gateway_road.conftest import storing_in
from tests.gateway_road.upstreams import json_answer, running_upstream

BUSY = b"429 Too Many Requests"
AWAY = b"503 Service Unavailable"


def answering_in_turn(*answers: bytes):
    """Each request gets the next answer, whatever connection it comes on; the last one again and again."""
    following = itertools.chain(answers, itertools.repeat(answers[-1]))

    async def script(peer: Peer) -> None:
        while True:
            await peer.request()
            await peer.send(next(following))

    return script


def failing(status: bytes, headers: bytes = b"") -> bytes:
    return json_answer({"error": {"message": "Busy", "type": "t", "param": None, "code": None}}, status, headers)


GOOD = json_answer({"choices": []})


@pytest.mark.parametrize("status", [BUSY, AWAY])
@pytest.mark.parametrize("header", [b"retry-after: 0\r\n", b"retry-after-ms: 20\r\n", b"retry-after: 0.01\r\n"])
def test_an_answer_that_asks_to_come_back_soon_is_tried_twice_again(road, status, header):
    road.store()
    road.follows(answering_in_turn(failing(status, header), failing(status, header), GOOD))
    assert road.chat().status_code == 200
    assert len(road.upstream.requests) == 3


def test_no_more_than_two_more_tries_and_the_last_answer_is_the_callers(road):
    road.store()
    road.follows(answering_in_turn(failing(BUSY, b"retry-after: 0\r\n")))
    answer = road.chat()
    assert (answer.status_code, answer.headers["retry-after"]) == (429, "0")
    assert len(road.upstream.requests) == 3


@pytest.mark.parametrize(
    "headers",
    [
        b"",
        b"retry-after: 3\r\n",
        b"retry-after: soon\r\n",
        b"retry-after: inf\r\n",
        b"retry-after-ms: nan\r\n",
        b"x-should-retry: false\r\nretry-after: 0\r\n",
    ],
)
def test_a_429_that_does_not_ask_for_it_is_not_tried_again(road, headers):
    road.store()
    road.follows(answering_in_turn(failing(BUSY, headers), GOOD))
    assert road.chat().status_code == 429
    assert len(road.upstream.requests) == 1


def test_a_date_is_read_too(road):
    road.store()
    road.follows(answering_in_turn(failing(BUSY, f"retry-after: {formatdate(time.time() - 5, usegmt=True)}\r\n".encode()), GOOD))
    assert road.chat().status_code == 200
    later = f"retry-after: {formatdate(time.time() + 60, usegmt=True)}\r\n".encode()
    road.follows(answering_in_turn(failing(BUSY, later), GOOD))
    assert road.chat().status_code == 429


def test_a_503_that_says_nothing_is_tried_once_more(road):
    road.store()
    road.follows(answering_in_turn(failing(AWAY)))
    assert road.chat().status_code == 503
    assert len(road.upstream.requests) == 2


def test_an_answer_that_is_not_the_last_is_left_although_it_has_not_ended(road):
    left = threading.Event()

    async def script(peer: Peer) -> None:
        await peer.request()
        if peer.number == 0:
            await peer.send(b"HTTP/1.1 503 Away\r\ncontent-length: 100\r\nretry-after: 0\r\n\r\n{")
            await peer.left()
            left.set()
        await peer.send(GOOD)

    with running_upstream(script) as upstream:
        storing_in(road.house, upstream)()
        assert road.chat().status_code == 200
        assert left.wait(30)


@pytest.mark.parametrize("status", [b"500 Oops", b"502 Bad Gateway", b"504 Late", b"408 Late", b"409 Conflict", b"529 Overloaded"])
def test_other_errors_are_not_tried_again(road, status):
    road.store()
    road.follows(answering_in_turn(failing(status, b"retry-after: 0\r\n"), GOOD))
    assert road.chat().status_code == int(status[:3])
    assert len(road.upstream.requests) == 1


def test_a_header_turns_retries_off_for_one_request(road):
    road.store()
    road.follows(answering_in_turn(failing(BUSY, b"retry-after: 0\r\n"), GOOD))
    assert road.chat(x_keyhouse_retries_header="0").status_code == 429
    assert len(road.upstream.requests) == 1
    assert b"x-keyhouse" not in road.request.head


@pytest.mark.parametrize("asked", ["50", "9" * 5000])
def test_a_header_cannot_ask_for_more_tries_than_the_house_allows(road, asked):
    road.store()
    road.follows(answering_in_turn(failing(BUSY, b"retry-after: 0\r\n")))
    road.chat(x_keyhouse_retries_header=asked)
    assert len(road.upstream.requests) == 3


@pytest.mark.parametrize("year", ["99999999999 00:00:00", "2024 00:00:00 +9999999999999999"])
def test_a_date_that_is_none_asks_for_nothing(road, year):
    road.store()
    road.follows(answering_in_turn(failing(BUSY, f"retry-after: Mon, 01 Jan {year}\r\n".encode())))
    assert road.chat().status_code == 429


def test_a_connection_that_takes_the_request_and_breaks_is_not_tried_again(road):
    async def script(peer: Peer) -> None:
        await peer.request()

    road.store()
    road.follows(script)
    answer = road.chat()
    assert (answer.status_code, answer.json()["error"]["code"]) == (502, "upstream_broken")
    assert answer.headers["x-should-retry"] == "false"
    assert len(road.upstream.requests) == 1


def test_a_kept_alive_connection_that_is_closed_is_replaced_without_a_word(road):
    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(GOOD)
        await peer.request()

    road.store()
    road.follows(script)
    assert [road.chat().status_code for _ in range(3)] == [200, 200, 200]
    assert road.upstream.connections >= 3
