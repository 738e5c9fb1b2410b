"""API keys that tests make, and what is shown of them."""

from datetime import UTC, datetime, timedelta
from typing import Any

import httpx

from tests.web.tenant import Tenant

NEW = {"keyType": "service", "name": "CI"}


def soon(hours: int = 1) -> str:
    return (datetime.now(UTC) + timedelta(hours=hours)).isoformat()


def made(tenant: Tenant, **more: object) -> tuple[str, httpx.Client]:
    """A new key's id, and a client with it."""
    answer = tenant.admin.post("/api/api-keys", json={**NEW, **more})
    assert answer.status_code == 201, answer.text
    return answer.json()["apiKey"]["id"], tenant.house.client(answer.json()["token"])


def shown(tenant: Tenant, key_id: str) -> dict[str, Any]:
    return dict(tenant.admin.get(f"/api/api-keys/{key_id}").json())
