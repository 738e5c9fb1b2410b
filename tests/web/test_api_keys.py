"""API keys over HTTP, on both databases."""

import re
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from keyhouse.domain.tenancy import Permission
from keyhouse.storage.last_uses import put_last_uses
from tests.conftest import Serve, ServedHouse
from tests.storage.houses import run_on
from tests.web.api_keys import NEW, made, shown, soon
from tests.web.tenant import ADMIN_NEEDED, REFUSED_NAMES, failure, forbidden, new_tenant, refused_field

FIELDS = {
    "id",
    "name",
    "description",
    "keyType",
    "permissionMode",
    "permissions",
    "createdAt",
    "expiresAt",
    "revokedAt",
    "lastUsedAt",
    "bindings",
    "roleBindings",
}


def test_created_key_shows_its_token_once(shared_house: ServedHouse) -> None:
    tenant = new_tenant(shared_house)
    answer = tenant.admin.post("/api/api-keys", json={**NEW, "name": " CI ", "description": "Nightly\nbuilds"})
    made = answer.json()
    assert (answer.status_code, set(made), set(made["apiKey"])) == (201, {"token", "apiKey"}, {"id", "name", "createdAt"})
    assert answer.headers["cache-control"] == "no-store"
    assert re.fullmatch("sk-lw-[A-Za-z0-9]{16}_[A-Za-z0-9]{48}", made["token"])
    one = tenant.admin.get(f"/api/api-keys/{made['apiKey']['id']}")
    assert set(one.json()) == FIELDS
    assert (one.json()["name"], one.json()["description"], one.json()["keyType"]) == ("CI", "Nightly\nbuilds", "service")
    listed = tenant.admin.get("/api/api-keys")
    assert (listed.json()["data"][0], listed.json()["pagination"]) == (one.json(), {"page": 1, "limit": 50, "total": 2})
    for text in (one.text, listed.text):
        assert "sk-lw-" not in text
        assert made["token"][6:22] not in text


def test_key_without_bindings_is_admin_on_the_organization(shared_house: ServedHouse) -> None:
    tenant = new_tenant(shared_house)
    key_id, client = made(tenant)
    whole = [{"role": "ADMIN", "scopeType": "ORGANIZATION", "scopeId": tenant.id}]
    assert shown(tenant, key_id)["bindings"] == shown(tenant, key_id)["roleBindings"] == whole
    assert client.post("/api/api-keys", json=NEW).status_code == 201


def test_key_of_project_ids_is_admin_on_those_alone(shared_house: ServedHouse) -> None:
    tenant = new_tenant(shared_house)
    one, two, three = (tenant.project(name)["id"] for name in ("One", "Two", "Three"))
    key_id, client = made(tenant, projectIds=[one, two, one])
    assert shown(tenant, key_id)["bindings"] == [{"role": "ADMIN", "scopeType": "PROJECT", "scopeId": scope} for scope in (one, two)]
    statuses = [client.get("/api/model-providers", headers={"X-Project-Id": project}).status_code for project in (one, two, three)]
    assert statuses == [200, 200, 403]
    assert client.get("/api/model-providers").status_code == 401


@pytest.mark.parametrize(
    ("role", "view", "update", "manage"), [("VIEWER", 200, 403, 403), ("MEMBER", 200, 200, 403), ("ADMIN", 200, 200, 200)]
)
@pytest.mark.parametrize("scope_type", ["ORGANIZATION", "TEAM", "PROJECT"])
def test_role_holds_within_its_scope(shared_house: ServedHouse, scope_type: str, role: str, view: int, update: int, manage: int) -> None:
    tenant = new_tenant(shared_house)
    project = tenant.project()["id"]
    scope = {"ORGANIZATION": tenant.id, "TEAM": tenant.team_id, "PROJECT": project}[scope_type]
    client = tenant.key(role, scope_type, scope)
    client.headers["X-Project-Id"] = project
    assert client.get("/api/model-providers").status_code == view
    put = client.put("/api/model-providers/openai", json={"enabled": True})
    assert put.status_code == update
    if update == 403:
        assert (put.json()["error"], put.json()["permission"]) == ("api_key_permission_denied", "project:update")
    assert client.post(f"/api/projects/{project}/regenerate-api-key").status_code == manage


