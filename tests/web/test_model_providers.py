"""The Model Providers API over HTTP, on both databases."""

import httpx

from keyhouse.domain.credentials import MASK
from tests.conftest import ServedHouse


def test_stored_credentials_read_back_masked(client: httpx.Client) -> None:
    answer = client.put("/api/model-providers/openai", json={"enabled": True, "customKeys": {"OPENAI_API_KEY": "sk-planted"}})
    assert answer.status_code == 200
    entry = client.get("/api/model-providers").json()["openai"]
    assert entry["customKeys"] == {"OPENAI_API_KEY": MASK}
    assert entry["enabled"] is True
    assert "sk-planted" not in answer.text


def test_omitted_secret_is_kept_and_public_field_shown(client: httpx.Client) -> None:
    keys = {"OPENAI_API_KEY": "sk-planted", "OPENAI_BASE_URL": "https://llm.example.com/v1"}
    client.put("/api/model-providers/openai", json={"enabled": True, "customKeys": keys})
    answer = client.put("/api/model-providers/openai", json={"enabled": False})
    assert answer.json()["openai"]["customKeys"] == {"OPENAI_API_KEY": MASK, "OPENAI_BASE_URL": "https://llm.example.com/v1"}


def test_changed_origin_asks_for_the_secrets_again(client: httpx.Client) -> None:
    client.put("/api/model-providers/openai", json={"enabled": True, "customKeys": {"OPENAI_API_KEY": "sk-planted"}})
    answer = client.put("/api/model-providers/openai", json={"enabled": True, "customKeys": {"OPENAI_BASE_URL": "https://evil.example"}})
    assert (answer.status_code, answer.json()["error"], answer.json()["fields"]) == (400, "endpoint_changed", ["customKeys.OPENAI_API_KEY"])


def test_rollback_brings_the_secret_back(client: httpx.Client) -> None:
    client.put("/api/model-providers/openai", json={"enabled": True, "customKeys": {"OPENAI_API_KEY": "sk-first"}})
    first = client.get("/api/model-providers/openai/history").json()["data"][0]["fields"]
    client.put("/api/model-providers/openai", json={"enabled": True, "customKeys": {"OPENAI_API_KEY": "sk-second"}})
    assert client.post("/api/model-providers/openai/rollback", json={"version": 1}).status_code == 200
    entries = client.get("/api/model-providers/openai/history").json()["data"]
    assert [entry["action"] for entry in entries] == ["rolled_back", "updated", "created"]
    fingerprints = {change["name"]: change.get("fingerprint") for change in first}
    assert entries[0]["fields"][0]["fingerprint"] == fingerprints["customKeys.OPENAI_API_KEY"]


def test_a_rollback_to_the_state_that_is_in_force_is_a_version_of_its_own(client: httpx.Client) -> None:
    client.put("/api/model-providers/openai", json={"enabled": True, "customKeys": {"OPENAI_API_KEY": "sk-first"}})
    before = client.get("/api/model-providers/openai")
    answer = client.post("/api/model-providers/openai/rollback", json={"version": 1})
    assert (answer.status_code, answer.json()["openai"]) == (200, before.json())
    newest = client.get("/api/model-providers/openai/history").json()["data"][0]
    assert (newest["version"], newest["action"], newest["fields"]) == (2, "rolled_back", [])
    assert client.get("/api/model-providers/openai").headers["etag"] != before.headers["etag"]


def test_delete_destroys_the_secrets_of_the_history(client: httpx.Client) -> None:
    client.put("/api/model-providers/openai", json={"enabled": True, "customKeys": {"OPENAI_API_KEY": "sk-first"}})
    assert client.delete("/api/model-providers/openai").status_code == 200
    answer = client.post("/api/model-providers/openai/rollback", json={"version": 1})
    assert (answer.status_code, answer.json()["error"]) == (409, "secrets_destroyed")


def test_a_state_without_secrets_can_be_brought_back_after_a_deletion(client: httpx.Client) -> None:
    client.put("/api/model-providers/openai", json={"enabled": True, "customModels": ["gpt-of-ours"]})
    before = client.get("/api/model-providers/openai").json()
    assert client.delete("/api/model-providers/openai").status_code == 200
    assert client.post("/api/model-providers/openai/rollback", json={"version": 1}).status_code == 200
    after = client.get("/api/model-providers/openai").json()
    assert (after["enabled"], after["customModels"]) == (True, before["customModels"])
    assert after["customModels"]


def test_failures_come_in_the_order_of_the_contract(shared_house: ServedHouse, client: httpx.Client) -> None:
    nobody = shared_house.anonymous()
    assert nobody.put("/api/model-providers/nonsense", content=b"x").status_code == 401
    assert client.put("/api/model-providers/nonsense", content=b"x", headers={"content-type": "application/json"}).status_code == 400
    answer = client.put("/api/model-providers/nonsense", json={})
    assert (answer.status_code, answer.json()["fields"]) == (422, ["enabled"])
    answer = client.put("/api/model-providers/nonsense", json={"enabled": True})
    assert (answer.status_code, answer.json()["error"]) == (400, "Invalid provider")
    assert client.post("/api/model-providers").status_code == 404
