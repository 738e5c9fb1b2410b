"""What each page asks of a key, over all addresses that there are: a new page stands in no list until somebody puts it there."""

import asyncio

import httpx
import pytest

from tests.conftest import ServedHouse
from tests.pages.browsing import csrf, signed_in
from tests.safety.test_no_page_leaks import page_routes
from tests.web.tenant import new_tenant

VIEWED = {
    ("GET", "/projects/{project}/providers"),
    ("GET", "/projects/{project}/providers/{provider}/history"),
    ("GET", "/projects/{project}/key"),
    ("GET", "/projects/{project}/try"),
    ("POST", "/projects/{project}/try"),
    ("GET", "/organization/projects"),
    ("GET", "/"),
    ("POST", "/sign-out"),
}
FORM = {"enabled": "true", "do": "show", "request": '{"model":"openai/none"}', "role": "ADMIN", "scope": "ORGANIZATION:"}
FORM |= {"name": "Another", "language": "python", "framework": "other", "new_team": "Another"}


def answers(house: ServedHouse, client: httpx.Client, token: str) -> dict[tuple[str, str], int]:
    """The status of every page that needs a session, by method and address; signing out comes last."""
    found = {}
    admin = house.client(house.keys.admin_key)
    team, key = admin.get("/api/teams").json()["data"][0]["id"], admin.get("/api/api-keys").json()["data"][-1]["id"]
    for route in sorted(asyncio.run(page_routes(house.settings)), key=lambda route: route.path == "/sign-out"):
        for method in sorted((route.methods or set()) - {"HEAD"}):
            if route.path != "/sign-in":
                form = {**FORM, "csrf": token} if method == "POST" else None
                thing = team if "/teams/" in route.path else house.keys.project_id
                path = route.path.format(project=house.keys.project_id, provider="openai", id=thing, key=key)
                found[method, route.path] = client.request(method, path, data=form).status_code
    return found


@pytest.mark.parametrize("kind", ["view-only", "of another organization", "nobody's"])
def test_every_page_asks_for_its_right(sqlite_house: ServedHouse, kind: str) -> None:
    project = f"/projects/{sqlite_house.keys.project_id}"
    before = sqlite_house.client().get("/api/model-providers").json()
    if kind == "nobody's":
        found = answers(sqlite_house, sqlite_house.anonymous(), "0" * 64)
        assert set(found.values()) == {303}
    elif kind == "view-only":
        admin = sqlite_house.client(sqlite_house.keys.admin_key)
        made = admin.post("/api/api-keys", json={"keyType": "service", "name": "Looks on", "permissionMode": "readonly"}).json()
        client = signed_in(sqlite_house, made["token"])
        found = answers(sqlite_house, client, csrf(client, f"{project}/providers"))
        assert {page for page, status in found.items() if status != 403} == VIEWED
    else:
        client = signed_in(sqlite_house, new_tenant(sqlite_house).admin_token)
        found = answers(sqlite_house, client, csrf(client, "/organization/projects"))
        assert {status for (_, path), status in found.items() if "{" in path} == {404}
    assert sqlite_house.client().get("/api/model-providers").json() == before
