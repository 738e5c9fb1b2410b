"""The model defaults of a project over HTTP, on both databases."""

import pytest

from tests.conftest import ServedHouse
from tests.web.tenant import failure, new_tenant

NOTHING = {"DEFAULT": None, "FAST": None, "EMBEDDINGS": None}


def test_project_without_a_default_model_says_where_it_lies(shared_house: ServedHouse) -> None:
    tenant = new_tenant(shared_house)
    project = tenant.project()
    answer = shared_house.client(tenant.project_key(project["id"])).get("/api/model-defaults")
    assert answer.status_code == 200
    assert answer.json() == {
        "scope": {"projectId": project["id"], "teamId": tenant.team_id, "organizationId": tenant.id, "organizationName": "Acme"},
        "effective": NOTHING,
        "configs": [],
    }


@pytest.mark.parametrize(("given", "stored"), [("gpt-5-mini", "openai/gpt-5-mini"), ("openai/gpt-5-mini", "openai/gpt-5-mini")])
def test_default_model_of_a_provider_becomes_the_projects(shared_house: ServedHouse, given: str, stored: str) -> None:
    tenant = new_tenant(shared_house)
    project = tenant.project()
    client = shared_house.client(tenant.project_key(project["id"]))
    put = {"enabled": True, "customKeys": {"OPENAI_API_KEY": "sk-x"}, "defaultModel": given}
    assert client.put("/api/model-providers/openai", json=put).status_code == 200
    found = client.get("/api/model-defaults").json()
    assert found["effective"] == NOTHING | {"DEFAULT": {"model": stored, "source": "project", "scope": project["id"]}}
    assert found["configs"] == [
        {
            "id": project["id"],
            "config": {"DEFAULT": stored},
            "scopes": [{"type": "PROJECT", "id": project["id"], "name": project["name"]}],
            "createdAt": project["createdAt"],
            "updatedAt": found["configs"][0]["updatedAt"],
        }
    ]
    client.put("/api/model-providers/openai", json={"enabled": True})
    assert client.get("/api/model-defaults").json()["effective"]["DEFAULT"]["model"] == stored
    client.put("/api/model-providers/openai", json={"enabled": True, "defaultModel": ""})
    assert client.get("/api/model-defaults").json()["effective"] == NOTHING


def test_api_key_that_may_view_the_project_reads_its_defaults(shared_house: ServedHouse) -> None:
    tenant = new_tenant(shared_house)
    project, other = tenant.project("One"), tenant.project("Other")
    only = tenant.key("VIEWER", "PROJECT", project["id"])
    assert only.get("/api/model-defaults").json()["scope"]["projectId"] == project["id"]
    denied = only.get("/api/model-defaults", headers={"X-Project-Id": other["id"]})
    assert (failure(denied), denied.json()["permission"]) == ((403, "api_key_permission_denied"), "project:view")
    whole = tenant.key("VIEWER")
    assert whole.get("/api/model-defaults", headers={"X-Project-Id": other["id"]}).json()["scope"]["projectId"] == other["id"]
    assert failure(whole.get("/api/model-defaults")) == (401, "Unauthorized")
    assert failure(shared_house.anonymous().get("/api/model-defaults")) == (401, "Unauthorized")
