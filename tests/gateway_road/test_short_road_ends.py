"""What begins on the short road and ends otherwise than by a plain answer: told, noted and forgotten as on the long road."""

import contextlib
import http.client
import json
from collections import deque
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import pytest

from keyhouse.gateway.call import Call
from keyhouse.web.gateway.short_road import ShortCall
from keyhouse.web.http_exchange import HttpExchange
from tests.gateway.fault_upstream import Peer, ReceivedRequest, response
from tests.gateway_road.road_spies import Roads, Told, line_to, watched_roads
from tests.gateway_road.test_forgotten_connections import alive, gone

CHAT = "/v1/chat/completions"
BODY = json.dumps({"model": "gpt-5-mini", "messages": [{"role": "user", "content": "Hi"}]}).encode()
GOOD = response(b'{"usage":{"prompt_tokens":1,"completion_tokens":2}}', headers=b"content-type: application/json\r\n")


@pytest.fixture(scope="module", autouse=True)
def every_road() -> Iterator[Roads]:
    with watched_roads() as roads:
        yield roads


@pytest.fixture
def roads(every_road: Roads, road) -> Roads:
    road.store()
    every_road.forget()
    return every_road


@pytest.mark.usefixtures("uncollected")
@pytest.mark.parametrize("kind", [ShortCall, HttpExchange])
def test_a_call_that_was_answered_is_gone(road, roads, kind: type) -> None:
    road.answers(GOOD)
    with line_to(road.house) as line:
        for _ in range(3):
            assert line.ask(CHAT, BODY).status == 200
        before = alive(kind)
        for _ in range(10):
            assert line.ask(CHAT, BODY).status == 200
        assert roads.ended == ["answered"] * 12
        gone(road.http, kind, before)


SPOILT = {
    "a failure": response(b"{}", status=b"500 Failed"),
    "several pieces": b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1\r\n{\r\n1\r\n}\r\n0\r\n\r\n",
    "no HTTP": b"junk\r\n\r\n",
    "half a head": GOOD[:20],
    "half a body": GOOD[:-3],
    "half a failure": response(b"{}", status=b"500 Failed")[:-1],
    "nothing": b"",
}


@pytest.mark.usefixtures("uncollected")
@pytest.mark.parametrize("kind", [ShortCall, HttpExchange, Call])
@pytest.mark.parametrize("spoilt", SPOILT)
def test_a_call_that_was_not_simply_answered_is_gone(road, roads, kind: type, spoilt: str) -> None:
    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(GOOD)
        await peer.request()
        await peer.send(SPOILT[spoilt])

    road.follows(script)
    before = alive(kind)
    for _ in range(5):
        with line_to(road.house) as line:
            assert line.ask(CHAT, BODY).status == 200
            with contextlib.suppress(http.client.HTTPException, ConnectionError):
                line.ask(CHAT, BODY)
    assert roads.ended == ["went on"] * 5
    gone(road.http, kind, before)


EVENT = b'data: {"choices":[]}\n\n'
LARGE = b'{"a":"' + b"x" * 400_000 + b'","usage":{"prompt_tokens":1,"completion_tokens":2}}'
ERROR = b'{"error":{"message":"No.","type":"some_error","code":"some_code"}}'
Act = bytes | Callable[[Peer], Awaitable[bool | None]]
"""What is sent, or done, instead of an answer; True: the connection ends with it."""


def failure(status: bytes, headers: bytes = b"") -> bytes:
    return response(ERROR, status=status, headers=b"content-type: application/json\r\n" + headers)


def closing(*pieces: bytes) -> Act:
    async def act(peer: Peer) -> bool:
        await peer.send(*pieces)
        return True

    return act


async def resetting(peer: Peer) -> bool:
    peer.reset()
    return True


async def in_single_bytes(peer: Peer) -> None:
    await peer.send(*(GOOD[at : at + 1] for at in range(len(GOOD))))


def framed(*pieces: bytes, lines: bytes = b"") -> bytes:
    return b"HTTP/1.1 200 OK\r\n%btransfer-encoding: chunked\r\n\r\n%b0\r\n\r\n" % (
        lines,
        b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces),
    )