def test_restricted_key_may_do_just_that_and_readonly_just_view(shared_house: ServedHouse) -> None:
    tenant = new_tenant(shared_house)
    project = tenant.project()["id"]
    for more, permissions in (
        ({"permissionMode": "restricted", "permissions": ["project:view", "project:view"]}, ["project:view"]),
        ({"permissionMode": "readonly"}, []),
    ):
        key_id, client = made(tenant, **more)
        found = shown(tenant, key_id)
        assert (found["permissionMode"], found["permissions"]) == (more["permissionMode"], permissions)
        client.headers["X-Project-Id"] = project
        assert client.get("/api/model-providers").status_code == 200
        assert client.put("/api/model-providers/openai", json={"enabled": True}).status_code == 403
        assert forbidden(client.post("/api/api-keys", json=NEW), ADMIN_NEEDED)


def test_restricted_permissions_grant_nothing_that_the_role_does_not(shared_house: ServedHouse) -> None:
    tenant = new_tenant(shared_house)
    client = tenant.key("VIEWER", permissionMode="restricted", permissions=["project:view", "project:update"])
    client.headers["X-Project-Id"] = tenant.project()["id"]
    assert client.get("/api/model-providers").status_code == 200
    assert client.put("/api/model-providers/openai", json={"enabled": True}).status_code == 403


@pytest.mark.parametrize(
    ("fields", "refused"),
    [
        ({"keyType": "personal"}, "keyType"),
        ({"keyType": "other"}, "keyType"),
        ({"keyType": None}, "keyType"),
        ({"permissionMode": "everything"}, "permissionMode"),
        ({"permissionMode": ["all"]}, "permissionMode"),
        ({"permissionMode": "restricted"}, "permissions"),
        ({"permissionMode": "restricted", "permissions": []}, "permissions"),
        ({"permissionMode": "restricted", "permissions": ["project:fly"]}, "permissions.0"),
        ({"permissionMode": "restricted", "permissions": ["project:view", 1]}, "permissions.1"),
        ({"permissionMode": "restricted", "permissions": "project:view"}, "permissions"),
        ({"permissions": ["project:view"]}, "permissions"),
        ({"permissionMode": "all", "permissions": ["project:view"]}, "permissions"),
        ({"permissionMode": "readonly", "permissions": ["project:view"]}, "permissions"),
        ({"bindings": []}, "bindings"),
        ({"bindings": {}}, "bindings"),
        ({"bindings": None}, "bindings"),
        ({"bindings": [{}]}, "bindings.0.role"),
        ({"bindings": [{"role": "OWNER", "scopeType": "TEAM", "scopeId": "x"}]}, "bindings.0.role"),
        ({"bindings": [{"role": "admin", "scopeType": "TEAM", "scopeId": "x"}]}, "bindings.0.role"),
        ({"bindings": [{"role": "ADMIN", "scopeType": "WORLD", "scopeId": "x"}]}, "bindings.0.scopeType"),
        ({"bindings": [{"role": "ADMIN", "scopeType": "TEAM", "scopeId": 1}]}, "bindings.0.scopeId"),
        ({"bindings": [{"role": "ADMIN", "scopeType": "TEAM", "scopeId": "x"}] * 101}, "bindings"),
        ({"projectIds": []}, "projectIds"),
        ({"projectIds": "project_1"}, "projectIds"),
        ({"projectIds": [""]}, "projectIds.0"),
        ({"projectIds": ["x"], "bindings": [{"role": "ADMIN", "scopeType": "TEAM", "scopeId": "x"}]}, "(root)"),
        ({"description": None}, "description"),
        ({"description": "a\x00b"}, "description"),
        ({"description": "x" * 2001}, "description"),
    ],
)
def test_body_against_the_schema_is_refused_and_makes_nothing(shared_house: ServedHouse, fields: dict[str, Any], refused: str) -> None:
    tenant = new_tenant(shared_house)
    answer = tenant.admin.post("/api/api-keys", json=NEW | fields)
    assert refused_field(answer)[0] == refused  # type: ignore[index]
    if fields.get("keyType") == "personal":
        assert "no human users" in answer.json()["message"]
    assert tenant.admin.get("/api/api-keys").json()["pagination"]["total"] == 1


def test_key_type_is_needed(shared_house: ServedHouse) -> None:
    assert refused_field(new_tenant(shared_house).admin.post("/api/api-keys", json={"name": "CI"})) == ["keyType"]


@pytest.mark.parametrize("name", REFUSED_NAMES)
def test_name_that_is_none_is_refused(shared_house: ServedHouse, name: object) -> None:
    tenant = new_tenant(shared_house)
    key_id, _ = made(tenant)
    assert refused_field(tenant.admin.post("/api/api-keys", json=NEW | {"name": name})) == ["name"]
    assert refused_field(tenant.admin.patch(f"/api/api-keys/{key_id}", json={"name": name})) == ["name"]


