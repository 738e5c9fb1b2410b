"""Calls the gateway in every way, good and bad, before an upstream that repeats whatever it is sent and fails however it can."""

import base64
import gzip
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import httpx

from keyhouse.services.first_start import FirstKeys
from keyhouse.web.gateway.endpoints import ENDPOINTS
from tests.conftest import ADMIN_KEY
from tests.gateway.fault_upstream import Peer, ReceivedRequest, chunked_response, response
from tests.gateway_road import anthropic_api, openai_api
from tests.gateway_road.upstreams import data_event, json_answer, stream_answer
from tests.safety.driving import Driven

JSON = {"content-type": "application/json"}
Answering = Callable[[ReceivedRequest], bytes]


def answered_well(request: ReceivedRequest) -> bytes:
    """Each path answers in its format, and repeats what it was asked; a body that it cannot read is an error."""
    try:
        return _answered(request)
    except (ValueError, LookupError, TypeError):
        return json_error(400)(request)


def _answered(request: ReceivedRequest) -> bytes:
    path = request.line.split(b" ")[1].decode().partition("?")[0]
    if request.line.startswith(b"GET "):
        return json_answer({"object": "list", "data": [{"id": "m"}]})
    if path.endswith("/transcriptions"):
        return openai_api.transcription(request.body)
    body = json.loads(request.body)
    if path.endswith("/count_tokens"):
        return json_answer({"input_tokens": 14})
    if path.endswith("/messages"):
        return anthropic_api.streamed(body, request) if body.get("stream") else json_answer(anthropic_api.message(body, request))
    if path.endswith("/rerank"):
        return json_answer({"results": [{"index": 0, "relevance_score": 0.5}]})
    return openai_api._ANSWERS[path.rpartition("/v1")[2]](body)


def whole(request: ReceivedRequest) -> str:
    return (request.head + b"\r\n\r\n" + request.body).decode("latin-1")


def json_error(status: int) -> Answering:
    """An error that repeats the request, as JSON in the shape of most providers, and in its headers."""

    def answer(request: ReceivedRequest) -> bytes:
        said = {"message": f"You sent {whole(request)}", "type": "t", "code": "c", "param": request.head.decode("latin-1")}
        headers = b"x-request-id: req_1\r\nretry-after: 60\r\nwww-authenticate: %b\r\n" % b" ".join(request.header(b"authorization"))
        return json_answer({"error": said, "detail": said, "type": "error", "message": said["message"]}, b"%d No" % status, headers)

    return answer


def text_error(request: ReceivedRequest) -> bytes:
    return response(request.head + b"\r\n\r\n" + request.body, status=b"500 Oh", headers=b"content-type: text/plain\r\n")


def packed_error(request: ReceivedRequest) -> bytes:
    return response(gzip.compress(whole(request).encode()), status=b"400 No", headers=b"content-encoding: gzip\r\n")


def redirect(request: ReceivedRequest) -> bytes:
    key = request.header(b"authorization") or request.header(b"x-api-key") or [b""]
    return response(b"", status=b"302 Found", headers=b"location: http://127.0.0.1:9/?key=%b\r\n" % key[0].replace(b" ", b"+"))


def broken_stream(request: ReceivedRequest) -> bytes:
    return stream_answer(data_event({"choices": [{"delta": {"content": "A"}, "index": 0}]}), b"data: {", ended=False)


FAULTS: dict[str, Answering] = {
    **{f"JSON error {status}": json_error(status) for status in (400, 401, 403, 404, 413, 422, 429, 500, 503, 529)},
    "text error": text_error,
    "packed error": packed_error,
    "redirect": redirect,
    "no JSON": lambda request: response(b"<html>" + request.body, headers=b"content-type: application/json\r\n"),
    "no HTTP": lambda request: request.head + b"\r\n\r\n",
    "a status that is none": lambda request: json_answer({"echo": request.head.decode("latin-1")}, b"999 Odd"),
    "a bad length": lambda request: b"HTTP/1.1 200 OK\r\ncontent-length: " + (request.header(b"authorization") or [b"x"])[0] + b"\r\n\r\n",
    "a giant head": lambda request: b"HTTP/1.1 200 OK\r\n" + b"x-echo: %b\r\n" % (request.line * 9) * 2000 + b"\r\n",
    "bad chunks": lambda request: chunked_response(b"{").replace(b"1\r\n{", b"zz\r\n" + request.line),
    "broken stream": broken_stream,
    "nothing": lambda request: b"",
}
"""What an upstream can do wrong; afterwards it closes the connection."""


