"""The connection test over the API: what is asked of whom, and what its caller is told."""

import json
import threading

import httpx
import pytest

from keyhouse.services.connection_test import TESTS_A_MINUTE
from tests.conftest import Serve, ServedHouse
from tests.gateway.fault_upstream import ReceivedRequest, response
from tests.gateway_road import openai_api
from tests.gateway_road.conftest import Store, storing_in
from tests.gateway_road.upstreams import Upstream, answered_by, json_answer

MODELS = {"object": "list", "data": [{"id": "gpt-5-mini", "object": "model"}]}


def _listing(request: ReceivedRequest) -> bytes:
    if request.header(b"authorization") != [f"Bearer {openai_api.KEY}".encode()]:
        return json_answer({"error": {"message": "Incorrect API key: " + repr(request.head)}}, b"401 Unauthorized")
    return json_answer(MODELS)


@pytest.fixture(autouse=True)
def _lists(upstream: Upstream) -> None:
    upstream.script = answered_by(_listing)


def answer_of(house: ServedHouse, provider: str = "openai", token: str | None = None, **options: object) -> httpx.Response:
    return house.client(token).post(f"/api/model-providers/{provider}/test", **options)  # type: ignore[arg-type]


def test_good_credentials_are_verified_by_one_get(sqlite_house: ServedHouse, store: Store, upstream: Upstream) -> None:
    store(extraHeaders=[{"key": "X-Team", "value": "blue"}])
    answer = answer_of(sqlite_house)
    assert answer.status_code == 200
    assert answer.json() == {"verdict": "verified", "message": "The provider accepted the stored credentials.", "status": 200}
    [request] = upstream.requests
    assert request.line == b"GET /v1/models HTTP/1.1"
    assert request.header(b"x-team") == [b"blue"]
    assert request.body == b""


def test_bad_credentials_are_refused_and_the_providers_words_stay_there(
    sqlite_house: ServedHouse, store: Store, upstream: Upstream
) -> None:
    store(customKeys={"OPENAI_API_KEY": "sk-wrong-key", "OPENAI_BASE_URL": f"{upstream.address}/v1"})
    answer = answer_of(sqlite_house)
    assert (answer.json()["verdict"], answer.json()["status"]) == ("key_refused", 401)
    assert "Incorrect" not in answer.text
    assert "sk-wrong" not in answer.text


def test_the_answer_names_the_state_that_was_tested(sqlite_house: ServedHouse, store: Store) -> None:
    store()
    tested = answer_of(sqlite_house).headers["etag"]
    client = sqlite_house.client()
    assert client.get("/api/model-providers/openai").headers["etag"] == tested
    store(customModels=["gpt-12"])
    late = client.put("/api/model-providers/openai", json={"enabled": False}, headers={"If-Match": tested})
    assert (late.status_code, late.json()["fields"]) == (412, ["customModels"])


def test_a_disabled_provider_is_tested_too(sqlite_house: ServedHouse, store: Store) -> None:
    store(enabled=False)
    assert answer_of(sqlite_house).json()["verdict"] == "verified"


def test_a_model_of_the_project_that_is_not_listed_is_missing(sqlite_house: ServedHouse, store: Store) -> None:
    store(customModels=["gpt-5-mini", "gpt-12"])
    answer = answer_of(sqlite_house).json()
    assert (answer["verdict"], answer["status"]) == ("model_missing", 200)
    assert "gpt-12" in answer["message"]


def test_no_address_is_taken_from_the_request(sqlite_house: ServedHouse, store: Store, upstream: Upstream) -> None:
    store()
    elsewhere = {"customKeys": {"OPENAI_BASE_URL": "http://127.0.0.1:1/v1"}, "endpoint": "http://127.0.0.1:1"}
    assert answer_of(sqlite_house, json=elsewhere).json()["verdict"] == "verified"
    assert answer_of(sqlite_house, content=b"{not json", headers={"content-type": "application/json"}).json()["verdict"] == "verified"
    assert len(upstream.requests) == 2


def test_a_header_of_the_project_replaces_the_credentials(sqlite_house: ServedHouse, store: Store, upstream: Upstream) -> None:
    store(extraHeaders=[{"key": "authorization", "value": "Bearer of-the-gateway-before"}])
    assert answer_of(sqlite_house).json()["verdict"] == "key_refused"
    assert upstream.requests[0].header(b"authorization") == [b"Bearer of-the-gateway-before"]


@pytest.mark.parametrize(
    ("provider", "keys", "verdict"),
    [
        ("voyage", {"VOYAGE_API_KEY": "k"}, "unchecked"),
        ("azure_safety", {"AZURE_CONTENT_SAFETY_ENDPOINT": "https://a.example", "AZURE_CONTENT_SAFETY_KEY": "k"}, "unchecked"),
        ("azure", {"AZURE_API_GATEWAY_BASE_URL": "https://gateway.example", "AZURE_OPENAI_API_KEY": "k"}, "unchecked"),
        ("azure", {"AZURE_OPENAI_API_KEY": "k"}, "unreachable"),
        ("custom", {"CUSTOM_API_KEY": "k"}, "unreachable"),
        ("vertex_ai", {"GOOGLE_APPLICATION_CREDENTIALS": "{}", "VERTEXAI_PROJECT": "p", "VERTEXAI_LOCATION": "global"}, "key_refused"),
    ],
)
def test_what_cannot_be_asked_is_told(sqlite_house: ServedHouse, store: Store, provider: str, keys: dict[str, str], verdict: str) -> None:
    store(provider, customKeys=keys)
    answer = answer_of(sqlite_house, provider).json()
    assert (answer["verdict"], answer["status"]) == (verdict, None)


