"""LangWatch's own reading of its API document, shipped with the `langwatch` package, understands every answer here."""

import json
import os
import re
import subprocess
import sys
from datetime import datetime
from pathlib import Path
from typing import Any

from tests.conftest import ADMIN_KEY, ServedHouse
from tests.web.tenant import new_tenant

PROGRAM = Path(__file__).with_name("langwatch_generated.py")
PROVIDER = {
    "enabled": True,
    "customKeys": {"OPENAI_API_KEY": "sk-planted", "OPENAI_BASE_URL": "https://llm.example.com/v1"},
    "customModels": [{"modelId": "ft:1", "displayName": "Ours", "mode": "chat", "maxTokens": 4096, "multimodalInputs": ["image"]}],
    "customEmbeddingsModels": [{"modelId": "e", "displayName": "E", "mode": "embedding", "supportedParameters": []}],
    "extraHeaders": [{"key": "X-Team", "value": "blue"}],
    "defaultModel": "ft:1",
}
RESTRICTED = {"keyType": "service", "name": "Restricted", "permissionMode": "restricted", "permissions": ["project:view"]}

# An identifier may end in a Z as well.
_MOMENT = re.compile(r"\d{4}-\d\d-\d\dT.+Z")


def outcomes(house: ServedHouse, calls: list[list[Any]]) -> list[dict[str, Any]]:
    own = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    environment = {**own, "LANGWATCH_ENDPOINT": house.address, "LANGWATCH_SKIP_OTEL_SETUP": "true", "NO_PROXY": "*"}
    done = subprocess.run(
        [sys.executable, PROGRAM], env=environment, input=json.dumps(calls), capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    found: list[dict[str, Any]] = json.loads(done.stdout.splitlines()[-1])
    return found


def same(read: Any, sent: Any) -> bool:
    """Whether nothing was lost in reading; moments are told with another zone's name."""
    if isinstance(sent, dict):
        return isinstance(read, dict) and read.keys() == sent.keys() and all(same(read[name], sent[name]) for name in sent)
    if isinstance(sent, list):
        return isinstance(read, list) and len(read) == len(sent) and all(map(same, read, sent))
    is_moment = isinstance(sent, str) and _MOMENT.fullmatch(sent) is not None
    return bool(datetime.fromisoformat(read) == datetime.fromisoformat(sent) if is_moment else read == sent)


def test_every_answer_is_read_without_loss(sqlite_house: ServedHouse) -> None:
    tenant = new_tenant(sqlite_house)
    project, admin = tenant.project(), tenant.admin_token
    key = project["serviceApiKey"]
    here, its_key = {"id": project["id"]}, {"id": project["serviceApiKeyId"]}
    named = {"name": "Made by LangWatch's client", "language": "python", "framework": "other"}
    calls: list[list[Any]] = [
        [ADMIN_KEY, "list_organizations", {}, None],
        [ADMIN_KEY, "get_organization_by_id", {"id": tenant.id}, None],
        [ADMIN_KEY, "provision_organization", {}, {"name": "Provisioned by LangWatch's client"}],
        [admin, "create_project", {}, named | {"teamId": tenant.team_id}],
        [admin, "list_projects", {}, None],
        [admin, "get_project", here, None],
        [admin, "update_project", here, {"language": "typescript"}],
        [admin, "get_project_api_key", here, None],
        [admin, "regenerate_project_api_key", here, None],
        [admin, "create_api_key", {}, RESTRICTED],
        [admin, "list_api_keys", {}, None],
        [admin, "get_api_key", its_key, None],
        [key, "put_api_model_providers_by_provider", {"provider": "openai"}, PROVIDER],
        [key, "get_api_model_providers", {}, None],
        [key, "get_api_model_defaults", {}, None],
        [key, "put_api_model_providers_by_provider", {"provider": "unknown"}, PROVIDER],
        [admin, "update_api_key", its_key, {"description": "Builds", "permissionMode": "readonly"}],
        [key, "put_api_model_providers_by_provider", {"provider": "openai"}, PROVIDER],
        [admin, "revoke_api_key", its_key, None],
        [key, "get_api_model_providers", {}, None],
        [admin, "archive_project", here, None],
    ]
    found = outcomes(sqlite_house, calls)
    refused = {15: 400, 17: 403, 19: 401}
    made = ("provision_organization", "create_project", "create_api_key")
    expected = [refused.get(at, 201 if call[1] in made else 200) for at, call in enumerate(calls)]
    assert [outcome["status"] for outcome in found] == expected
    assert [call[1] for call, outcome in zip(calls, found, strict=True) if not same(outcome["read"], outcome["sent"])] == [calls[17][1]]