def test_binding_to_what_is_not_the_organizations_own_is_a_bad_request(shared_house: ServedHouse) -> None:
    tenant, other = new_tenant(shared_house), new_tenant(shared_house)
    foreign, archived, team = other.project()["id"], tenant.project("Old")["id"], tenant.team()
    tenant.admin.delete(f"/api/projects/{archived}")
    tenant.admin.delete(f"/api/teams/{team}")
    key_id, _ = made(tenant)
    scopes = [("ORGANIZATION", other.id), ("TEAM", other.team_id), ("PROJECT", foreign), ("PROJECT", archived), ("TEAM", team)]
    scopes += [("PROJECT", tenant.team_id), ("TEAM", tenant.id), ("ORGANIZATION", tenant.team_id), ("PROJECT", "a\x00b"), ("TEAM", "é")]
    for scope_type, scope_id in scopes:
        body = {"bindings": [{"role": "VIEWER", "scopeType": scope_type, "scopeId": scope_id}]}
        assert failure(tenant.admin.post("/api/api-keys", json=NEW | body)) == (400, "bad_request")
        assert failure(tenant.admin.patch(f"/api/api-keys/{key_id}", json=body)) == (400, "bad_request")
    assert failure(tenant.admin.post("/api/api-keys", json=NEW | {"projectIds": [foreign]})) == (400, "bad_request")
    assert tenant.admin.get("/api/api-keys").json()["pagination"]["total"] == 3


def test_revoked_key_stops_at_once_and_stays_in_the_list(shared_house: ServedHouse) -> None:
    tenant = new_tenant(shared_house)
    project = tenant.project()["id"]
    key_id, client = made(tenant)
    client.headers["X-Project-Id"] = project
    paths = ("/api/projects", "/api/model-providers")
    assert [client.get(path).status_code for path in paths] == [200, 200]
    answer = tenant.admin.delete(f"/api/api-keys/{key_id}")
    assert (answer.status_code, answer.json()) == (200, {"success": True})
    assert [failure(client.get(path)) for path in paths] == [(401, "Unauthorized")] * 2
    assert failure(tenant.admin.delete(f"/api/api-keys/{key_id}")) == (409, "api_key_already_revoked")
    assert failure(tenant.admin.patch(f"/api/api-keys/{key_id}", json={"name": "Again"})) == (409, "api_key_already_revoked")
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT.*Z", shown(tenant, key_id)["revokedAt"])
    assert tenant.admin.get("/api/api-keys").json()["data"][0] == shown(tenant, key_id)


def test_of_several_who_revoke_at_once_one_does(shared_house: ServedHouse) -> None:
    tenant = new_tenant(shared_house)
    key_id, _ = made(tenant)
    with ThreadPoolExecutor(8) as threads:
        answers = list(threads.map(lambda _: tenant.admin.delete(f"/api/api-keys/{key_id}"), range(8)))
    assert sorted(answer.status_code for answer in answers) == [200] + [409] * 7
    assert [action for action, _ in tenant.audit()].count("api_key.revoked") == 1


def test_change_answers_what_get_shows_and_leaves_the_rest(shared_house: ServedHouse) -> None:
    tenant = new_tenant(shared_house)
    key_id, client = made(tenant, description="Builds", expiresAt=soon())
    before = shown(tenant, key_id)
    place = f"/api/api-keys/{key_id}"
    answer = tenant.admin.patch(place, json={"name": "CD"})
    assert (answer.status_code, answer.json()) == (200, before | {"name": "CD", "success": True})
    assert shown(tenant, key_id) == before | {"name": "CD"}
    assert tenant.admin.patch(place, json={"description": None}).json()["description"] is None
    assert tenant.admin.patch(place, json={"description": "New"}).json()["description"] == "New"
    assert client.get("/api/projects").status_code == 200
    count = [action for action, _ in tenant.audit()].count("api_key.updated")
    for same in ({}, {"name": "CD"}, {"permissionMode": "all"}, {"keyType": "personal"}):
        assert tenant.admin.patch(place, json=same).status_code == 200
    assert [action for action, _ in tenant.audit()].count("api_key.updated") == count == 3


