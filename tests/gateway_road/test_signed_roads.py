"""Calls that are signed one by one, the whole way: a client, the gateway, a token endpoint or AWS's own arithmetic, and the answer."""

import itertools
import json
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import httpx
import openai
import pytest

from tests.conftest import ServedHouse
from tests.gateway.conftest import Authority, authority  # noqa: F401 - a fixture
from tests.gateway.fault_upstream import ReceivedRequest, response
from tests.gateway.test_google_token import key_file, verified_claims
from tests.gateway_road import anthropic_api, converse_api, openai_api
from tests.gateway_road.aws_side import signed_scope
from tests.gateway_road.conftest import openai_client
from tests.gateway_road.internet import Internet, house_in
from tests.gateway_road.upstreams import json_answer

QUESTION: Any = [{"role": "user", "content": "What is new?"}]
TOKENS = "oauth2.googleapis.com"
VERTEX = "europe-west4-aiplatform.googleapis.com"
AWS = {"AWS_ACCESS_KEY_ID": "AKIDEXAMPLE", "AWS_SECRET_ACCESS_KEY": "a/secret+of-aws-123456", "AWS_REGION_NAME": "eu-central-1"}
_accounts = itertools.count(1)


@dataclass
class Google:
    """The token endpoint and the models behind it. Any token that was issued and not revoked is taken."""

    lifetime_s: int = 3600
    issued: list[str] = field(default_factory=list)
    claims: list[dict[str, Any]] = field(default_factory=list)
    refusal: bytes | None = None
    revoked: set[str] = field(default_factory=set)
    busy: int = 0

    def __call__(self, host: str, request: ReceivedRequest) -> bytes:
        return self._token(request) if host == TOKENS else self._model(request)

    def _token(self, request: ReceivedRequest) -> bytes:
        self.claims.append(verified_claims(request))
        if self.refusal is not None:
            return self.refusal
        self.issued.append(f"ya29.token-{len(self.issued) + 1}")
        return json_answer({"access_token": self.issued[-1], "expires_in": self.lifetime_s, "token_type": "Bearer"})

    def _model(self, request: ReceivedRequest) -> bytes:
        [authorization] = request.header(b"authorization")
        token = authorization.decode().removeprefix("Bearer ")
        if token not in self.issued or token in self.revoked:
            return json_answer(
                [{"error": {"code": 401, "message": f"Bad token: {token}", "status": "UNAUTHENTICATED"}}], b"401 Unauthorized"
            )
        if self.busy:
            self.busy -= 1
            return json_answer([{"error": {"code": 429, "message": "Quota exceeded", "status": "RESOURCE_EXHAUSTED"}}], b"429 Busy")
        body = json.loads(request.body)
        if b"Predict HTTP" in request.line:
            claude = {"model": "claude", **body}
            streams = b":streamRawPredict" in request.line
            return anthropic_api.streamed(claude, request) if streams else json_answer(anthropic_api.message(claude, request))
        return openai_api.chat(body)


@pytest.fixture(scope="module")
def connected(tmp_path_factory: pytest.TempPathFactory, authority: Authority) -> Iterator[tuple[ServedHouse, Internet]]:  # noqa: F811
    """A house whose way out leads to that proxy."""
    internet = Internet(Google(), authority.server_context)
    with house_in(internet, tmp_path_factory.mktemp("signed"), authority) as house:
        yield house, internet


@dataclass
class World:
    """A house and what is behind it."""

    house: ServedHouse
    internet: Internet
    google: Google

    def put(self, provider: str, keys: dict[str, str]) -> None:
        answer = self.house.client().put(f"/api/model-providers/{provider}", json={"enabled": True, "customKeys": keys})
        assert answer.status_code == 200, answer.text

    def put_account(self, **changes: Any) -> None:
        """A service account that nobody has used before."""
        account = key_file(f"https://{TOKENS}/token", **{"client_email": f"robot-{next(_accounts)}@p.iam.gserviceaccount.com", **changes})
        self.put("vertex_ai", {"GOOGLE_APPLICATION_CREDENTIALS": account, "VERTEXAI_PROJECT": "p", "VERTEXAI_LOCATION": "europe-west4"})

    def client(self) -> openai.OpenAI:
        return openai_client(self.house.address, self.house.keys.project_key)

    def post(self, path: str, **body: Any) -> httpx.Response:
        return self.house.client().post(path, json={"messages": QUESTION, **body})

    def asked(self, host: str) -> list[ReceivedRequest]:
        return [request for called, request in self.internet.asked if called == host]


