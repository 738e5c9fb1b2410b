"""What the gateway holds of large bodies: of an answer a few buffers, of a request no more copies than it needs."""

import http.client
import json
import re
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from keyhouse.gateway.rendered import MOST_CONTAINERS
from tests.cli.commands import Server, start
from tests.conftest import NO_CERTIFICATES
from tests.gateway.fault_upstream import Peer
from tests.gateway_road.conftest import Road
from tests.gateway_road.upstreams import Upstream, answered_by, json_answer, running_upstream

MIB = 1024 * 1024
ANSWER = 256 * MIB
PIECE = b"x" * 64 * 1024
FORM = "multipart/form-data; boundary=b"


class LargeUpstream:
    """Answers with `ANSWER` bytes, framed one of two ways; `sent` is how many have gone out."""

    def __init__(self) -> None:
        self.sent = 0

    async def script(self, peer: Peer) -> None:
        while True:
            chunked = b"/embeddings" in (await peer.request()).line
            self.sent = 0
            framing = b"transfer-encoding: chunked" if chunked else b"content-length: %d" % ANSWER
            await peer.send(b"HTTP/1.1 200 OK\r\ncontent-type: application/octet-stream\r\n%b\r\n\r\n" % framing)
            piece = b"%x\r\n%b\r\n" % (len(PIECE), PIECE) if chunked else PIECE
            for _ in range(ANSWER // len(PIECE)):
                peer.writer.write(piece)
                await peer.writer.drain()
                self.sent += len(PIECE)
            if chunked:
                await peer.send(b"0\r\n\r\n")


class Measured:
    """A server in a process of its own, an upstream behind it, and how much memory it takes."""

    def __init__(self, server: Server, upstream: Upstream) -> None:
        self.server = server
        self._files = Path(f"/proc/{server.process.pid}")
        keys = {"OPENAI_API_KEY": "sk-upstream", "OPENAI_BASE_URL": f"{upstream.address}/v1"}
        answer = self.request("PUT", "/api/model-providers/openai", json.dumps({"enabled": True, "customKeys": keys}).encode())
        assert answer.status_code == 200

    def request(self, method: str, path: str, body: bytes, content_type: str = "application/json") -> httpx.Response:
        headers = {"x-auth-token": self.server.project_key, "content-type": content_type}
        address = f"{self.server.address}{path}"
        return httpx.request(method, address, content=body, headers=headers, timeout=60, trust_env=False, verify=NO_CERTIFICATES)

    def begin(self) -> int:
        """From now on the peak is counted anew; what is taken now, in bytes."""
        (self._files / "clear_refs").write_text("5")
        return self._status("VmRSS")

    def peak(self) -> int:
        """The most that was taken since, in bytes."""
        return self._status("VmHWM")

    def _status(self, name: str) -> int:
        found = re.search(rf"{name}:\s+(\d+) kB", (self._files / "status").read_text())
        assert found is not None
        return int(found[1]) * 1024


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    # Large blocks are mapped one by one and given back at once: what one test took is not there for the next one.
    server = start(tmp_path_factory.mktemp("measured"), MALLOC_MMAP_THRESHOLD_="131072")
    yield server
    server.stop()
    for stream in (server.process.stdout, server.process.stderr):
        assert stream is not None
        stream.close()


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/audio/speech", {"model": "tts-1", "input": "Hi", "voice": "alloy"}),
        ("/v1/embeddings", {"model": "text-embedding-3-small", "input": "Hi"}),
    ],
)
def test_a_large_answer_passes_in_a_few_buffers_also_where_its_reader_waits(server: Server, path: str, body: dict[str, str]) -> None:
    large = LargeUpstream()
    with running_upstream(large.script) as upstream:
        measured = Measured(server, upstream)
        before = measured.begin()
        host, port = server.address.removeprefix("http://").split(":")
        connection = http.client.HTTPConnection(host, int(port), timeout=60)
        connection.request("POST", path, json.dumps(body), {"x-api-key": server.project_key, "content-type": "application/json"})
        answer = connection.getresponse()
        read = len(answer.read(MIB))
        assert large.sent < ANSWER
        while piece := answer.read(MIB):
            read += len(piece)
        connection.close()
        assert read == ANSWER
        assert measured.peak() - before < 16 * MIB


def json_body(model: str, size: int) -> bytes:
    return json.dumps({"model": model, "messages": [{"role": "user", "content": "y" * size}]}).encode()


def form_body(model: str, size: int) -> bytes:
    parts = ((b'name="model"', model.encode()), (b'name="file"; filename="a.wav"', b"z" * size))
    return b"".join(b"--b\r\ncontent-disposition: form-data; %b\r\n\r\n%b\r\n" % part for part in parts) + b"--b--\r\n"


@pytest.mark.parametrize("model", ["gpt-5", "openai/gpt-5"])
@pytest.mark.parametrize(
    ("path", "content_type", "make"),
    [("/v1/chat/completions", "application/json", json_body), ("/v1/audio/transcriptions", FORM, form_body)],
)
def test_a_request_is_held_twice_at_most(server: Server, path: str, content_type: str, make: object, model: str) -> None:
    size = 31 * MIB
    assert callable(make)
    with running_upstream(answered_by(lambda request: json_answer({"length": len(request.body)}))) as upstream:
        measured = Measured(server, upstream)
        before = measured.begin()
        answer = measured.request("POST", path, make(model, size), content_type)
        assert answer.json()["length"] > size
        assert measured.peak() - before < 2 * size + 8 * MIB


def test_a_body_of_just_the_limit_passes_and_one_byte_more_does_not(road: Road) -> None:
    road.store()
    road.answers(lambda request: json_answer({"length": len(request.body)}))
    limit = 32 * MIB
    bare = json.dumps({"model": "gpt-5", "padding": ""}).encode()
    body = bare.replace(b'""', b'"' + b"x" * (limit - len(bare)) + b'"')
    assert road.post("/v1/chat/completions", body).json() == {"length": limit}
    answer = road.post("/v1/chat/completions", body + b" ")
    assert (answer.status_code, answer.json()["error"]["code"]) == (413, "payload_too_large")


def test_a_body_of_millions_of_objects_is_not_taken_apart(road: Road) -> None:
    """32 MiB of empty arrays took 800 MiB and five seconds, in which nobody was served."""
    road.put("anthropic", {"ANTHROPIC_API_KEY": "sk-ant", "ANTHROPIC_BASE_URL": road.upstream.address})
    many = b'{"model":"claude-opus-5-5","max_tokens":9,"messages":[{"role":"user","content":[' + b"[]," * MOST_CONTAINERS + b"1]}]}"
    answer = road.post("/v1/chat/completions", many)
    assert (answer.status_code, answer.json()["error"]["code"]) == (413, "payload_too_large")
    assert road.upstream.requests == []
