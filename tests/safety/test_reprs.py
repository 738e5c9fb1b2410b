"""No object of the house prints a secret: everything that is alive in the middle of calls is printed, and searched."""

import asyncio
import gc
import json
import threading
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import pytest

from tests.conftest import Serve, ServedHouse
from tests.gateway.fault_upstream import Peer
from tests.gateway.test_google_token import PEM, key_file
from tests.gateway_road.upstreams import Upstream, running_upstream
from tests.safety.planted import found_in, planted, planted_token

HEADER = planted("header").replace("é", "")
PROMPT = planted("prompt")
KEYS = {name: planted_token(name.lower()) for name in ("OPENAI", "ANTHROPIC", "AZURE", "AWS", "SESSION")}


class Waiting:
    """An upstream that answers nothing until it is told to; `asked` counts who waits."""

    def __init__(self) -> None:
        self.asked = threading.Semaphore(0)
        self.go_on = asyncio.Event()

    async def script(self, peer: Peer) -> None:
        await peer.request()
        self.asked.release()
        await self.go_on.wait()


def stored(upstream: Upstream) -> dict[str, dict[str, str]]:
    """Providers of each way to sign, all behind the one upstream where that can be."""
    address = f"{upstream.address}/v1"
    return {
        "openai": {"OPENAI_API_KEY": KEYS["OPENAI"], "OPENAI_BASE_URL": address},
        "anthropic": {"ANTHROPIC_API_KEY": KEYS["ANTHROPIC"], "ANTHROPIC_BASE_URL": upstream.address},
        "azure": {"AZURE_OPENAI_API_KEY": KEYS["AZURE"], "AZURE_OPENAI_ENDPOINT": upstream.address, "AZURE_UNKNOWN": KEYS["SESSION"]},
        "bedrock": {"AWS_ACCESS_KEY_ID": "AKIDEXAMPLE", "AWS_SECRET_ACCESS_KEY": KEYS["AWS"], "AWS_SESSION_TOKEN": KEYS["SESSION"]},
        "vertex_ai": {
            "GOOGLE_APPLICATION_CREDENTIALS": key_file(f"{upstream.address}/token"),
            "VERTEXAI_PROJECT": "p",
            "VERTEXAI_LOCATION": "global",
        },
    }


def calls() -> Iterator[tuple[str, dict[str, Any], bytes | None]]:
    """Calls of every kind: path, headers, body."""
    messages = [{"role": "user", "content": PROMPT}]
    for model in ("openai/m", "anthropic/m", "azure/m", "bedrock/m", "vertex_ai/m"):
        body = {"model": model, "messages": messages, "max_tokens": 10}
        for path in ("/v1/chat/completions", "/v1/messages"):
            yield path, {"content-type": "application/json"}, json.dumps(body).encode()
            yield path, {"content-type": "application/json"}, json.dumps({**body, "stream": True}).encode()
    form = "".join(
        f"--b\r\ncontent-disposition: form-data; name={name}\r\n\r\n{value}\r\n"
        for name, value in (('"model"', "openai/whisper-1"), ('"prompt"', PROMPT), ('"file"; filename="a"', PROMPT))
    )
    yield "/v1/audio/transcriptions", {"content-type": "multipart/form-data; boundary=b"}, f"{form}--b--\r\n".encode()


@contextmanager
def in_the_middle_of_calls(house: ServedHouse, waiting: Waiting, upstream: Upstream) -> Iterator[None]:
    client = house.client()
    with ThreadPoolExecutor(32) as threads:
        asking: list[Future[Any]] = [
            threads.submit(client.post, path, content=body, headers=headers, timeout=60) for path, headers, body in calls()
        ]
        # Bedrock lies outside and is refused; the rest waits, all calls of Google's for one token.
        for _ in range(14):
            assert waiting.asked.acquire(timeout=30)
        try:
            yield
        finally:
            upstream.loop.call_soon_threadsafe(waiting.go_on.set)
        assert {future.result().status_code for future in asking} == {502}


def is_ours(found: object) -> bool:
    module = type(found).__module__
    return isinstance(module, str) and module.startswith("keyhouse")


def our_objects() -> Iterator[object]:
    """What the garbage collector knows, and what those hold that it is not told of."""
    for found in filter(is_ours, gc.get_objects()):
        yield found
        yield from (held for held in gc.get_referents(found) if is_ours(held) and not gc.is_tracked(held))


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_nothing_that_is_alive_prints_a_secret_or_a_prompt(request: pytest.FixtureRequest, serve: Serve, kind: str) -> None:
    waiting = Waiting()
    admin_key, proxy_password = planted_token("admin"), planted_token("password")
    url = {"database_url": request.getfixturevalue("postgres_server").new_database()} if kind == "postgresql" else {}
    with running_upstream(waiting.script) as upstream:
        proxy = f"http://user:{proxy_password}@127.0.0.1:9"
        house = serve(admin_key=admin_key, https_proxy=proxy, upstream_retries=0, **url)
        client = house.client()
        for provider, keys in stored(upstream).items():
            update = {"enabled": True, "customKeys": keys, "extraHeaders": [{"key": "X-Planted", "value": HEADER}]}
            assert client.put(f"/api/model-providers/{provider}", json=update).status_code == 200
        client.get("/api/model-providers")
        with in_the_middle_of_calls(house, waiting, upstream):
            gc.unfreeze()
            printed = [(type(found).__name__, repr(found)) for found in our_objects()]
    hidden = [*KEYS.values(), HEADER, PROMPT, PEM, house.keys.project_key, house.keys.admin_key, admin_key, proxy_password]
    assert found_in("\n".join(text for _, text in printed).encode(), hidden) == []
    # It was looked at the right moment.
    expected = {"Target", "Call", "UpstreamRequest", "Rendered", "Prepared", "Credentials", "Observation", "Settings", "Form", "Head"}
    assert expected - {name for name, _ in printed} == set()
