"""Callers who leave, send on or do not read while a call of theirs is on the short road, and servers that stop meanwhile."""

import asyncio
import json
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import pytest

from keyhouse.web.gateway.short_road import ShortRoad
from keyhouse.web.http_exchange import HttpExchange
from tests.conftest import Serve, ServedHouse
from tests.gateway.fault_upstream import Peer, response
from tests.gateway_road.conftest import storing_in
from tests.gateway_road.road_spies import Line, Roads, line_to, watched_roads
from tests.gateway_road.test_http_connections import everything
from tests.gateway_road.test_http_ends import stopping
from tests.gateway_road.test_known_heads import answers
from tests.gateway_road.upstreams import Upstream
from tests.gateway_road.waiting import until

CHAT, HOLD = "/v1/chat/completions", "/v1/hold"
BODY = json.dumps({"model": "gpt-5-mini", "messages": [{"role": "user", "content": "Hi"}]}).encode()
GOOD = response(b'{"usage":{"prompt_tokens":1,"completion_tokens":2}}', headers=b"content-type: application/json\r\n")
FAILED = response(b"{}", status=b"500 Failed")
ROADS = pytest.mark.parametrize("repeats", [True, False], ids=["short", "long"])


@pytest.fixture(autouse=True)
def roads() -> Iterator[Roads]:
    with watched_roads() as watched:
        yield watched


@dataclass
class Thinking:
    """An upstream that answers each request but those after the second of a caller's at once; of these it does as it is told."""

    asked: threading.Event = field(default_factory=threading.Event)
    answer: threading.Event = field(default_factory=threading.Event)
    sent: threading.Event = field(default_factory=threading.Event)
    left: threading.Event = field(default_factory=threading.Event)
    said: bytes = GOOD
    at_once: int = 2

    async def script(self, peer: Peer) -> None:
        while True:
            await peer.request()
            if self.at_once:
                self.at_once -= 1
                await peer.send(GOOD)
                continue
            self.at_once = 99
            self.asked.set()
            watching = asyncio.create_task(self._watch(peer))
            await asyncio.to_thread(self.answer.wait, 20)
            await peer.send(self.said)
            self.sent.set()
            watching.cancel()

    async def _watch(self, peer: Peer) -> None:
        await peer.left()
        self.left.set()


@pytest.fixture
def thinking(upstream: Upstream) -> Iterator[Thinking]:
    thinks = Thinking()
    upstream.follow(thinks.script)
    yield thinks
    thinks.answer.set()


@pytest.fixture
def house(serve: Serve, upstream: Upstream) -> ServedHouse:
    """One that takes one call at a time: what is not counted back is noticed by the next."""
    served = serve(max_calls_per_project=1, shutdown_timeout_s=60)
    storing_in(served, upstream)()
    return served


@contextmanager
def waiting(house: ServedHouse, thinking: Thinking, roads: Roads, *, repeats: bool = True) -> Iterator[Line]:
    """A caller whose third call waits for the upstream."""
    with line_to(house, repeats=repeats) as line:
        for _ in range(2):
            assert line.ask(CHAT, BODY).status == 200
        line.send(CHAT, BODY)
        assert thinking.asked.wait(20)
        expected = [True, True] if repeats else []
        assert roads.so_many_begun(len(expected)) == expected
        yield line


@contextmanager
def standing_still(house: ServedHouse) -> Iterator[None]:
    """The house's loop stands still: what comes meanwhile is all there when it goes on, in the order in which it came."""
    entered, go_on = threading.Event(), threading.Event()
    begin: Callable[[ShortRoad, HttpExchange], bool] = ShortRoad.begin

    def held(self: ShortRoad, exchange: HttpExchange) -> bool:
        if exchange.path == HOLD:
            entered.set()
            go_on.wait(20)
            return False
        return begin(self, exchange)

    with pytest.MonkeyPatch.context() as patch, line_to(house) as line:
        patch.setattr(ShortRoad, "begin", held)
        assert line.ask(HOLD, b"").status == 404
        line.send(HOLD, b"")
        assert entered.wait(20)
        try:
            yield
        finally:
            go_on.set()
        assert line.answer().status == 404


def noted(roads: Roads, how_many: int) -> list[tuple[int, str]]:
    """Of calls of chat."""
    return [(note["status"], note["code"]) for note in roads.notes(how_many) if note["endpoint"]]


