"""After a stream's last event a caller may go, as OpenAI's client does, and the upstream's connection serves again once its answer ends."""

import asyncio
import threading

import pytest

from tests.gateway.fault_upstream import Peer
from tests.gateway_road import anthropic_api, openai_api
from tests.gateway_road.conftest import Road, openai_client

LEFT = 'keyhouse_errors_total{code="caller_left"}'
IDLE = 'keyhouse_upstream_connections{state="idle"}'
END = b"0\r\n\r\n"


class Streaming:
    """An upstream whose streams stop before their end: it follows when the test says so. `left`: the house closed a connection."""

    def __init__(self, road: Road, provider: str) -> None:
        self.left = threading.Event()
        self.end = END
        self._road = road
        self._ending = asyncio.Event()
        self._api, self._model = (openai_api, "gpt-5-mini") if provider == "openai" else (anthropic_api, "claude-haiku-4-5")
        road.follows(self._script)
        name = provider.upper()
        address = f"{road.upstream.address}/v1" if provider == "openai" else road.upstream.address
        road.put(provider, {f"{name}_API_KEY": self._api.KEY, f"{name}_BASE_URL": address})

    async def _script(self, peer: Peer) -> None:
        try:
            while True:
                events = self._api.answer(await peer.request())
                assert events.endswith(END)
                await peer.send(events.removesuffix(END))
                if await self._leaves(peer):
                    return
                await peer.send(self.end)
        finally:
            self.left.set()

    async def _leaves(self, peer: Peer) -> bool:
        """Whether the house closes the connection before the answer is to end."""
        ending, leaving = asyncio.create_task(self._ending.wait()), asyncio.create_task(peer.reader.read(1))
        try:
            await asyncio.wait((ending, leaving), return_when=asyncio.FIRST_COMPLETED)
            return leaving.done()
        finally:
            ending.cancel()
            leaving.cancel()
            await asyncio.gather(ending, leaving, return_exceptions=True)

    def goes_on(self) -> None:
        """Send what is left."""
        self._road.upstream.loop.call_soon_threadsafe(self._ending.set)

    def text(self) -> str:
        """What OpenAI's client reads of a stream, which it leaves at `[DONE]`."""
        with openai_client(self._road.house.address, self._road.house.keys.project_key) as client:
            said = client.chat.completions.create(model=self._model, messages=[{"role": "user", "content": "Hi"}], stream=True)
            return "".join(chunk.choices[0].delta.content or "" for chunk in said if chunk.choices)


@pytest.fixture(params=["openai", "anthropic"])
def streaming(road: Road, request: pytest.FixtureRequest) -> Streaming:
    return Streaming(road, request.param)


def metric(road: Road, name: str) -> float:
    lines = road.http.get("/metrics").text.splitlines()
    return next((float(line.rpartition(" ")[2]) for line in lines if line.rpartition(" ")[0] == name), 0.0)


def test_a_caller_who_goes_after_it_has_not_left(road: Road, streaming: Streaming) -> None:
    before = metric(road, LEFT)
    assert streaming.text()
    assert metric(road, LEFT) == before


def test_a_connection_that_ends_after_it_serves_again(road: Road, streaming: Streaming) -> None:
    idle, connections = metric(road, IDLE), road.upstream.connections
    assert streaming.text()
    assert not streaming.left.is_set()
    streaming.goes_on()
    while metric(road, IDLE) == idle:
        pass
    assert streaming.text()
    assert road.upstream.connections == connections + 1


def test_a_connection_that_does_not_end_after_it_is_closed(streaming: Streaming) -> None:
    assert streaming.text()
    assert streaming.left.wait(30)


def test_a_connection_on_which_more_comes_after_it_is_closed(road: Road, streaming: Streaming) -> None:
    streaming.end = b"3\r\n: x\r\n"
    idle, connections = metric(road, IDLE), road.upstream.connections
    assert streaming.text()
    streaming.goes_on()
    assert streaming.left.wait(30)
    assert metric(road, IDLE) == idle
    assert streaming.text()
    assert road.upstream.connections == connections + 2


def test_a_stream_that_says_how_long_it_is_ends_well_with_it(road: Road) -> None:
    events = b'data: {"choices":[{"index":0,"delta":{"content":"Hi"}}]}\n\ndata: [DONE]\n\n'
    head = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncontent-length: %d\r\n\r\n" % (len(events) + len(b": bye\n\n"))

    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(head + events)
        await peer.reader.read(1)

    road.follows(script)
    road.store()
    body = {"model": "openai/gpt-5-mini", "messages": [{"role": "user", "content": "Hi"}], "stream": True}
    answer = road.http.post("/v1/chat/completions", json=body)
    assert (answer.status_code, answer.content) == (200, events)
