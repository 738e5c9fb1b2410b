"""Whatever people call things, a page shows it as text."""

import asyncio
import re

from tests.conftest import ServedHouse
from tests.pages.browsing import csrf, signed_in
from tests.safety.test_no_page_leaks import page_routes

ODD = "\"'><img src=x onerror=alert(1)>{{ 7 * 7 }}</title><script>alert(1)</script>"
MODEL = {"modelId": ODD, "displayName": ODD, "mode": "chat"}


def furnish(house: ServedHouse) -> None:
    admin, project = house.client(house.keys.admin_key), house.keys.project_id
    team = admin.get("/api/teams").json()["data"][0]["id"]
    for answer in (
        admin.patch(f"/api/projects/{project}", json={"name": ODD}),
        admin.patch(f"/api/teams/{team}", json={"name": ODD}),
        admin.post("/api/api-keys", json={"keyType": "service", "name": ODD, "description": ODD}),
        house.client().put(
            "/api/model-providers/openai",
            json={
                "enabled": True,
                "customKeys": {"OPENAI_API_KEY": "sk-odd", "OPENAI_BASE_URL": f"http://127.0.0.1:9/v1/{ODD.replace(' ', '/')}"},
                "customModels": [MODEL],
                "customEmbeddingsModels": [{**MODEL, "mode": "embedding"}],
                "extraHeaders": [{"key": "X-'Odd", "value": "odd"}],
                "defaultModel": ODD,
            },
        ),
        house.client().post("/api/model-providers/openai/test"),
    ):
        assert answer.is_success, answer.text


def test_what_people_write_is_shown_as_text(sqlite_house: ServedHouse) -> None:
    furnish(sqlite_house)
    client = signed_in(sqlite_house, sqlite_house.keys.admin_key)
    project = sqlite_house.keys.project_id
    shown = 0
    for route in asyncio.run(page_routes(sqlite_house.settings)):
        for method in sorted((route.methods or set()) - {"HEAD"}):
            if route.path in ("/sign-out", "/sign-in") or (route.path.endswith(("/archive", "/delete", "/try")) and method == "POST"):
                continue
            path = route.path.format(project=project, provider="openai", id=project, key="key_1")
            token = {
                "csrf": csrf(client, f"/projects/{project}/providers"),
                "name": ODD,
                "scope": ODD,
                "q": ODD,
                "model.0.id": ODD,
                "etag": '"x"',
            }
            for headers in ({}, {"hx-request": "true"}):
                answer = client.request(
                    method, path, data=token if method == "POST" else None, params={"q": ODD, "model": ODD, "saved": ODD}, headers=headers
                )
                text = answer.text
                shown += "onerror=alert(1)" in text
                assert not re.search(r"<img|<script>|</title><script", text), (method, path)
                assert "49</title>" not in text
    assert shown > 10
