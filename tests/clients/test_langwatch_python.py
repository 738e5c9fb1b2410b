"""The real `langwatch` package as a client of a served house."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from keyhouse.catalog.catalog import load_catalog
from keyhouse.domain.credentials import MASK
from tests.conftest import ServedHouse

SESSION = Path(__file__).with_name("langwatch_session.py")


def session(house: ServedHouse, key: str, calls: list[list[Any]], project_id: str | None = None) -> list[dict[str, Any]]:
    """What came of some calls of the package, in a process of its own."""
    own = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    environment = {**own, "LANGWATCH_ENDPOINT": house.address, "LANGWATCH_API_KEY": key, "NO_PROXY": "*"}
    if project_id is not None:
        environment["LANGWATCH_PROJECT_ID"] = project_id
    done = subprocess.run(
        [sys.executable, SESSION], env=environment, input=json.dumps(calls), capture_output=True, text=True, check=True, timeout=60
    )
    results: list[dict[str, Any]] = json.loads(done.stdout.splitlines()[-1])
    return results


def put(provider: str, params: dict[str, Any]) -> list[Any]:
    return ["model_providers", "set", [provider], {"params": params}]


LIST: list[Any] = ["model_providers", "list", [], {}]


def test_a_project_key_lists_and_sets_providers(sqlite_house: ServedHouse) -> None:
    keys = {"OPENAI_API_KEY": "sk-planted", "OPENAI_BASE_URL": "https://llm.example.com/v1"}
    models = [{"modelId": "ft:gpt/1", "displayName": "Ours", "mode": "chat", "maxTokens": 4096, "multimodalInputs": ["image"]}]
    headers = [{"key": "X-Team", "value": "blue"}]
    calls = [
        LIST,
        put("openai", {"enabled": True, "customKeys": keys, "customModels": models, "extraHeaders": headers}),
        LIST,
        put("openai", {"enabled": False}),
        put("nonsense", {"enabled": True}),
        put("open/ai", {"enabled": True}),
        put("openai", {"enabled": True, "customKeys": {"OPENAI_API_KEY": ""}}),
        put("google_agent_platform", {"enabled": True}),
        put("openai", {"enabled": "yes"}),
    ]
    results = session(sqlite_house, sqlite_house.keys.project_key, calls)
    before, written, after, off = (result["value"] for result in results[:4])
    assert list(before) == list(load_catalog().providers)
    assert "id" not in before["openai"]
    assert written == after
    assert written["openai"]["customKeys"] == {"OPENAI_API_KEY": MASK, "OPENAI_BASE_URL": "https://llm.example.com/v1"}
    assert written["openai"]["customModels"] == models
    assert written["openai"]["extraHeaders"] == [{"key": "X-Team", "value": MASK}]
    assert off["openai"] == written["openai"] | {"enabled": False}

    unknown, slash, invalid, deprecated, schema = results[4:]
    assert unknown == slash == {"raised": "ValueError", "message": "Bad request: Invalid provider"}
    assert invalid["raised"] == "ValueError"
    assert "Invalid API key configuration for openai. Please verify your credentials." in invalid["message"]
    assert "This model provider is no longer available to add." in deprecated["message"]
    assert schema["raised"] == "RuntimeError"
    assert schema["message"].startswith("Unexpected status 422: ")
    assert "enabled" in schema["message"]


def test_an_organizations_key_names_its_project(sqlite_house: ServedHouse) -> None:
    keys = sqlite_house.keys
    calls = [put("openai", {"enabled": True, "customKeys": {"OPENAI_API_KEY": "sk-planted"}})]
    (written,) = session(sqlite_house, keys.admin_key, calls, keys.project_id)
    assert sqlite_house.client().get("/api/model-providers/openai").json() == written["value"]["openai"]
    assert written["value"]["openai"]["enabled"] is True


def test_a_wrong_key_is_an_authentication_failure(sqlite_house: ServedHouse) -> None:
    listed, written = session(sqlite_house, "sk-lw-" + "x" * 48, [LIST, put("openai", {"enabled": True})])
    assert listed["raised"] == written["raised"] == "RuntimeError"
    assert listed["message"].startswith("Authentication failed: ")
