"""A provider's own list of models over the API: asked for as a connection test asks, and nothing of it is kept."""

import httpx
import pytest

from keyhouse.services.connection_test import LISTS_A_MINUTE
from tests.conftest import ServedHouse
from tests.gateway.fault_upstream import answering_once
from tests.gateway_road import openai_api
from tests.gateway_road.conftest import Store
from tests.gateway_road.upstreams import Upstream, answered_by, json_answer

LISTED = ["zeta-1", "gpt-5-mini", "text-embedding-3-small"]
NOTHING = {"models": [], "complete": True}


def listing(**more: object) -> bytes:
    return json_answer({"object": "list", "data": [{"id": name} for name in LISTED], **more})


def ask(house: ServedHouse, provider: str = "openai", token: str | None = None) -> httpx.Response:
    return house.client(token).get(f"/api/model-providers/{provider}/live-models")


def test_the_list_is_told_and_what_the_catalogue_knows_is_marked(sqlite_house: ServedHouse, store: Store, upstream: Upstream) -> None:
    upstream.script = answered_by(lambda request: listing())
    store(enabled=False, customModels=["not-listed"], extraHeaders=[{"key": "X-Team", "value": "blue"}])
    told = ask(sqlite_house).json()
    assert told["models"] == [
        {"id": "gpt-5-mini", "known": True},
        {"id": "text-embedding-3-small", "known": True},
        {"id": "zeta-1", "known": False},
    ]
    assert (told["verdict"], told["status"], told["complete"]) == ("verified", 200, True)
    [request] = upstream.requests
    assert request.line == b"GET /v1/models HTTP/1.1"
    assert request.header(b"x-team") == [b"blue"]
    assert sqlite_house.client().get("/api/model-providers/openai/test").json() == {"lastTest": None}


def test_a_list_that_goes_on_is_said_to(sqlite_house: ServedHouse, store: Store, upstream: Upstream) -> None:
    upstream.script = answered_by(lambda request: listing(has_more=True))
    store()
    assert ask(sqlite_house).json()["complete"] is False


def test_of_an_endless_list_and_of_endless_names_a_page_gets_the_beginning(
    sqlite_house: ServedHouse, store: Store, upstream: Upstream
) -> None:
    names = [f"model-{number}" for number in range(6000)] + ["x" * 300]
    upstream.script = answered_by(lambda request: json_answer({"data": [{"id": name} for name in names]}))
    store(customModels=["model-5999"])
    told = ask(sqlite_house).json()
    assert (len(told["models"]), told["complete"], told["verdict"]) == (5000, False, "verified")
    names[:] = ["short", "x" * 257]
    told = ask(sqlite_house).json()
    assert ([model["id"] for model in told["models"]], told["complete"]) == (["short"], False)


def test_a_list_of_ever_so_many_values_is_none(sqlite_house: ServedHouse, store: Store, upstream: Upstream) -> None:
    upstream.script = answered_by(lambda request: json_answer({"data": [{"id": "a"}], "more": [[]] * 100_000}))
    store()
    assert ask(sqlite_house).json()["verdict"] == "wrong_endpoint"


REFUSAL = json_answer({"error": {"message": f"bad key {openai_api.KEY}"}}, b"401 Unauthorized")


@pytest.mark.parametrize(
    ("answer", "verdict"),
    [(REFUSAL, "key_refused"), (json_answer({"hello": 1}), "wrong_endpoint"), (b"", "unreachable")],
    ids=["refusal", "something else", "end"],
)
def test_a_failure_has_the_verdict_of_a_test_and_no_word_of_the_provider(
    sqlite_house: ServedHouse, store: Store, upstream: Upstream, answer: bytes, verdict: str
) -> None:
    upstream.script = answering_once(answer)
    store()
    answered = ask(sqlite_house)
    assert answered.status_code == 200
    tested = sqlite_house.client().post("/api/model-providers/openai/test").json()
    assert answered.json() == {**tested, **NOTHING}
    assert tested["verdict"] == verdict
    assert openai_api.KEY not in answered.text


def test_a_provider_without_a_list_says_so(sqlite_house: ServedHouse) -> None:
    body = {"enabled": True, "customKeys": {"VOYAGE_API_KEY": "k"}}
    assert sqlite_house.client().put("/api/model-providers/voyage", json=body).status_code == 200
    assert ask(sqlite_house, "voyage").json()["verdict"] == "unchecked"


def test_it_needs_the_right_to_change_and_a_stored_provider(sqlite_house: ServedHouse, store: Store) -> None:
    assert (ask(sqlite_house).status_code, ask(sqlite_house, "nobody").status_code) == (404, 404)
    store()
    admin = sqlite_house.client(sqlite_house.keys.admin_key)
    made = admin.post("/api/api-keys", json={"keyType": "service", "name": "Looks on", "permissionMode": "readonly"}).json()
    client = sqlite_house.client(made["token"], **{"X-Project-Id": sqlite_house.keys.project_id})
    assert client.get("/api/model-providers/openai/live-models").status_code == 403


def test_lists_have_a_limit_and_leave_that_of_tests_alone(sqlite_house: ServedHouse, store: Store, upstream: Upstream) -> None:
    upstream.script = answered_by(lambda request: listing())
    store()
    for _ in range(LISTS_A_MINUTE):
        assert ask(sqlite_house).status_code == 200
    answer = ask(sqlite_house)
    assert (answer.status_code, int(answer.headers["retry-after"]) > 0) == (429, True)
    assert len(upstream.requests) == LISTS_A_MINUTE
    assert sqlite_house.client().post("/api/model-providers/openai/test").status_code == 200