@pytest.fixture
def world(connected: tuple[ServedHouse, Internet]) -> World:
    house, internet = connected
    internet.answering = google = Google()
    internet.asked.clear()
    return World(house, internet, google)


def test_a_service_account_becomes_a_token_and_the_token_a_call(world: World) -> None:
    world.put_account()
    with world.client() as client:
        whole = client.chat.completions.create(model="vertex_ai/gemini-3-flash", messages=QUESTION)
        chunks = list(client.chat.completions.create(model="vertex_ai/gemini-3-flash", messages=QUESTION, stream=True))
    assert whole.choices[0].message.content == "You said: What is new?"
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices) == "You said: What is new?"
    assert len(world.google.claims) == 1
    first, second = world.asked(VERTEX)
    assert first.line == b"POST /v1/projects/p/locations/europe-west4/endpoints/openapi/chat/completions HTTP/1.1"
    assert first.header(b"authorization") == second.header(b"authorization") == [b"Bearer ya29.token-1"]
    assert json.loads(first.body)["model"] == "google/gemini-3-flash"
    assert world.house.keys.project_key.encode() not in first.head + first.body


def test_claude_on_vertex_answers_both_kinds_of_clients(world: World) -> None:
    world.put_account()
    body = {"model": "vertex_ai/claude-sonnet-4-5", "max_tokens": 10}
    assert world.post("/v1/messages", **body).json()["content"][0]["text"].startswith("You said")
    assert "message_stop" in world.post("/v1/messages", **body, stream=True).text
    assert world.post("/v1/chat/completions", **body).json()["choices"][0]["message"]["content"].startswith("You said")
    assert world.post("/v1/chat/completions", **body, stream=True).text.endswith("data: [DONE]\n\n")
    verbs = [request.line.partition(b" HTTP")[0].rpartition(b":")[2] for request in world.asked(VERTEX)]
    assert verbs == [b"rawPredict", b"streamRawPredict", b"rawPredict", b"streamRawPredict"]
    assert all("model" not in json.loads(request.body) for request in world.asked(VERTEX))
    assert len(world.google.issued) == 1


def test_claude_on_vertex_counts_tokens(world: World) -> None:
    world.put_account()
    world.post("/v1/messages/count_tokens", model="vertex_ai/claude-sonnet-4-5", drop_tuning_params=True)
    [request] = world.asked(VERTEX)
    path = b"/v1/projects/p/locations/europe-west4/publishers/anthropic/models/count-tokens:rawPredict"
    assert request.line == b"POST " + path + b" HTTP/1.1"
    assert json.loads(request.body) == {"anthropic_version": "vertex-2023-10-16", "messages": QUESTION, "model": "claude-sonnet-4-5"}


def test_claude_on_vertex_is_not_asked_for_an_advisor_that_it_lacks(world: World) -> None:
    world.put_account()
    for path in ("/v1/messages", "/v1/messages/count_tokens"):
        body = {"model": "vertex_ai/claude-sonnet-4-5", "max_tokens": 10, "messages": QUESTION}
        betas = {"anthropic-beta": "advisor-tool-2026-03-01,effort-2025-11-24"}
        answer = world.house.client().post(path, json=body, headers=betas)
        assert answer.headers["x-keyhouse-params-dropped"] == "anthropic-beta: advisor-tool-2026-03-01"
    assert [request.header(b"anthropic-beta") for request in world.asked(VERTEX)] == [[b"effort-2025-11-24"]] * 2