def test_mode_and_permissions_change_together(shared_house: ServedHouse) -> None:
    tenant = new_tenant(shared_house)
    key_id, client = made(tenant)
    place = f"/api/api-keys/{key_id}"
    assert refused_field(tenant.admin.patch(place, json={"permissions": ["project:view"]})) == ["permissions"]
    assert refused_field(tenant.admin.patch(place, json={"permissionMode": "restricted"})) == ["permissions"]
    assert refused_field(tenant.admin.patch(place, json={"permissionMode": "readonly", "permissions": ["project:view"]})) == ["permissions"]
    both = {"permissionMode": "restricted", "permissions": ["project:view"]}
    assert tenant.admin.patch(place, json=both).json()["permissions"] == ["project:view"]
    assert forbidden(client.post("/api/teams", json={"name": "Mine"}), ADMIN_NEEDED)
    more = {"permissions": ["project:update", "project:view"]}
    assert tenant.admin.patch(place, json=more).json()["permissions"] == ["project:update", "project:view"]
    assert tenant.admin.patch(place, json={"permissionMode": "restricted"}).json()["permissions"] == ["project:update", "project:view"]
    changed = tenant.admin.patch(place, json={"permissionMode": "readonly"}).json()
    assert (changed["permissionMode"], changed["permissions"]) == ("readonly", [])
    assert refused_field(tenant.admin.patch(place, json={"permissionMode": "restricted"})) == ["permissions"]
    assert tenant.admin.patch(place, json={"permissionMode": "all"}).json()["permissions"] == []
    assert client.post("/api/teams", json={"name": "Mine"}).status_code == 201


def test_bindings_are_replaced_as_a_whole_and_at_once(shared_house: ServedHouse) -> None:
    tenant = new_tenant(shared_house)
    one, two = tenant.project("One")["id"], tenant.project("Two")["id"]
    key_id, client = made(tenant, projectIds=[one])
    place = f"/api/api-keys/{key_id}"
    assert client.put("/api/model-providers/openai", json={"enabled": True}).status_code == 200
    binding = {"role": "VIEWER", "scopeType": "PROJECT", "scopeId": one}
    assert tenant.admin.patch(place, json={"bindings": [binding]}).json()["bindings"] == [binding]
    assert client.put("/api/model-providers/openai", json={"enabled": True}).status_code == 403
    tenant.admin.patch(place, json={"projectIds": [two]})
    assert client.get("/api/model-providers", headers={"X-Project-Id": one}).status_code == 403
    assert client.put("/api/model-providers/openai", json={"enabled": True}).status_code == 200
    for refused in ({"bindings": []}, {"projectIds": []}):
        assert refused_field(tenant.admin.patch(place, json=refused)) == list(refused)
    assert refused_field(tenant.admin.patch(place, json={"projectIds": [one], "bindings": [binding]})) == ["(root)"]


def test_revoked_and_changed_keys_are_in_force_at_once_in_another_process(serve: Serve, database_url: str) -> None:
    house, elsewhere = serve(database_url=database_url), serve(database_url=database_url)
    tenant = new_tenant(house)
    project = tenant.project()["id"]
    answer = tenant.admin.post("/api/api-keys", json=NEW | {"projectIds": [project]}).json()
    client, key = elsewhere.client(answer["token"]), f"/api/api-keys/{answer['apiKey']['id']}"
    assert client.put("/api/model-providers/openai", json={"enabled": True}).status_code == 200
    binding = {"role": "VIEWER", "scopeType": "PROJECT", "scopeId": project}
    tenant.admin.patch(key, json={"bindings": [binding]})
    assert client.put("/api/model-providers/openai", json={"enabled": True}).status_code == 403
    assert client.get("/api/model-providers").status_code == 200
    tenant.admin.delete(key)
    assert client.get("/api/model-providers").status_code == 401
    assert client.get("/api/projects").status_code == 401


