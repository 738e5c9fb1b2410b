"""When a change is in force: at once in its own process, within a second in every other, and what happens while the database is away."""

import json

import pytest

from tests.conftest import ServedHouse, running_postgres
from tests.gateway_road import openai_api
from tests.gateway_road.conftest import storing_in
from tests.gateway_road.road_spies import line_to, watched_roads
from tests.gateway_road.upstreams import Upstream
from tests.gateway_road.waiting import until

BODY = {"model": "gpt-5-mini", "messages": [{"role": "user", "content": "Hi"}]}
OTHER_KEY = "sk-upstream-other-0987654321"


def chat(house: ServedHouse, key: str | None = None, model: str = "gpt-5-mini"):
    with house.client(key) as client:
        return client.post("/v1/chat/completions", json={**BODY, "model": model})


def keys_seen(upstream: Upstream) -> list[bytes]:
    return [request.header(b"authorization")[0].removeprefix(b"Bearer ") for request in upstream.requests]


def test_a_change_is_in_force_for_the_next_request_of_its_process(house, upstream):
    store = storing_in(house, upstream)
    address = {"OPENAI_BASE_URL": f"{upstream.address}/v1"}
    store()
    assert chat(house).status_code == 200
    store(customKeys={**address, "OPENAI_API_KEY": OTHER_KEY})
    assert chat(house).status_code == 401
    store(customKeys={**address, "OPENAI_API_KEY": openai_api.KEY}, extraHeaders=[{"key": "X-Team", "value": "blue"}])
    assert chat(house).status_code == 200
    assert upstream.requests[-1].header(b"x-team") == [b"blue"]
    assert keys_seen(upstream) == [openai_api.KEY.encode(), OTHER_KEY.encode(), openai_api.KEY.encode()]
    store(enabled=False)
    assert chat(house).json()["error"]["code"] == "model_not_found"
    store()
    assert chat(house).status_code == 200
    assert house.client().delete("/api/model-providers/openai").status_code == 200
    assert chat(house).json()["error"]["code"] == "model_not_found"


def test_a_new_key_of_the_project_ends_the_old_one_at_once(house, upstream):
    storing_in(house, upstream)()
    assert chat(house).status_code == 200
    path = f"/api/projects/{house.keys.project_id}/regenerate-api-key"
    new = house.client(house.keys.admin_key).post(path).json()["apiKey"]
    assert chat(house).status_code == 401
    assert chat(house, new).status_code == 200


def test_an_archived_project_is_closed_at_once(house, upstream):
    storing_in(house, upstream)()
    assert chat(house).status_code == 200
    assert house.client(house.keys.admin_key).delete(f"/api/projects/{house.keys.project_id}").status_code == 200
    assert chat(house).status_code == 401


def test_a_change_reaches_another_process_by_itself(serve, database_url, upstream):
    one, other = serve(database_url=database_url), serve(database_url=database_url)
    store = storing_in(one, upstream)
    store()
    until(lambda: chat(other).status_code == 200)
    store(enabled=False)
    until(lambda: chat(other).status_code == 400)
    store()
    until(lambda: chat(other).status_code == 200)


@pytest.fixture
def own_postgres():
    with running_postgres() as server:
        yield server


def test_warm_projects_are_served_while_the_database_is_away_and_everything_heals(serve, own_postgres, upstream):
    house = serve(database_url=own_postgres.empty_database())
    store = storing_in(house, upstream)
    store()
    made = house.client(house.keys.admin_key).post(
        "/api/projects", json={"name": "n", "language": "l", "framework": "f", "newTeamName": "t"}
    )
    cold = made.json()["serviceApiKey"]
    # Every request of the control plane catches up first: no notice of what was just made comes later and cools what is warm.
    assert house.client().get("/api/model-providers").status_code == 200
    assert chat(house).status_code == 200
    with watched_roads() as roads, line_to(house) as line:
        for _ in range(2):
            assert line.ask("/v1/chat/completions", json.dumps(BODY).encode()).status == 200
        own_postgres.stop()
        assert line.ask("/v1/chat/completions", json.dumps(BODY).encode()).status == 200
    assert (roads.begun, roads.ended) == ([True] * 2, ["answered"] * 2)
    for model in ("gpt-5-mini", "openai/gpt-5", "gpt-of-tomorrow"):
        assert chat(house, model=model).status_code == 200
    for key in ("sk-lw-" + "x" * 48, cold):
        refused = chat(house, key)
        assert (refused.status_code, refused.json()["error"]["code"]) == (503, "storage_unavailable")
    assert house.client().put("/api/model-providers/openai", json={"enabled": False}).status_code == 503
    assert chat(house).status_code == 200
    own_postgres.start()
    until(lambda: house.client().put("/api/model-providers/openai", json={"enabled": False}).status_code == 200)
    assert chat(house).json()["error"]["code"] == "model_not_found"
    assert chat(house, cold).json()["error"]["code"] == "model_not_found"
