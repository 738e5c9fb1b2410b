"""What begins on the short road and ends otherwise than by a plain answer: told, noted and forgotten as on the long road."""

import contextlib
import http.client
import json
from collections.abc import Iterator

import pytest

from keyhouse.gateway.call import Call
from keyhouse.web.gateway.short_road import ShortCall
from keyhouse.web.http_exchange import HttpExchange
from tests.gateway.fault_upstream import Peer, response
from tests.gateway_road.road_spies import Roads, line_to, watched_roads
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
