"""What has ended takes no memory any more, a connection or a call, without the collector of cycles, which a server seldom has run."""

import contextlib
import gc
import socket
import threading

import httpx
import pytest

from keyhouse.domain.model_provider import ModelProviderUpdate
from keyhouse.gateway.call import Call
from keyhouse.gateway.connection import Connection
from keyhouse.web.gateway.short_road import ShortCall
from keyhouse.web.http_protocol import HttpProtocol
from tests.conftest import UNKNOWN_HOST, ServedHouse
from tests.gateway.fault_upstream import Peer
from tests.gateway_road.test_http_edge import BODY, answer, connected, head

LAST_ANSWER = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nconnection: close\r\ncontent-length: 2\r\n\r\n{}"


def alive(kind: type) -> int:
    return sum(type(each) is kind for each in gc.get_objects())


def gone(http: httpx.Client, kind: type, before: int) -> None:
    for _ in range(100):
        if alive(kind) <= before:
            return
        http.get("/healthz")
    assert alive(kind) <= before


@pytest.mark.usefixtures("uncollected")
@pytest.mark.parametrize("kind", [HttpProtocol, Connection])
def test_what_has_ended_is_gone(road, kind: type) -> None:
    road.store()
    road.answers(LAST_ANSWER)
    before = alive(kind)
    for _ in range(10):
        with connected(road) as connection:
            connection.sendall(head(road) + BODY)
            assert answer(connection)[0].startswith(b"HTTP/1.1 200")
    gone(road.http, kind, before)


@pytest.mark.usefixtures("uncollected")
def test_what_a_caller_left_in_the_middle_of_a_body_is_gone(road) -> None:
    road.store()
    before = alive(HttpProtocol)
    for _ in range(10):
        with connected(road) as connection:
            connection.sendall(head(road) + BODY + head(road) + BODY[:5])
            assert answer(connection)[0].startswith(b"HTTP/1.1 200")
    gone(road.http, HttpProtocol, before)


@pytest.mark.usefixtures("uncollected")
@pytest.mark.parametrize("said", [b"", b"junk\r\n\r\n", LAST_ANSWER[:-1], LAST_ANSWER.replace(b"200 OK", b"500 Failed")[:-1]])
@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/messages"])
def test_what_a_call_that_failed_was_asked_is_gone(road, path: str, said: bytes) -> None:
    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(said)

    road.store()
    road.follows(script)
    before = alive(Call)
    for _ in range(10):
        with contextlib.suppress(httpx.RemoteProtocolError):
            assert road.post(path, {"model": "gpt-5-mini", "max_tokens": 9, "messages": []}).status_code >= 500
    gone(road.http, Call, before)


@pytest.mark.usefixtures("uncollected")
@pytest.mark.parametrize("said", [b"", LAST_ANSWER[:9], LAST_ANSWER[:-1]])
def test_a_call_like_the_one_before_that_its_caller_left_is_gone(road, said: bytes) -> None:
    asked, left = threading.Semaphore(0), threading.Semaphore(0)

    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(LAST_ANSWER.replace(b"connection: close\r\n", b""))
        await peer.request()
        await peer.send(said)
        asked.release()
        await peer.left()
        left.release()

    road.store()
    road.follows(script)
    before = alive(ShortCall)
    for _ in range(10):
        with connected(road) as connection:
            connection.sendall(head(road) + BODY)
            assert answer(connection)[0].startswith(b"HTTP/1.1 200")
            connection.sendall(head(road) + BODY)
            assert asked.acquire(timeout=30)
        assert left.acquire(timeout=30)
    gone(road.http, ShortCall, before)


@pytest.mark.usefixtures("uncollected")
def test_a_look_up_that_failed_is_gone(road) -> None:
    road.put("custom", {"CUSTOM_BASE_URL": f"http://{UNKNOWN_HOST}"})
    before = alive(socket.gaierror)
    for _ in range(3):
        assert road.chat("custom/m", x_keyhouse_retries_header="0").status_code == 502
    gone(road.http, socket.gaierror, before)


@pytest.mark.usefixtures("uncollected")
def test_the_credentials_of_a_change_that_was_refused_are_gone(house: ServedHouse) -> None:
    given = {"enabled": True, "customKeys": {"OPENAI_API_KEY": "sk-refused"}}
    with house.client() as http:
        assert http.put("/api/model-providers/openai", json=given).status_code == 200
        before = alive(ModelProviderUpdate)
        for _ in range(10):
            assert http.put("/api/model-providers/openai", json=given, headers={"if-none-match": "*"}).status_code == 412
        gone(http, ModelProviderUpdate, before)