@dataclass
class EchoingUpstream:
    """Answers well, as a fault says, or as `answer` does."""

    fault: str | None = None
    answer: Answering | None = None
    heads: list[bytes] = field(default_factory=list)

    async def script(self, peer: Peer) -> None:
        """What is done with each connection."""
        while True:
            request = await peer.request()
            self.heads.append(request.head)
            if self.fault is not None:
                await peer.send(FAULTS[self.fault](request))
                return
            await peer.send((self.answer or answered_well)(request))


class Caller:
    """Sends calls, and keeps every answer. What it puts into prompts is noted in `words`: upstreams and callers may see those."""

    def __init__(self, client: httpx.Client, keys: FirstKeys, driven: Driven, address: str) -> None:
        self.client = client
        self.driven = driven
        self.keys = keys
        self.address = address
        self.words = Driven()
        self.models = Driven()
        self.project = {"authorization": f"Bearer {keys.project_key}"}
        driven.secrets |= {keys.admin_key, keys.project_key, ADMIN_KEY}

    def store(self) -> None:
        """Providers of every wire format, with planted credentials, before the one upstream."""
        token = self.driven.token
        base = f"{self.address}/v1"
        stored: dict[str, dict[str, str]] = {
            "openai": {"OPENAI_API_KEY": token("openai"), "OPENAI_BASE_URL": base},
            "anthropic": {"ANTHROPIC_API_KEY": token("anthropic"), "ANTHROPIC_BASE_URL": self.address},
            "vllm": {"VLLM_API_KEY": token("vllm"), "VLLM_BASE_URL": base},
            "bedrock": {"AWS_ACCESS_KEY_ID": token("id"), "AWS_SECRET_ACCESS_KEY": token("aws"), "AWS_SESSION_TOKEN": token("session")},
            "vertex_ai": {
                "GOOGLE_APPLICATION_CREDENTIALS": json.dumps({"type": "service_account", "private_key": token("private")}),
                "VERTEXAI_PROJECT": "p",
                "VERTEXAI_LOCATION": "global",
            },
        }
        for provider, keys in stored.items():
            # A header holds no é in UTF-8.
            value = self.driven.secret("header").replace("é", "")
            self.driven.secrets.add(value)
            headers = [{"key": "X-Planted", "value": value}]
            update = {"enabled": True, "customKeys": keys, "extraHeaders": headers}
            answer = self.client.put(f"/api/model-providers/{provider}", json=update, headers=self.project)
            assert answer.status_code == 200, answer.text

    def call_well(self) -> None:
        """Every endpoint, whole and streamed, natively and translated."""
        for path, headers, body in self._good_calls():
            self.send("POST", path, self.project | headers, body)
        for path in ("/v1/models", "/v1/models/openai/gpt-5", f"/v1/models/{self.models.token('m')}"):
            self.send("GET", path, self.project)
            self.send("GET", path, {"x-api-key": self.keys.project_key, "anthropic-version": "2023-06-01"})

    def call_badly(self) -> None:
        """Wrong keys, wrong bodies, odd headers and paths, on every endpoint."""
        for path in ENDPOINTS:
            for headers in self._strangers():
                self.send("POST", path, headers | JSON, self._json("openai/m"))
            for body in self._bad_bodies():
                self.send("POST", path, self.project | JSON, body)
            for name in ("x-project-id", "cookie", "traceparent", "x-keyhouse-retries", "baggage", "x-title", "anthropic-version"):
                self.send("POST", path, self.project | JSON | {name: self.driven.token(name)}, self._json("openai/m"))
            self.send("GET", path, self.project)
        token = self.driven.token
        for method in ("GET", "POST", "PATCH", token("method").upper()):
            self.send(method, f"/v1/{token('path')}", self.project)
            self.send(method, f"/v1/chat/completions?key={token('query')}", self.project, self._json("openai/m"))

    def meet_fault(self) -> None:
        """A call of each format and each kind of target while the upstream misbehaves, and the connection tests."""
        for path, headers, body in self._good_calls():
            self.send("POST", path, self.project | headers, body)
        for provider in ("openai", "anthropic", "vllm", "bedrock", "vertex_ai"):
            self.send("POST", f"/api/model-providers/{provider}/test", self.project)

    def send(self, method: str, path: str, headers: dict[str, str], body: bytes | None = None) -> None:
        """A call; what its answer says is kept, as far as it comes."""
        shown = b""
        status = 0
        with_latin = {name: value.encode("latin-1") for name, value in headers.items()}
        try:
            with self.client.stream(method, path, headers=with_latin, content=body) as answer:  # type: ignore[arg-type]
                status = answer.status_code
                shown += b"\n".join(name + b": " + value for name, value in answer.headers.raw if not name.startswith(b"x-keyhouse"))
                for piece in answer.iter_bytes():
                    shown += piece
        except httpx.TransportError:
            shown += b" and broke off"
        self.driven.statuses[method, path.partition("?")[0], status] += 1
        self.driven.answers.add(shown)

    def _good_calls(self) -> Iterator[tuple[str, dict[str, str], bytes]]:
        for path in ENDPOINTS:
            if path.endswith("/transcriptions"):
                yield path, {"content-type": "multipart/form-data; boundary=b"}, self._form()
                continue
            for model in ("openai/m", "anthropic/m", "vllm/m", "bedrock/m", "vertex_ai/m", f"openai/{self.models.token('m')}"):
                yield path, JSON, self._json(model)
                yield path, JSON, self._json(model, stream=True)

    def _json(self, model: str, **further: Any) -> bytes:
        word = self.words.secret
        body = {
            "model": model,
            "messages": [{"role": "system", "content": word("system")}, {"role": "user", "content": word("prompt")}],
            "input": word("input"),
            "prompt": word("prompt"),
            "query": word("query"),
            "documents": [word("document")],
            "voice": "alloy",
            "max_tokens": 9,
            "user": word("user"),
            "metadata": {"user_id": word("user")},
        }
        return json.dumps({**body, **further}).encode()

    def _form(self) -> bytes:
        parts = {'"model"': "openai/whisper-1", '"prompt"': self.words.secret("prompt"), '"file"; filename="a.wav"': self.words.secret("f")}
        text = "".join(f"--b\r\ncontent-disposition: form-data; name={name}\r\n\r\n{value}\r\n" for name, value in parts.items())
        return f"{text}--b--\r\n".encode()

    def _strangers(self) -> Iterator[dict[str, str]]:
        wrong = self.driven.token("wrong")
        basic = base64.b64encode(f"project:{wrong}".encode()).decode()
        yield {}
        yield {"authorization": f"Bearer {wrong}"}
        yield {"authorization": f"Basic {basic}"}
        yield {"authorization": f"Basic {wrong}"}
        yield {"authorization": wrong}
        for name in ("x-api-key", "api-key", "x-auth-token"):
            yield {name: wrong}
        yield {"x-api-key": self.keys.admin_key}
        yield {"x-api-key": self.keys.admin_key, "x-project-id": wrong}
        yield {"x-api-key": ADMIN_KEY}

    def _bad_bodies(self) -> Iterator[bytes]:
        word = self.words.secret
        yield b""
        yield word("text").encode()
        yield json.dumps(word("string")).encode()
        yield json.dumps([word("list")]).encode()
        yield b'{"model": "' + word("cut").encode()
        yield json.dumps({"model": [word("model")]}).encode()
        yield json.dumps({"model": "openai/m", "stream": word("stream")}).encode()
        yield json.dumps({"model": word("model"), "messages": []}).encode()
        yield json.dumps({"model": "anthropic/m", "messages": word("messages"), "tools": word("tools")}).encode()
        yield json.dumps({"model": "anthropic/m", "messages": [{"role": word("role"), "content": [{"type": word("type")}]}]}).encode()
        yield json.dumps({"model": "openai/m", "messages": [{"role": "user", "content": word("deep")}], "n": [[word("n")]]}).encode()
        yield b'{"model": "openai/m", "model": "' + self.words.token("again").encode() + b'"}'
