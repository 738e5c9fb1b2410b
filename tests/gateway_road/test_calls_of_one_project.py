"""No project takes all the places of a process: what is too many of one is refused at once, and others are served meanwhile."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import httpx
import pytest

from tests.conftest import NO_CERTIFICATES, Serve, ServedHouse
from tests.gateway.fault_upstream import Peer
from tests.gateway_road import openai_api
from tests.gateway_road.conftest import storing_in
from tests.gateway_road.upstreams import answered_by, running_upstream
from tests.gateway_road.waiting import until

MOST = 2
HELD = {"model": "gpt-5-mini", "messages": [{"role": "user", "content": "Hi"}], "stream": True}


async def begins_and_stays(peer: Peer) -> None:
    await peer.request()
    await peer.send(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n")
    await peer.send(b"f\r\ndata: {}\n\ndata:\r\n")
    await peer.left()


@contextmanager
def held_calls(house: ServedHouse, count: int) -> Iterator[list[httpx.Response]]:
    """Calls that have begun and do not end."""
    with running_upstream(begins_and_stays) as upstream, ExitStack() as held:
        storing_in(house, upstream)()
        client = held.enter_context(httpx.Client(base_url=house.address, trust_env=False, verify=NO_CERTIFICATES))
        headers = {"authorization": f"Bearer {house.keys.project_key}"}
        calls = [held.enter_context(client.stream("POST", "/v1/chat/completions", json=HELD, headers=headers)) for _ in range(count)]
        assert [call.status_code for call in calls] == [200] * count
        yield calls


@pytest.fixture
def narrow(serve: Serve) -> ServedHouse:
    return serve(max_calls_per_project=MOST)


@pytest.mark.parametrize(
    ("path", "error_type"), [("/v1/chat/completions", "rate_limit_error"), ("/v1/messages", "rate_limit_error"), ("/v1/embeddings", None)]
)
def test_one_call_too_many_is_refused_and_told_when_to_come_back(narrow: ServedHouse, path: str, error_type: str | None) -> None:
    with held_calls(narrow, MOST):
        refused = narrow.client().post(path, json={**HELD, "max_tokens": 9, "input": "Hi"})
    error = refused.json()["error"]
    assert (refused.status_code, refused.headers["retry-after"]) == (429, "1")
    assert "has 2 calls under way" in error["message"]
    assert "KEYHOUSE_MAX_CALLS_PER_PROJECT" in error["message"]
    assert error_type in (None, error["type"])
    assert path == "/v1/messages" or error["code"] == "too_many_requests"


def test_another_project_is_served_meanwhile(narrow: ServedHouse) -> None:
    asked = {"name": "n", "language": "l", "framework": "f", "newTeamName": "t"}
    other = narrow.client(narrow.client(narrow.keys.admin_key).post("/api/projects", json=asked).json()["serviceApiKey"])
    with running_upstream(answered_by(openai_api.answer)) as upstream, held_calls(narrow, MOST):
        keys = {"OPENAI_API_KEY": openai_api.KEY, "OPENAI_BASE_URL": f"{upstream.address}/v1"}
        assert other.put("/api/model-providers/openai", json={"enabled": True, "customKeys": keys}).status_code == 200
        assert other.post("/v1/chat/completions", json={**HELD, "stream": False}).status_code == 200
        assert narrow.client().get("/v1/models").status_code == 200
        assert narrow.client().post("/v1/chat/completions", json=HELD).status_code == 429


def test_a_call_whose_caller_left_makes_room(narrow: ServedHouse) -> None:
    with held_calls(narrow, MOST) as calls:
        calls[0].close()
        with running_upstream(answered_by(openai_api.answer)) as upstream:
            storing_in(narrow, upstream)()
            until(lambda: narrow.client().post("/v1/chat/completions", json={**HELD, "stream": False}).status_code == 200)


def test_calls_that_fail_or_end_are_counted_no_longer(narrow: ServedHouse) -> None:
    client = narrow.client()
    with running_upstream(answered_by(openai_api.answer)) as upstream:
        storing_in(narrow, upstream)()
        for _ in range(MOST + 1):
            assert client.post("/v1/chat/completions", json={**HELD, "stream": False}).status_code == 200
            assert client.post("/v1/chat/completions", content=b"{").status_code == 400
            assert client.post("/v1/rerank", json={"model": "gpt-5-mini", "query": "", "documents": [""]}).status_code == 400
    with held_calls(narrow, MOST):
        assert client.post("/v1/chat/completions", json=HELD).status_code == 429