@pytest.mark.parametrize(
    ("role", "more"),
    [
        ("VIEWER", {}),
        ("MEMBER", {}),
        ("ADMIN", {"permissionMode": "readonly"}),
        (
            "ADMIN",
            {
                "permissionMode": "restricted",
                "permissions": [permission.value for permission in Permission],
            },
        ),
    ],
)
def test_no_key_but_an_admins_makes_or_changes_keys(shared_house: ServedHouse, role: str, more: dict[str, Any]) -> None:
    tenant = new_tenant(shared_house)
    project = tenant.project()["id"]
    own, client = made(tenant, bindings=[{"role": role, "scopeType": "ORGANIZATION", "scopeId": tenant.id}], **more)
    clients = [client, tenant.key("ADMIN", "TEAM", tenant.team_id), tenant.key("ADMIN", "PROJECT", project)]
    raised = {"permissionMode": "all", "bindings": [{"role": "ADMIN", "scopeType": "ORGANIZATION", "scopeId": tenant.id}]}
    for client in clients:
        assert forbidden(client.post("/api/api-keys", json=NEW), ADMIN_NEEDED)
        assert forbidden(client.post("/api/api-keys", content=b"{", headers={"content-type": "application/json"}), ADMIN_NEEDED)
        assert forbidden(client.patch(f"/api/api-keys/{own}", json=raised), ADMIN_NEEDED)
        assert forbidden(client.delete(f"/api/api-keys/{own}"), ADMIN_NEEDED)
        assert forbidden(client.delete("/api/api-keys/key_1"), ADMIN_NEEDED)
    assert shown(tenant, own)["bindings"][0]["role"] == role


def test_keys_are_listed_for_whoever_may_view_the_whole_organization(shared_house: ServedHouse) -> None:
    tenant = new_tenant(shared_house)
    key_id, _ = made(tenant)
    viewer = tenant.key("VIEWER")
    assert viewer.get("/api/api-keys").json()["pagination"]["total"] == 3
    assert viewer.get(f"/api/api-keys/{key_id}").json() == shown(tenant, key_id)
    blind = tenant.key("ADMIN", permissionMode="restricted", permissions=["project:update"])
    for client in (tenant.key("ADMIN", "TEAM", tenant.team_id), blind):
        assert forbidden(client.get("/api/api-keys"), "project:view")
        assert forbidden(client.get(f"/api/api-keys/{key_id}"), "project:view")


def test_list_comes_in_pages_newest_first(shared_house: ServedHouse) -> None:
    tenant = new_tenant(shared_house)
    ids = [made(tenant)[0] for _ in range(3)]
    pages = [tenant.admin.get(f"/api/api-keys?page={page}&limit=2").json() for page in (1, 2)]
    assert [key["id"] for key in pages[0]["data"]] == [ids[2], ids[1]]
    assert pages[1]["data"][0]["id"] == ids[0]
    assert [page["pagination"] for page in pages] == [{"page": page, "limit": 2, "total": 4} for page in (1, 2)]


def test_unknown_and_foreign_keys_are_not_found(shared_house: ServedHouse) -> None:
    tenant, other = new_tenant(shared_house), new_tenant(shared_house)
    foreign, client = made(other)
    for key in (foreign, "key_1", "%00", "a%2Fb", "x" * 3000):
        for method in ("GET", "PATCH", "DELETE"):
            assert failure(tenant.admin.request(method, f"/api/api-keys/{key}", json={"name": "Mine"})) == (404, "api_key_not_found")
    assert client.get("/api/projects").status_code == 200


@pytest.mark.parametrize(("method", "path"), [("GET", ""), ("POST", ""), ("GET", "/x"), ("PATCH", "/x"), ("DELETE", "/x")])
def test_an_organization_key_is_needed(shared_house: ServedHouse, method: str, path: str) -> None:
    bad = {"content": b"{", "headers": {"content-type": "application/json"}}
    needs = "This endpoint needs an organization API key. The key sent is a project API key."
    project_key = shared_house.client().request(method, f"/api/api-keys{path}", **bad)  # type: ignore[arg-type]
    assert (project_key.status_code, project_key.json()) == (401, {"error": "Unauthorized", "message": needs})
    assert failure(shared_house.anonymous().request(method, f"/api/api-keys{path}", **bad)) == (401, "Unauthorized")  # type: ignore[arg-type]
    wrong = shared_house.keys.admin_key[:-1] + ("a" if shared_house.keys.admin_key[-1] != "a" else "b")
    assert failure(shared_house.client(wrong).request(method, f"/api/api-keys{path}", **bad)) == (401, "Unauthorized")  # type: ignore[arg-type]


def test_a_key_says_when_it_was_last_used(shared_house: ServedHouse) -> None:
    tenant = new_tenant(shared_house)
    key_id, _ = made(tenant)
    assert shown(tenant, key_id)["lastUsedAt"] is None
    run_on(shared_house.settings, lambda storage: storage.database.write(lambda tx: put_last_uses(tx, {key_id: 1_700_000_000_000_000})))
    assert shown(tenant, key_id)["lastUsedAt"] == "2023-11-14T22:13:20.000Z"