OTHER_ENDS: dict[str, tuple[Act, ...]] = {
    "400": (failure(b"400 Bad Request"),),
    "401": (failure(b"401 Unauthorized"),),
    "404": (failure(b"404 Not Found"),),
    "500": (failure(b"500 Failed", b"x-request-id: theirs\r\n"),),
    "529": (failure(b"529 Overloaded"),),
    "429, tried again": (failure(b"429 Busy", b"retry-after: 0\r\n"), GOOD),
    "429, tried twice": (failure(b"429 Busy", b"retry-after-ms: 1\r\n"), failure(b"429 Busy", b"retry-after-ms: 1\r\n"), GOOD),
    "429, for long": (failure(b"429 Busy", b"retry-after: 30\r\n"),),
    "503, tried again": (failure(b"503 Away", b"retry-after: 0\r\n"), failure(b"500 Failed")),
    "503, not to be tried": (failure(b"503 Away", b"x-should-retry: false\r\n"),),
    "204": (b"HTTP/1.1 204 No Content\r\n\r\n",),
    "307": (b"HTTP/1.1 307 Elsewhere\r\nlocation: /\r\ncontent-length: 0\r\n\r\n",),
    "a stream": (framed(EVENT, b"data: [DONE]\n\n", lines=b"content-type: text/event-stream\r\n"),),
    "a broken stream": (closing(framed(EVENT, lines=b"content-type: text/event-stream\r\n")[:-5]),),
    "framed, in pieces": (framed(b"{", b"}"),),
    "up to its end": (closing(b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n\r\n{}"),),
    "the last one": (closing(GOOD.replace(b"200 OK\r\n", b"200 OK\r\nconnection: close\r\n")),),
    "of old HTTP": (closing(GOOD.replace(b"HTTP/1.1", b"HTTP/1.0")),),
    "in single bytes": (in_single_bytes,),
    "large": (response(LARGE),),
    "large, framed": (framed(LARGE[:100_000], LARGE[100_000:]),),
    "an interim answer": (b"HTTP/1.1 103 Early Hints\r\nlink: a\r\n\r\n" + GOOD,),
    "more than was asked for": (closing(GOOD + GOOD),),
    "no HTTP": (closing(b"junk\r\n\r\n"),),
    "two lengths": (closing(GOOD.replace(b"content-length", b"content-length: 9\r\ncontent-length")),),
    "half a head": (closing(GOOD[:20]),),
    "half a body": (closing(GOOD[:-3]),),
    "half a failure": (closing(failure(b"500 Failed")[:-3]),),
    "nothing, then an answer": (closing(), GOOD),
    "a reset, then an answer": (resetting, GOOD),
    "nothing twice": (closing(), closing()),
}


def unframed(answer: Told) -> Told:
    """How it is framed depends on what has come when its head goes on."""
    answer.headers = [pair for pair in answer.headers if pair[0] not in ("content-length", "transfer-encoding")]
    return answer


def asked_between(road, roads: Roads, acts: tuple[Act, ...], *, repeats: bool) -> tuple[list[Told], list[ReceivedRequest], list[Any]]:
    """An answer, what is to be tried, and an answer again; then what came to the upstream, and what was noted."""
    waiting = deque([GOOD, GOOD, *acts, GOOD])

    async def script(peer: Peer) -> None:
        while True:
            await peer.request()
            act = waiting.popleft()
            if await (peer.send(act) if isinstance(act, bytes) else act(peer)):
                return

    road.follows(script)
    road.upstream.requests.clear()
    roads.forget()
    told = []
    with line_to(road.house, repeats=repeats) as line:
        for _ in range(4):
            if told and told[-1].body is None:
                break
            told.append(unframed(line.ask(CHAT, BODY)))
    return told, list(road.upstream.requests), roads.notes(len(told))


@pytest.mark.parametrize("name", OTHER_ENDS)
def test_what_is_no_plain_answer_ends_as_on_the_long_road(road, roads, name: str) -> None:
    short = asked_between(road, roads, OTHER_ENDS[name], repeats=True)
    assert (roads.begun[:2], roads.ended[:1]) == ([True, True], ["answered"])
    long = asked_between(road, roads, OTHER_ENDS[name], repeats=False)
    assert roads.begun == []
    assert short == long
    assert short[0][-1].body is None or short[0][-1].status == 200
