"""What the tests of the short road share: a caller with one connection, which roads its calls took, and what was noted of them."""

import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.client import HTTPException, HTTPResponse
from itertools import count
from queue import SimpleQueue
from threading import Condition
from typing import Any
from urllib.parse import urlsplit

import pytest

from keyhouse.gateway.observation import Observation
from keyhouse.services import attention
from keyhouse.web.gateway.short_road import ShortCall, ShortRoad
from keyhouse.web.http_exchange import HttpExchange
from keyhouse.web.observing import Ended
from tests.conftest import ServedHouse

_IDS = ("x-request-id", "request-id", "x-keyhouse-request-id")
_numbers = count(1)


@dataclass
class Told:
    """An answer as its caller has it. Headers in order of their names, without the date; ids that are ours read `ours`."""

    status: int
    headers: list[tuple[str, str]]
    body: bytes | None

    def __getitem__(self, name: str) -> str | None:
        return dict(self.headers).get(name)


def told(response: HTTPResponse) -> Told:
    """Read an answer to its end; `body` is None where it breaks off."""
    response.begin()
    ours = response.headers["x-keyhouse-request-id"]
    headers = [(name.lower(), value) for name, value in response.getheaders() if name.lower() != "date"]
    shown = sorted((name, "ours" if name in _IDS and value == ours else value) for name, value in headers)
    try:
        body: bytes | None = response.read()
    except (HTTPException, ConnectionError):
        body = None
    # Errors of Anthropic's format name it too.
    return Told(response.status, shown, body and body.replace((ours or "-").encode(), b"ours"))


@dataclass
class Line:
    """One connection of a caller. `repeats`: it sends the same head each time, so that its calls may go the short road."""

    house: ServedHouse
    socket: socket.socket
    repeats: bool = True

    def request(self, path: str, body: bytes, *lines: bytes) -> bytes:
        """A request as it goes out."""
        own = () if self.repeats else (b"x-turn: %d" % next(_numbers),)
        if not any(line.lower().startswith((b"authorization:", b"x-api-key:")) for line in lines):
            own = (*own, b"authorization: Bearer " + self.house.keys.project_key.encode())
        given = (b"host: a", *own, *lines, b"content-length: %d" % len(body))
        return b"POST %b HTTP/1.1\r\n%b\r\n\r\n%b" % (path.encode(), b"\r\n".join(given), body)

    def send(self, path: str, body: bytes, *lines: bytes) -> None:
        """Ask."""
        self.socket.sendall(self.request(path, body, *lines))

    def answer(self) -> Told:
        """The answer, which must be the only one that comes."""
        with HTTPResponse(self.socket, method="POST") as response:
            return told(response)

    def ask(self, path: str, body: bytes, *lines: bytes) -> Told:
        """Ask, and read the answer."""
        self.send(path, body, *lines)
        return self.answer()

    def reset(self) -> None:
        """Leave at once."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        self.socket.close()


@contextmanager
def line_to(house: ServedHouse, *, repeats: bool = True) -> Iterator[Line]:
    """A connection."""
    parts = urlsplit(house.address)
    with socket.create_connection((parts.hostname or "", parts.port or 0), timeout=20) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        yield Line(house, connection, repeats)


@dataclass
class Roads:
    """Which roads calls took. `begun` holds, for each whose head was known, whether the short road took it; `ended` how that ended there:
    `answered`, `left`, or `went on`. `noted` is what was noted of every request."""

    begun: list[bool] = field(default_factory=list)
    ended: list[str] = field(default_factory=list)
    noted: "SimpleQueue[dict[str, Any]]" = field(default_factory=SimpleQueue)
    _changed: Condition = field(default_factory=Condition)

    def note_begun(self, has_begun: bool) -> None:
        """One has begun, or has not."""
        with self._changed:
            self.begun.append(has_begun)
            self._changed.notify_all()

    def so_many_begun(self, how_many: int) -> list[bool]:
        """Of calls that are under way: an upstream may have one before it is said here that it has begun."""
        with self._changed:
            assert self._changed.wait_for(lambda: len(self.begun) >= how_many, 20)
            return list(self.begun)

    def notes(self, how_many: int) -> list[dict[str, Any]]:
        """What was noted of so many, and that it was no more."""
        found = [self.noted.get(timeout=20) for _ in range(how_many)]
        assert self.noted.empty()
        return found

    def forget(self) -> None:
        """Begin anew."""
        self.begun.clear()
        self.ended.clear()
        while not self.noted.empty():
            self.noted.get()


def facts(noted: Observation) -> dict[str, Any]:
    """What two like calls have in common."""
    assert noted.started_at <= (noted.answered_at or noted.ended_at) <= noted.ended_at
    assert 0 <= noted.upstream_s <= noted.duration_s
    told_of = {name: getattr(noted, name) for name in noted.__struct_fields__}
    apart = ("request_id", "started_at", "answered_at", "ended_at", "upstream_s", "answer")
    shared = {name: value for name, value in told_of.items() if name not in apart}
    return {**shared, "usage": noted.answer.usage(), "was_answered": noted.answered_at is not None, "facts": noted.answer.facts()}


@contextmanager
def watched_roads() -> Iterator[Roads]:
    """Watches every house that is opened meanwhile, in the way of nothing."""
    roads = Roads()
    observe, begin = Ended.observe, ShortRoad.begin
    endings: dict[str, Callable[..., None]] = {"answered": ShortCall.answered, "left": ShortCall.leave, "went on": ShortCall._opened}

    def observed(self: Ended, noted: Observation) -> None:
        roads.noted.put(facts(noted))
        observe(self, noted)

    def begun(self: ShortRoad, exchange: HttpExchange) -> bool:
        has_begun = begin(self, exchange)
        roads.note_begun(has_begun)
        return has_begun

    def ending(name: str, original: Callable[..., None]) -> Callable[..., None]:
        def end(self: ShortCall, *given: Any) -> None:
            if self.connection is not None:
                roads.ended.append(name)
            original(self, *given)

        return end

    with pytest.MonkeyPatch.context() as patch:
        # A machine that is busy elsewhere sends nobody the long road.
        patch.setattr(attention, "_LONGEST_GAP_S", 3600.0)
        patch.setattr(Ended, "observe", observed)
        patch.setattr(ShortRoad, "begin", begun)
        for name, original in endings.items():
            patch.setattr(ShortCall, original.__name__, ending(name, original))
        yield roads