def test_claude_on_vertex_counts_where_a_search_or_a_longer_context_is_named(world: World) -> None:
    world.put_account()
    betas = {"anthropic-beta": "context-1m-2025-08-07,claude-code-20250219,web-search-2025-03-05"}
    body = {"model": "vertex_ai/claude-sonnet-4-5", "max_tokens": 10, "messages": QUESTION}
    paths = ("/v1/messages/count_tokens", "/v1/messages")
    answers = [world.house.client().post(path, json=body, headers=betas) for path in paths]
    assert [answer.headers.get("x-keyhouse-params-dropped") for answer in answers] == [
        "anthropic-beta: context-1m-2025-08-07, anthropic-beta: web-search-2025-03-05",
        None,
    ]
    counted, asked = world.asked(VERTEX)
    assert counted.header(b"anthropic-beta") == [b"claude-code-20250219"]
    assert asked.header(b"anthropic-beta") == [betas["anthropic-beta"].encode()]


def test_claude_on_vertex_is_not_told_who_shares_its_cache(world: World) -> None:
    world.put_account()
    shared = {"cache_control": {"type": "ephemeral", "ttl": "1h", "scope": "global"}}
    arguments = {"scope": "all", **shared}
    call = {"type": "tool_use", "id": "t1", "name": "f", "input": arguments}
    result = {"type": "tool_result", "tool_use_id": "t1", "content": [{"type": "text", "text": "ok", **shared}]}
    tool = {"name": "f", "input_schema": {"type": "object", "properties": arguments}}
    body = {
        "model": "vertex_ai/claude-sonnet-4-5",
        "max_tokens": 10,
        "system": [{"type": "text", "text": "Be brief."}, {"type": "text", "text": "Be kind.", **shared}],
        "tools": [{**tool, **shared}],
        "messages": [*QUESTION, {"role": "assistant", "content": [call]}, {"role": "user", "content": [result]}],
        **shared,
    }
    betas = {"anthropic-beta": "claude-code-20250219,prompt-caching-scope-2026-01-05"}

    answer = world.house.client().post("/v1/messages", json=body, headers=betas)
    assert answer.headers["x-keyhouse-params-dropped"] == "cache_control.scope, anthropic-beta: prompt-caching-scope-2026-01-05"
    [request] = world.asked(VERTEX)
    assert request.header(b"anthropic-beta") == [b"claude-code-20250219"]
    sent, kept = json.loads(request.body), {"type": "ephemeral", "ttl": "1h"}
    assert sent["system"] == [{"type": "text", "text": "Be brief."}, {"type": "text", "text": "Be kind.", "cache_control": kept}]
    assert sent["tools"] == [{**tool, "cache_control": kept}]
    assert sent["messages"][1]["content"] == [call]
    assert sent["messages"][2]["content"][0]["content"] == [{"type": "text", "text": "ok", "cache_control": kept}]
    assert sent["messages"][2]["content"][0]["cache_control"] == kept
    refused = world.house.client().post("/v1/messages", json={**body, "drop_tuning_params": False})
    assert (refused.status_code, refused.json()["error"]["message"][:20]) == (400, "cache_control.scope:")


def test_many_first_calls_at_once_fetch_one_token(world: World) -> None:
    world.put_account()
    together = threading.Barrier(12)

    def call(number: int) -> int:
        together.wait()
        return world.post("/v1/chat/completions", model="vertex_ai/gemini-3-flash").status_code

    with ThreadPoolExecutor(12) as threads:
        assert set(threads.map(call, range(12))) == {200}
    assert len(world.google.claims) == 1
    assert len(world.asked(VERTEX)) == 12


def test_a_token_that_has_expired_is_replaced_before_the_call(world: World) -> None:
    world.put_account()
    world.google.lifetime_s = 5
    for _ in range(3):
        assert world.post("/v1/chat/completions", model="vertex_ai/gemini-3-flash").status_code == 200
    sent = [request.header(b"authorization")[0] for request in world.asked(VERTEX)]
    assert sent == [b"Bearer ya29.token-1", b"Bearer ya29.token-2", b"Bearer ya29.token-3"]