def test_a_blocked_address_names_its_rule(serve: Serve, upstream: Upstream) -> None:
    house = serve(allow_private_addresses=False)
    storing_in(house, upstream)()
    answer = answer_of(house).json()
    assert answer["verdict"] == "blocked"
    assert "loopback_address" in answer["message"]
    assert upstream.requests == []


def test_the_test_goes_through_the_proxy_of_real_calls(serve: Serve, upstream: Upstream) -> None:
    # For plain http a proxy is asked with the whole address: the upstream stands in for one.
    house = serve(http_proxy=upstream.address)
    storing_in(house, upstream)(customKeys={"OPENAI_API_KEY": openai_api.KEY, "OPENAI_BASE_URL": "http://provider.example/v1"})
    assert answer_of(house).json()["verdict"] == "verified"
    assert upstream.requests[0].line == b"GET http://provider.example/v1/models HTTP/1.1"


def test_nobody_without_the_right_tests(sqlite_house: ServedHouse, store: Store) -> None:
    store()
    organization = sqlite_house.client(sqlite_house.keys.admin_key)
    key = organization.post("/api/api-keys", json={"keyType": "service", "name": "reader", "permissionMode": "readonly"}).json()["token"]
    project = organization.get("/api/projects").json()["data"][0]["id"]
    refused = sqlite_house.client(key, **{"X-Project-Id": project}).post("/api/model-providers/openai/test")
    assert (refused.status_code, refused.json()["permission"]) == (403, "project:update")
    assert sqlite_house.anonymous().post("/api/model-providers/openai/test").status_code == 401


def test_what_does_not_exist_is_404(sqlite_house: ServedHouse) -> None:
    assert answer_of(sqlite_house, "nobody").status_code == 404
    assert answer_of(sqlite_house, "together_ai").json()["message"] == "There is no such model provider. It is called together here."
    assert answer_of(sqlite_house, "openai").json() == {"error": "not_found", "message": "Nothing is stored for openai in this project."}


def test_twenty_tests_a_minute_are_enough(sqlite_house: ServedHouse, store: Store, upstream: Upstream) -> None:
    store()
    answers: list[int] = []
    testing = [threading.Thread(target=lambda: answers.append(answer_of(sqlite_house).status_code)) for _ in range(TESTS_A_MINUTE)]
    for thread in testing:
        thread.start()
    for thread in testing:
        thread.join()
    assert answers == [200] * TESTS_A_MINUTE
    refused = answer_of(sqlite_house)
    assert refused.status_code == 429
    assert refused.json()["error"] == "too_many_requests"
    assert 0 < int(refused.headers["retry-after"]) <= 60
    assert len(upstream.requests) == TESTS_A_MINUTE


def last_of(house: ServedHouse, provider: str = "openai", token: str | None = None) -> dict[str, object] | None:
    answer = house.client(token).get(f"/api/model-providers/{provider}/test")
    assert answer.status_code == 200
    last: dict[str, object] | None = answer.json()["lastTest"]
    return last


def test_the_last_test_says_who_when_and_what_and_every_process_sees_it(serve: Serve, upstream: Upstream) -> None:
    house, other = serve(), serve()
    store = storing_in(house, upstream)
    store()
    assert last_of(other) is None
    answer_of(house)
    last = last_of(other)
    assert last is not None
    assert (last["verdict"], last["status"], last["current"]) == ("verified", 200, True)
    assert last["message"] == "The provider accepted the stored credentials."
    assert last["actor"] == {"id": house.keys.project_id, "name": "project key of My project"}
    store(customKeys={"OPENAI_API_KEY": "sk-another-key", "OPENAI_BASE_URL": f"{upstream.address}/v1"})
    assert (last_of(other) or {})["current"] is False
    answer_of(other)
    last = last_of(house)
    assert last is not None
    assert (last["verdict"], last["current"]) == ("key_refused", True)


def test_the_last_test_may_be_seen_by_who_may_not_test(sqlite_house: ServedHouse, store: Store) -> None:
    store()
    answer_of(sqlite_house)
    organization = sqlite_house.client(sqlite_house.keys.admin_key)
    key = organization.post("/api/api-keys", json={"keyType": "service", "name": "reader", "permissionMode": "readonly"}).json()["token"]
    reader = sqlite_house.client(key, **{"X-Project-Id": sqlite_house.keys.project_id})
    assert reader.get("/api/model-providers/openai/test").json()["lastTest"]["verdict"] == "verified"
    assert sqlite_house.anonymous().get("/api/model-providers/openai/test").status_code == 401
    assert sqlite_house.client().get("/api/model-providers/nobody/test").status_code == 404


def test_the_contracts_answers_do_not_grow_by_a_test(sqlite_house: ServedHouse, store: Store) -> None:
    store()
    before = sqlite_house.client().get("/api/model-providers").content
    answer_of(sqlite_house)
    assert sqlite_house.client().get("/api/model-providers").content == before


def test_the_document_describes_it(sqlite_house: ServedHouse) -> None:
    operation = json.loads(sqlite_house.anonymous().get("/openapi.json").content)["paths"]["/api/model-providers/{provider}/test"]["post"]
    assert "requestBody" not in operation
    assert {"200", "401", "403", "404", "429"} <= set(operation["responses"])


def test_an_unforeseen_body_of_the_upstream_is_no_proof(sqlite_house: ServedHouse, store: Store, upstream: Upstream) -> None:
    store()
    upstream.script = answered_by(lambda request: response(b"<html>It works!</html>"))
    answer = answer_of(sqlite_house)
    assert (answer.json()["verdict"], answer.json()["status"]) == ("wrong_endpoint", 200)
    assert "It works" not in answer.text