@ROADS
@pytest.mark.parametrize("leave", [Line.reset, lambda line: line.socket.shutdown(socket.SHUT_RDWR)], ids=["reset", "closed"])
def test_a_caller_who_leaves_while_the_upstream_thinks(house, thinking, roads, upstream, repeats: bool, leave) -> None:
    with waiting(house, thinking, roads, repeats=repeats) as line:
        leave(line)
        assert thinking.left.wait(20)
    assert roads.ended == (["answered", "left"] if repeats else [])
    with line_to(house) as other:
        assert other.ask(CHAT, BODY).status == 200
    assert noted(roads, 4) == [(200, ""), (200, ""), (0, "caller_left"), (200, "")]
    assert upstream.connections == 2


PARTS = {"an answer": GOOD, "a failure": FAILED, "half a head": GOOD[:20], "half an answer": GOOD[:-3], "junk": b"junk\r\n\r\n"}


@pytest.mark.parametrize("caller_first", [True, False], ids=["left before", "left after"])
@pytest.mark.parametrize("part", PARTS)
def test_a_caller_who_leaves_just_as_something_comes(house, thinking, roads, part: str, caller_first: bool) -> None:
    thinking.said = PARTS[part]

    def answer() -> None:
        thinking.answer.set()
        assert thinking.sent.wait(20)

    with waiting(house, thinking, roads) as line, standing_still(house):
        for act in (line.reset, answer) if caller_first else (answer, line.reset):
            act()
    tries: list[int] = []
    with line_to(house) as other:
        until(lambda: tries.append(other.ask(CHAT, BODY).status) or tries[-1] == 200)
    assert roads.ended[0] == "answered"
    # Two before, the one that was left, and the last; two that only held the house up.
    found = [note for note in noted(roads, 5 + len(tries)) if note[1] != "too_many_requests"]
    left = (0, "caller_left")
    assert sorted(found) in ([left, *[(200, "")] * 3], *([[(200, "")] * 4] if part == "an answer" else []))


@ROADS
def test_a_server_that_stops_delivers_what_waits_and_says_that_it_closes(house, thinking, roads, repeats: bool) -> None:
    with waiting(house, thinking, roads, repeats=repeats) as line, stopping(house):
        until(lambda: not is_listening(house))
        thinking.answer.set()
        answer = line.answer()
        assert (answer.status, answer["connection"]) == (200, "close")
        assert line.socket.recv(1) == b""
    assert roads.ended == (["answered", "answered"] if repeats else [])
    assert noted(roads, 3) == [(200, "")] * 3


def is_listening(house: ServedHouse) -> bool:
    try:
        with line_to(house):
            return True
    except (ConnectionRefusedError, ConnectionResetError):
        return False


@ROADS
def test_a_server_that_is_told_twice_to_stop_waits_for_nothing(house, thinking, roads, repeats: bool) -> None:
    with waiting(house, thinking, roads, repeats=repeats) as line, stopping(house):
        until(lambda: not is_listening(house))
        with stopping(house):
            assert everything(line.socket) == b""
        assert thinking.left.wait(20)
    *before, third = noted(roads, 3)
    assert before == [(200, "")] * 2
    assert third[0] == 0


def behind(line: Line) -> bytes:
    return line.request(CHAT, BODY)


BEHIND: dict[str, tuple[Callable[[Line], bytes], list[int]]] = {
    "the same": (behind, [200, 200]),
    "three": (lambda line: behind(line) * 3, [200] * 4),
    "another head": (lambda line: line.request(CHAT, BODY, b"x-one: 1") + behind(line), [200] * 3),
    "another path": (lambda line: line.request("/v1/none", b"{}") + behind(line), [200, 404, 200]),
    "the last": (lambda line: line.request(CHAT, BODY, b"connection: close") + behind(line), [200, 200]),
    "no request": (lambda line: b"junk\r\n\r\n" + behind(line), [200]),
    "half a request": (lambda line: behind(line)[:-9], [200]),
    "half a head": (lambda line: behind(line)[:30], [200]),
}


@ROADS
@pytest.mark.parametrize("name", BEHIND)
def test_what_is_sent_behind_a_call_is_answered_behind_it(house, thinking, roads, repeats: bool, name: str) -> None:
    more, statuses = BEHIND[name]
    with waiting(house, thinking, roads, repeats=repeats) as line:
        line.socket.sendall(more(line))
        # By then it has come.
        assert is_listening(house)
        thinking.answer.set()
        assert [status for status, _ in answers(line.socket, len(statuses))] == statuses
        if name in ("the last", "no request"):
            assert everything(line.socket) == b""
    if repeats:
        assert roads.ended == ["answered", "answered"]