def test_a_token_that_the_models_refuse_is_told_as_they_tell_it(world: World) -> None:
    world.put_account()
    world.google.revoked = {"ya29.token-1"}
    answer = world.post("/v1/chat/completions", model="vertex_ai/gemini-3-flash")
    assert answer.status_code == 401
    assert "Bad token: ***" in answer.text
    assert "ya29" not in answer.text
    assert len(world.asked(VERTEX)) == 1
    # It is not kept for the rest of its hour.
    assert world.post("/v1/chat/completions", model="vertex_ai/gemini-3-flash").status_code == 200
    assert world.google.issued == ["ya29.token-1", "ya29.token-2"]


def test_another_error_of_the_models_costs_no_token(world: World) -> None:
    world.put_account()
    world.google.busy = 1
    assert [world.post("/v1/chat/completions", model="vertex_ai/gemini-3-flash").status_code for _ in range(2)] == [429, 200]
    assert world.google.issued == ["ya29.token-1"]


def test_an_account_whose_tokens_are_all_refused_does_not_ask_for_one_each_time(world: World) -> None:
    world.put_account()
    world.google.revoked = {f"ya29.token-{number}" for number in range(9)}
    answers = [world.post("/v1/chat/completions", model="vertex_ai/gemini-3-flash") for _ in range(4)]
    assert {answer.status_code for answer in answers} == {401}
    assert len(world.google.issued) == 2


@pytest.mark.parametrize(
    ("refusal", "status", "code"),
    [
        (json_answer({"error": "invalid_grant", "error_description": "a secret word"}, b"400 Bad Request"), 400, "provider_incomplete"),
        (response(b"a secret word", status=b"503 Service Unavailable"), 502, "upstream_unreachable"),
        (response(b"a secret word", status=b"429 Too Many Requests"), 503, "upstream_busy"),
        (response(b"<html>a secret word"), 502, "upstream_invalid_answer"),
    ],
)
def test_a_refused_service_account_is_an_error_of_its_own(world: World, refusal: bytes, status: int, code: str) -> None:
    world.put_account()
    world.google.refusal = refusal
    for path in ("/v1/chat/completions", "/v1/messages"):
        answer = world.post(path, model="vertex_ai/claude-sonnet-4-5", max_tokens=10)
        assert answer.status_code == status, answer.text
        assert "secret word" not in answer.text
        assert code == answer.json()["error"].get("code", code)
    assert world.asked(VERTEX) == []
    world.google.refusal = None
    assert world.post("/v1/chat/completions", model="vertex_ai/gemini-3-flash").status_code == 200


@pytest.mark.parametrize("changes", [{"private_key": "no key"}, {"client_email": None}, {"type": "authorized_user"}])
def test_a_service_account_that_cannot_sign_is_told_without_a_call(world: World, changes: dict[str, Any]) -> None:
    world.put_account(**changes)
    answer = world.post("/v1/chat/completions", model="vertex_ai/gemini-3-flash")
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "provider_incomplete")
    assert world.internet.asked == []


@pytest.mark.parametrize("session_token", ["", "FwoGZXIvYXdzEXAMPLE/token=="])
def test_calls_of_bedrock_are_signed_over_what_is_sent(world: World, session_token: str) -> None:
    world.internet.answering = lambda host, request: (
        openai_api.chat(json.loads(request.body)) if b"/openai/v1/" in request.line else converse_api.answer(request)
    )
    world.put("bedrock", {**AWS, **({"AWS_SESSION_TOKEN": session_token} if session_token else {"AWS_SESSION_TOKEN": ""})})
    models = (
        "anthropic.claude-sonnet-4-5-20250929-v1:0",
        "arn:aws:bedrock:eu-central-1:1:inference-profile/eu.x",
        "openai.gpt-oss-120b-1:0",
    )
    with world.client() as client:
        for model in models:
            whole = client.chat.completions.create(model=f"bedrock/{model}", messages=QUESTION, extra_headers={"x-stainless-note": "a  b"})
            chunks = list(client.chat.completions.create(model=f"bedrock/{model}", messages=QUESTION, stream=True))
            assert whole.choices[0].message.content.startswith("You said: ")
            assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices).startswith("You said: ")
    assert world.post("/v1/messages", model=f"bedrock/{models[0]}", max_tokens=9).json()["content"][0]["text"].startswith("You said")
    requests = world.asked("bedrock-runtime.eu-central-1.amazonaws.com")
    assert [request.line.split(b" ")[1] for request in requests] == [
        b"/model/anthropic.claude-sonnet-4-5-20250929-v1%3A0/converse",
        b"/model/anthropic.claude-sonnet-4-5-20250929-v1%3A0/converse-stream",
        b"/model/arn%3Aaws%3Abedrock%3Aeu-central-1%3A1%3Ainference-profile%2Feu.x/converse",
        b"/model/arn%3Aaws%3Abedrock%3Aeu-central-1%3A1%3Ainference-profile%2Feu.x/converse-stream",
        b"/openai/v1/chat/completions",
        b"/openai/v1/chat/completions",
        b"/model/anthropic.claude-sonnet-4-5-20250929-v1%3A0/converse",
    ]
    for request in requests:
        assert signed_scope(request, AWS["AWS_SECRET_ACCESS_KEY"]) == ("AKIDEXAMPLE", "eu-central-1", "bedrock")
        assert request.header(b"x-amz-security-token") == ([session_token.encode()] if session_token else [])


