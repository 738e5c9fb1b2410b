"""Who may come in, by which header, and in which words everybody else is sent away."""

from base64 import b64encode

import anthropic
import httpx
import openai
import pytest

from tests.conftest import NO_CERTIFICATES
from tests.gateway_road.conftest import openai_client
from tests.gateway_road.upstreams import json_answer

CHAT = "/v1/chat/completions"
BODY = {"model": "gpt-5-mini", "messages": [{"role": "user", "content": "Hi"}]}
WRONG = "sk-lw-" + "x" * 48


def call(road, headers, path=CHAT, body=BODY, method="POST"):
    return httpx.request(
        method, f"{road.house.address}{path}", json=body, headers=headers, timeout=30, trust_env=False, verify=NO_CERTIFICATES
    )


@pytest.mark.parametrize("name", ["Authorization", "x-api-key", "api-key", "X-Auth-Token"])
def test_the_project_key_is_taken_from_each_of_four_headers(road, name):
    road.store()
    key = road.house.keys.project_key
    assert call(road, {name: f"Bearer {key}" if name == "Authorization" else key}).status_code == 200
    assert key.encode() not in road.request.head


def test_a_bearer_may_stand_behind_several_blanks(road):
    road.store()
    assert call(road, {"Authorization": f"bEARER   {road.house.keys.project_key}"}).status_code == 200


@pytest.mark.parametrize(
    ("first", "second"),
    [("Authorization", "x-api-key"), ("x-api-key", "api-key"), ("api-key", "X-Auth-Token"), ("Authorization", "api-key")],
)
def test_the_first_header_present_decides_whatever_the_next_one_holds(road, first, second):
    road.store()
    right, wrong = road.house.keys.project_key, WRONG

    def spelt(name: str, key: str) -> str:
        return f"Bearer {key}" if name == "Authorization" else key

    assert call(road, {first: spelt(first, wrong), second: spelt(second, right)}).status_code == 401
    assert call(road, {first: spelt(first, right), second: spelt(second, wrong)}).status_code == 200


def test_an_empty_header_is_no_header(road):
    road.store()
    assert call(road, {"x-api-key": "", "api-key": road.house.keys.project_key}).status_code == 200


@pytest.mark.parametrize("authorization", ["Digest abc", "Bearer", "Basic !!!", "sk-lw-raw"])
def test_an_authorization_that_holds_no_key_is_refused_even_beside_a_right_key(road, authorization):
    answer = call(road, {"authorization": authorization, "x-api-key": road.house.keys.project_key})
    assert answer.status_code == 401
    assert answer.json()["error"]["code"] == "invalid_credentials"


def test_errors_wear_the_envelope_of_openai(road):
    answer = call(road, {})
    assert answer.status_code == 401
    error = answer.json()["error"]
    assert error.keys() == {"message", "type", "param", "code"}
    assert (error["type"], error["code"]) == ("authentication_error", "unauthenticated")
    assert answer.headers["x-request-id"] == answer.headers["x-keyhouse-request-id"]


@pytest.mark.parametrize("path", ["/v1/messages", "/v1/messages/count_tokens", "/v1/messages/batches"])
def test_errors_wear_the_envelope_of_anthropic_on_its_paths(road, path):
    answer = call(road, {}, path)
    body = answer.json()
    assert body.keys() == {"type", "error", "request_id"}
    assert body["error"].keys() == {"type", "message"}
    assert body["error"]["type"] in ("authentication_error", "not_found_error")
    assert body["request_id"] == answer.headers["request-id"] == answer.headers["x-keyhouse-request-id"]


def test_a_scoped_key_names_its_project(road):
    road.store()
    http = road.house.client(road.house.keys.admin_key)
    made = http.post("/api/api-keys", json={"keyType": "service", "name": "calls", "permissionMode": "readonly"})
    token = made.json()["token"]
    assert call(road, {"x-api-key": token}).status_code == 401
    assert call(road, {"x-api-key": token, "X-Project-Id": road.house.keys.project_id}).status_code == 200
    assert call(road, {"x-api-key": token, "X-Project-Id": "project_of_nobody"}).status_code == 401