def test_a_call_of_bedrock_may_have_headers_in_any_letters(world: World) -> None:
    world.internet.answering = lambda host, request: converse_api.answer(request)
    world.put("bedrock", AWS)
    sent = {"x-title": "Café".encode("latin-1"), "idempotency-key": b"k-1"}
    answer = world.house.client().post("/v1/chat/completions", json={"model": "bedrock/m", "messages": QUESTION}, headers=sent)
    assert answer.status_code == 200
    [request] = world.asked("bedrock-runtime.eu-central-1.amazonaws.com")
    assert signed_scope(request, AWS["AWS_SECRET_ACCESS_KEY"]) == ("AKIDEXAMPLE", "eu-central-1", "bedrock")
    assert [request.header(name.encode()) for name in sent] == [[value] for value in sent.values()]


def test_calls_of_bedrock_are_signed_while_others_are(world: World) -> None:
    world.internet.answering = lambda host, request: converse_api.answer(request)
    world.put("bedrock", AWS)
    with ThreadPoolExecutor(8) as threads:
        answers = list(
            threads.map(
                lambda number: world.post(
                    "/v1/chat/completions", model="bedrock/m", messages=[{"role": "user", "content": f"Nr. {number}"}]
                ),
                range(24),
            )
        )
    assert [answer.json()["choices"][0]["message"]["content"] for answer in answers] == [f"You said: Nr. {number}" for number in range(24)]
    for request in world.asked("bedrock-runtime.eu-central-1.amazonaws.com"):
        signed_scope(request, AWS["AWS_SECRET_ACCESS_KEY"])


def test_a_signature_that_aws_repeats_is_hidden(world: World) -> None:
    world.internet.answering = lambda host, request: json_answer({"message": request.head.decode()}, b"403 Forbidden")
    world.put("bedrock", {**AWS, "AWS_SESSION_TOKEN": "session/token=="})
    answer = world.post("/v1/chat/completions", model="bedrock/m")
    assert "authorization: AWS4-HMAC-SHA256 Credential=***" in answer.json()["error"]["message"]
    [request] = world.asked("bedrock-runtime.eu-central-1.amazonaws.com")
    [signature] = request.header(b"authorization")
    assert signature.rpartition(b"Signature=")[2].decode() not in answer.text
    for secret in ("AKIDEXAMPLE", "session/token=="):
        assert secret not in answer.text


def test_a_signature_that_aws_refuses_is_told_with_its_status_and_without_the_signature(world: World) -> None:
    told = {"message": f"The security token included in the request is invalid. {AWS['AWS_SECRET_ACCESS_KEY']}"}
    kind = b"x-amzn-errortype: UnrecognizedClientException\r\n"
    world.internet.answering = lambda host, request: json_answer(told, b"403 Forbidden", kind)
    world.put("bedrock", AWS)
    with world.client() as client, pytest.raises(openai.PermissionDeniedError) as refused:
        client.chat.completions.create(model="bedrock/m", messages=QUESTION)
    assert "security token included" in str(refused.value)
    assert AWS["AWS_SECRET_ACCESS_KEY"] not in str(refused.value)