def test_basic_names_the_project_as_its_user(road):
    road.store()
    http = road.house.client(road.house.keys.admin_key)
    token = http.post("/api/api-keys", json={"keyType": "service", "name": "calls by Basic", "permissionMode": "readonly"}).json()["token"]
    project, key = road.house.keys.project_id, road.house.keys.project_key

    def status(user: str, password: str) -> int:
        return call(road, {"authorization": "Basic " + b64encode(f"{user}:{password}".encode()).decode(), "x-api-key": key}).status_code

    assert [status(project, token), status("anybody", key)] == [200, 200]
    assert [status("project_of_nobody", token), status(project, WRONG)] == [401, 401]


@pytest.mark.parametrize("path", [CHAT, "/v1/models"])
def test_a_key_that_may_not_view_the_project_calls_nothing(road, path):
    road.store()
    asked = {"keyType": "service", "name": "blind", "permissionMode": "restricted", "permissions": ["project:update"]}
    token = road.house.client(road.house.keys.admin_key).post("/api/api-keys", json=asked).json()["token"]
    for _ in range(2):
        answer = call(road, {"x-api-key": token, "x-project-id": road.house.keys.project_id}, path, BODY, "POST" if path == CHAT else "GET")
        assert (answer.status_code, answer.json()["error"]["code"]) == (403, "permission_denied")
        assert "project:view" in answer.json()["error"]["message"]
    assert road.upstream.requests == []


def test_an_unknown_path_is_404_in_the_envelope(road):
    answer = call(road, {}, "/v1/unknown")
    assert (answer.status_code, answer.json()["error"]["code"]) == (404, "route_not_found")


def test_another_method_is_405_and_says_which_one_is_taken(road):
    answer = call(road, {}, CHAT, None, "GET")
    assert (answer.status_code, answer.headers["allow"]) == (405, "POST")
    assert call(road, {}, "/v1/models", {}, "POST").headers["allow"] == "GET"


@pytest.mark.parametrize(
    ("body", "code", "param"),
    [
        (b"", "malformed_request", None),
        (b"{", "malformed_request", None),
        (b"[]", "bad_request", None),
        (b'{"model":7}', "bad_request", "model"),
        (b'{"model":"a","model":"b"}', "bad_request", "model"),
        (b'{"model":"a","stream":1}', "bad_request", "stream"),
        (b'{"mode\\u006c":"a"}', "bad_request", "model"),
    ],
)
def test_a_body_that_could_be_read_in_two_ways_never_leaves(road, body, code, param):
    road.store()
    answer = road.post(CHAT, body)
    assert answer.status_code == 400
    assert (answer.json()["error"]["code"], answer.json()["error"]["param"]) == (code, param)
    assert road.upstream.requests == []


def test_every_answer_names_the_request_the_provider_and_the_model(road):
    road.store()
    answer = road.chat("openai/gpt-5-mini")
    assert answer.headers["x-keyhouse-request-id"].startswith("req_")
    assert (answer.headers["x-keyhouse-provider"], answer.headers["x-keyhouse-model"]) == ("openai", "gpt-5-mini")
    assert answer.headers["x-request-id"] == "req_of_the_upstream"
    assert road.chat("gpt-5-mini").headers["x-keyhouse-request-id"] != answer.headers["x-keyhouse-request-id"]


def test_our_request_id_stands_where_the_upstream_gave_none(road):
    road.store()
    road.answers(json_answer({"choices": []}))
    answer = road.chat()
    assert answer.headers["x-request-id"] == answer.headers["x-keyhouse-request-id"]


@pytest.mark.parametrize("letter", ["x", "ü"])
def test_a_models_endless_name_makes_no_endless_header(road, letter):
    """Clients and proxies refuse answers whose head is larger than a few KiB."""
    road.store()
    for status, model in ((200, letter * 2000), (400, f"error-{'0' * 2000}400"), (502, f"error-{letter * 2000}")):
        answer = road.chat(f"openai/{model}")
        assert answer.status_code == status
        assert 1000 <= len(answer.headers["x-keyhouse-model"]) <= 6000


def test_what_the_gateway_has_not_is_told_with_what_it_has(road):
    key = road.house.keys.project_key
    with (
        openai_client(road.house.address, key) as client,
        pytest.raises(openai.NotFoundError, match=r"takes POST on .*/v1/responses") as raised,
    ):
        client.responses.retrieve("resp_1")
    assert raised.value.code == "route_not_found"
    with (
        anthropic.Anthropic(base_url=road.house.address, api_key=key, max_retries=0) as client,
        pytest.raises(anthropic.NotFoundError, match="at the provider itself") as refused,
    ):
        client.beta.files.list()
    assert refused.value.body["type"] == "error"
