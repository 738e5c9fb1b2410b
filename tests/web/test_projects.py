"""Projects and their keys over HTTP, on both databases."""

import re
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from tests.conftest import Serve, ServedHouse
from tests.web.tenant import ADMIN_NEEDED, REFUSED_NAMES, Tenant, failure, forbidden, new_tenant, refused_field

FIELDS = {"id", "name", "slug", "language", "framework", "teamId", "createdAt", "updatedAt"}
NEW = {"name": "Assistant", "language": "python", "framework": "langchain"}
NOT_FOUND = (404, {"error": "Project not found", "message": "Project not found"})


def opens(house: ServedHouse, token: str, project_id: str | None = None) -> int:
    """The status that a token gets on the routes of its project."""
    headers = {"X-Project-Id": project_id} if project_id else {}
    return house.client(token, **headers).get("/api/model-providers").status_code


def test_created_project_comes_with_a_key_that_is_admin_on_it_alone(shared_house: ServedHouse) -> None:
    tenant = new_tenant(shared_house)
    answer = tenant.admin.post("/api/projects", json={**NEW, "name": " Support Bot ", "teamId": tenant.team_id})
    made = answer.json()
    assert (answer.status_code, set(made)) == (201, FIELDS | {"serviceApiKey", "serviceApiKeyId"})
    assert answer.headers["cache-control"] == "no-store"
    assert (made["name"], made["slug"], made["language"], made["framework"], made["teamId"]) == (
        "Support Bot",
        "support-bot",
        "python",
        "langchain",
        tenant.team_id,
    )
    assert made["id"].startswith("project_")
    assert re.fullmatch("sk-lw-[A-Za-z0-9]{16}_[A-Za-z0-9]{48}", made["serviceApiKey"])
    key = tenant.admin.get(f"/api/api-keys/{made['serviceApiKeyId']}").json()
    assert key["bindings"] == [{"role": "ADMIN", "scopeType": "PROJECT", "scopeId": made["id"]}]
    other = tenant.project("Other")
    assert opens(shared_house, made["serviceApiKey"]) == 200
    assert opens(shared_house, made["serviceApiKey"], other["id"]) == 403
    service = shared_house.client(made["serviceApiKey"])
    assert [found["id"] for found in service.get("/api/projects").json()["data"]] == [made["id"]]
    assert forbidden(service.get(f"/api/projects/{other['id']}"), "project:view")


def test_project_is_shown_by_itself_and_in_the_list_without_secrets(shared_house: ServedHouse) -> None:
    tenant = new_tenant(shared_house)
    made = tenant.project()
    one = tenant.admin.get(f"/api/projects/{made['id']}")
    assert one.json() == {name: made[name] for name in FIELDS}
    listed = tenant.admin.get("/api/projects")
    assert listed.json() == {"data": [one.json()], "pagination": {"page": 1, "limit": 50, "total": 1}}
    assert "sk-lw-" not in one.text + listed.text


def test_list_comes_in_pages_newest_first(shared_house: ServedHouse) -> None:
    tenant = new_tenant(shared_house)
    ids = [tenant.project(f"Project {number}")["id"] for number in range(3)]
    pages = [tenant.admin.get(f"/api/projects?page={page}&limit=2").json() for page in (1, 2)]
    assert [[project["id"] for project in page["data"]] for page in pages] == [[ids[2], ids[1]], [ids[0]]]
    assert pages[1]["pagination"] == {"page": 2, "limit": 2, "total": 3}


def test_new_team_is_made_with_its_project_or_not_at_all(shared_house: ServedHouse) -> None:
    tenant = new_tenant(shared_house)
    made = tenant.admin.post("/api/projects", json={**NEW, "newTeamName": "Research"}).json()
    assert tenant.admin.get(f"/api/teams/{made['teamId']}").json()["name"] == "Research"
    assert ("team.created", made["teamId"]) in tenant.audit()
    again = tenant.admin.post("/api/projects", json={**NEW, "newTeamName": "Research"})
    assert failure(again) == (409, "team_name_taken")
    assert tenant.admin.get("/api/projects").json()["pagination"]["total"] == 1


@pytest.mark.parametrize(("fields", "refused"), [({}, "(root)"), ({"teamId": "team_1", "newTeamName": "Research"}, "(root)")])
def test_a_team_is_named_in_one_of_two_ways(shared_house: ServedHouse, fields: dict[str, str], refused: str) -> None:
    assert refused_field(new_tenant(shared_house).admin.post("/api/projects", json=NEW | fields)) == [refused]


@pytest.mark.parametrize("value", REFUSED_NAMES)
@pytest.mark.parametrize("field", ["name", "language", "framework", "newTeamName"])
def test_text_that_is_none_is_refused(shared_house: ServedHouse, field: str, value: object) -> None:
    tenant = new_tenant(shared_house)
    assert refused_field(tenant.admin.post("/api/projects", json={**NEW, "newTeamName": "Research", field: value})) == [field]
    if field == "newTeamName":
        return
    project = tenant.project()
    assert refused_field(tenant.admin.patch(f"/api/projects/{project['id']}", json={field: value})) == [field]
    without = {name: NEW[name] for name in NEW if name != field}
    assert refused_field(tenant.admin.post("/api/projects", json={**without, "teamId": tenant.team_id})) == [field]


def test_unknown_foreign_and_archived_teams_are_a_bad_request(shared_house: ServedHouse) -> None:
    tenant, other = new_tenant(shared_house), new_tenant(shared_house)
    archived, project = tenant.team(), tenant.project()
    tenant.admin.delete(f"/api/teams/{archived}")
    for team in ("team_1", "a\x00b", "é", other.team_id, archived):
        assert failure(tenant.admin.post("/api/projects", json={**NEW, "teamId": team})) == (400, "bad_request")
        assert failure(tenant.admin.patch(f"/api/projects/{project['id']}", json={"teamId": team})) == (400, "bad_request")
    assert other.admin.get("/api/projects").json()["data"] == []


def test_name_taken_in_the_team_is_a_conflict_and_two_at_once_make_one(shared_house: ServedHouse) -> None:
    tenant = new_tenant(shared_house)
    with ThreadPoolExecutor(12) as threads:
        answers = list(threads.map(lambda _: tenant.admin.post("/api/projects", json={**NEW, "teamId": tenant.team_id}), range(12)))
    assert sorted(answer.status_code for answer in answers) == [201] + [409] * 11
    assert {failure(answer) for answer in answers if answer.status_code == 409} == {(409, "Conflict")}
    assert tenant.admin.get("/api/projects").json()["pagination"]["total"] == 1
    assert tenant.admin.get("/api/api-keys").json()["pagination"]["total"] == 2
    elsewhere = tenant.project(team_id=tenant.team())
    assert re.fullmatch("assistant-[0-9a-f]{8}", elsewhere["slug"])
    assert failure(tenant.admin.patch(f"/api/projects/{elsewhere['id']}", json={"teamId": tenant.team_id})) == (409, "Conflict")


def test_change_of_some_fields_leaves_the_others(shared_house: ServedHouse) -> None:
    tenant = new_tenant(shared_house)
    before = {name: value for name, value in tenant.project().items() if name in FIELDS}
    place = f"/api/projects/{before['id']}"
    after = tenant.admin.patch(place, json={"name": "Renamed"}).json()
    assert after == before | {"name": "Renamed", "updatedAt": after["updatedAt"]}
    after = tenant.admin.patch(place, json={"language": "go", "framework": "none"}).json()
    assert (after["name"], after["language"], after["framework"], after["slug"]) == ("Renamed", "go", "none", before["slug"])
    assert tenant.admin.get(place).json() == after
    for same in ({}, {"language": "go"}, {"nonsense": 1}):
        assert tenant.admin.patch(place, json=same).json() == after
    assert [action for action, _ in tenant.audit()].count("project.updated") == 2


def test_archived_project_stops_at_once_and_frees_its_name(shared_house: ServedHouse) -> None:
    tenant = new_tenant(shared_house)
    project = tenant.project()
    tokens = [tenant.project_key(project["id"]), project["serviceApiKey"]]
    assert [opens(shared_house, token) for token in tokens] == [200, 200]
    assert opens(shared_house, tenant.admin_token, project["id"]) == 200
    answer = tenant.admin.delete(f"/api/projects/{project['id']}")
    assert (answer.status_code, set(answer.json())) == (200, {"id", "name", "archivedAt"})
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", answer.json()["archivedAt"])
    assert [opens(shared_house, token) for token in tokens] == [401, 401]
    assert opens(shared_house, tenant.admin_token, project["id"]) == 401
    gone = tenant.admin.delete(f"/api/projects/{project['id']}")
    assert (gone.status_code, gone.json()) == NOT_FOUND
    assert tenant.admin.get("/api/projects").json()["data"] == []
    assert shared_house.client(project["serviceApiKey"]).get("/api/projects").json()["data"] == []
    assert tenant.project()["id"] != project["id"]


def test_unknown_and_foreign_projects_are_not_found(shared_house: ServedHouse) -> None:
    tenant, other = new_tenant(shared_house), new_tenant(shared_house)
    foreign = other.project()["id"]
    for project in (foreign, "project_1", "%00", "a%2Fb", "%C3%A9", "x" * 3000):
        for method, path in (("GET", ""), ("PATCH", ""), ("DELETE", ""), ("GET", "/api-key"), ("POST", "/regenerate-api-key")):
            answer = tenant.admin.request(method, f"/api/projects/{project}{path}", json={"name": "Mine"})
            assert (answer.status_code, answer.json()) == NOT_FOUND
    assert other.admin.get(f"/api/projects/{foreign}").json()["name"] == "Assistant"


def test_project_key_is_shown_again_and_opens_its_project(shared_house: ServedHouse) -> None:
    tenant = new_tenant(shared_house)
    project = tenant.project()
    answer = tenant.admin.get(f"/api/projects/{project['id']}/api-key")
    assert (answer.status_code, list(answer.json())) == (200, ["apiKey"])
    assert re.fullmatch("sk-lw-[A-Za-z0-9]{48}", answer.json()["apiKey"])
    assert answer.headers["cache-control"] == "no-store"
    assert opens(shared_house, answer.json()["apiKey"]) == 200
    assert tenant.admin.get(f"/api/projects/{project['id']}/api-key").json() == answer.json()


def test_regenerated_key_takes_the_place_of_the_old_one_at_once(shared_house: ServedHouse) -> None:
    tenant = new_tenant(shared_house)
    project = tenant.project()
    old = tenant.project_key(project["id"])
    assert opens(shared_house, old) == 200
    answer = tenant.admin.post(f"/api/projects/{project['id']}/regenerate-api-key")
    new = answer.json()["apiKey"]
    assert (answer.status_code, list(answer.json()), new == old) == (200, ["apiKey"], False)
    assert [opens(shared_house, token) for token in (old, new)] == [401, 200]
    assert tenant.project_key(project["id"]) == new
    with ThreadPoolExecutor(8) as threads:
        answers = list(threads.map(lambda _: tenant.admin.post(f"/api/projects/{project['id']}/regenerate-api-key"), range(8)))
    keys = [answer.json()["apiKey"] for answer in answers]
    assert sorted(opens(shared_house, key) for key in keys) == [200] + [401] * 7
    assert opens(shared_house, tenant.project_key(project["id"])) == 200


def test_changes_are_in_force_at_once_in_another_process(serve: Serve, database_url: str) -> None:
    house, elsewhere = serve(database_url=database_url), serve(database_url=database_url)
    tenant = new_tenant(house)
    team, project = tenant.team(), tenant.project()
    key, within = tenant.project_key(project["id"]), tenant.token("MEMBER", "TEAM", tenant.team_id)
    assert [opens(elsewhere, key), opens(elsewhere, within, project["id"])] == [200, 200]
    tenant.admin.patch(f"/api/projects/{project['id']}", json={"teamId": team})
    assert [opens(elsewhere, key), opens(elsewhere, within, project["id"])] == [200, 403]
    new = tenant.admin.post(f"/api/projects/{project['id']}/regenerate-api-key").json()["apiKey"]
    assert [opens(elsewhere, key), opens(elsewhere, new)] == [401, 200]
    tenant.admin.delete(f"/api/projects/{project['id']}")
    assert [opens(elsewhere, new), opens(elsewhere, project["serviceApiKey"])] == [401, 401]


@pytest.mark.parametrize(
    ("method", "path", "needed", "fewer"),
    [
        ("GET", "", "project:view", ["project:update"]),
        ("PATCH", "", "project:update", ["project:view", "project:manage"]),
        ("DELETE", "", "project:delete", ["project:view", "project:manage"]),
        ("GET", "/api-key", "project:update", ["project:view"]),
        ("POST", "/regenerate-api-key", "project:manage", ["project:view", "project:update"]),
    ],
)
def test_each_route_needs_its_permission_at_the_project(
    shared_house: ServedHouse, method: str, path: str, needed: str, fewer: list[str]
) -> None:
    tenant = new_tenant(shared_house)
    project, other = tenant.project(), tenant.project("Other", tenant.team())

    def ask(client: httpx.Client, project_id: str) -> httpx.Response:
        return client.request(method, f"/api/projects/{project_id}{path}", json={"name": f"Renamed {project_id}"})

    restricted = {"permissionMode": "restricted", "permissions": fewer}
    assert forbidden(ask(tenant.key("ADMIN", **restricted), project["id"]), needed)
    for scope_type in ("TEAM", "PROJECT"):
        project = tenant.project(f"Project of {scope_type}")
        scope_id = project["id"] if scope_type == "PROJECT" else tenant.team_id
        allowed = tenant.key("ADMIN", scope_type, scope_id, permissionMode="restricted", permissions=[needed])
        bad = {"content": b"{", "headers": {"content-type": "application/json"}}
        place = f"/api/projects/{other['id']}{path}"
        assert forbidden(allowed.request(method, place, **bad), needed)  # type: ignore[arg-type]
        assert ask(allowed, project["id"]).status_code == 200


def test_viewer_may_not_change_and_a_member_not_manage(shared_house: ServedHouse) -> None:
    tenant = new_tenant(shared_house)
    project = tenant.project()["id"]
    viewer, member = tenant.key("VIEWER"), tenant.key("MEMBER")
    assert forbidden(viewer.patch(f"/api/projects/{project}", json={"name": 1}), "project:update")
    assert forbidden(viewer.get(f"/api/projects/{project}/api-key"), "project:update")
    assert forbidden(viewer.post("/api/projects", content=b"x"), "project:create")
    assert member.get(f"/api/projects/{project}/api-key").status_code == 200
    assert member.patch(f"/api/projects/{project}", json={"name": "Renamed"}).status_code == 200
    assert forbidden(member.post(f"/api/projects/{project}/regenerate-api-key"), "project:manage")
    assert forbidden(member.delete(f"/api/projects/{project}"), "project:delete")
    assert forbidden(member.post("/api/projects", json={**NEW, "teamId": tenant.team_id}), "project:create")


def test_creating_needs_the_right_in_that_team(shared_house: ServedHouse) -> None:
    tenant = new_tenant(shared_house)
    team = tenant.team()
    within = tenant.key("ADMIN", "TEAM", team)
    assert within.post("/api/projects", json={**NEW, "teamId": team}).status_code == 201
    assert forbidden(within.post("/api/projects", json={**NEW, "teamId": tenant.team_id}), "project:create")
    assert forbidden(within.post("/api/projects", json={**NEW, "newTeamName": "Mine"}), ADMIN_NEEDED)
    restricted = tenant.key("ADMIN", permissionMode="restricted", permissions=["project:create"])
    assert restricted.post("/api/projects", json={**NEW, "name": "Other", "teamId": team}).status_code == 201
    assert forbidden(restricted.post("/api/projects", json={**NEW, "newTeamName": "Mine"}), ADMIN_NEEDED)


def test_nobody_moves_a_project_to_where_they_may_do_more_with_it(shared_house: ServedHouse) -> None:
    tenant = new_tenant(shared_house)
    team, project = tenant.team(), tenant.project()["id"]

    def key(first: tuple[str, str, str], second: tuple[str, str, str]) -> httpx.Client:
        bindings = [{"role": role, "scopeType": scope_type, "scopeId": scope_id} for role, scope_type, scope_id in (first, second)]
        made = tenant.admin.post("/api/api-keys", json={"keyType": "service", "name": "K", "bindings": bindings}).json()
        return shared_house.client(made["token"])

    member = key(("MEMBER", "ORGANIZATION", tenant.id), ("ADMIN", "TEAM", team))
    assert forbidden(member.patch(f"/api/projects/{project}", json={"teamId": team}), "project:manage")
    giver = key(("ADMIN", "PROJECT", project), ("MEMBER", "TEAM", team))
    assert forbidden(giver.patch(f"/api/projects/{project}", json={"teamId": team}), "project:create")
    both = key(("ADMIN", "PROJECT", project), ("ADMIN", "TEAM", team))
    assert both.patch(f"/api/projects/{project}", json={"teamId": team}).json()["teamId"] == team
    assert tenant.admin.get(f"/api/teams/{team}/projects").json()["data"][0]["id"] == project


def test_key_sees_only_the_projects_that_it_may_view(shared_house: ServedHouse) -> None:
    tenant = new_tenant(shared_house)
    team = tenant.team()
    one, two = tenant.project("One")["id"], tenant.project("Two", team)["id"]
    tenant.project("Three", tenant.team("Hidden"))
    assert seen(tenant.key("VIEWER", "TEAM", team)) == [two]
    assert seen(tenant.key("VIEWER", "PROJECT", one)) == [one]
    both = [{"role": "VIEWER", "scopeType": "PROJECT", "scopeId": one}, {"role": "MEMBER", "scopeType": "TEAM", "scopeId": team}]
    made = tenant.admin.post("/api/api-keys", json={"keyType": "service", "name": "K", "bindings": both}).json()
    assert seen(shared_house.client(made["token"])) == [two, one]
    assert len(seen(tenant.key("ADMIN", permissionMode="readonly"))) == 3
    blind = tenant.key("ADMIN", permissionMode="restricted", permissions=["project:update"])
    assert forbidden(blind.get("/api/projects"), "project:view")


def seen(client: httpx.Client) -> list[str]:
    """The ids of a client's list, which says how many they are."""
    listed = client.get("/api/projects").json()
    assert listed["pagination"]["total"] == len(listed["data"])
    return [project["id"] for project in listed["data"]]


@pytest.mark.parametrize(
    ("method", "path"),
    [("GET", ""), ("POST", ""), ("GET", "/x"), ("PATCH", "/x"), ("DELETE", "/x"), ("GET", "/x/api-key"), ("POST", "/x/regenerate-api-key")],
)
def test_an_organization_key_is_needed(shared_house: ServedHouse, method: str, path: str) -> None:
    place, bad = f"/api/projects{path}", {"content": b"{", "headers": {"content-type": "application/json"}}
    needs = "This endpoint needs an organization API key. The key sent is a project API key."
    project_key = shared_house.client().request(method, place, **bad)  # type: ignore[arg-type]
    assert (project_key.status_code, project_key.json()) == (401, {"error": "Unauthorized", "message": needs})
    assert failure(shared_house.anonymous().request(method, place, **bad)) == (401, "Unauthorized")  # type: ignore[arg-type]
    assert failure(shared_house.client("wrong").request(method, place, **bad)) == (401, "Unauthorized")  # type: ignore[arg-type]


@pytest.mark.parametrize("how", ["bearer", "basic", "x-auth-token"])
def test_organization_key_may_come_in_any_of_three_ways(shared_house: ServedHouse, how: str) -> None:
    tenant = new_tenant(shared_house)
    client = shared_house.anonymous()
    if how == "basic":
        client.auth = httpx.BasicAuth("anything", tenant.admin_token)
    else:
        name, value = ("authorization", f"Bearer {tenant.admin_token}") if how == "bearer" else (how, tenant.admin_token)
        client.headers[name] = value
    assert client.get("/api/projects").json()["data"] == []


def test_project_named_beside_a_key_may_be_any_text(shared_house: ServedHouse) -> None:
    tenant: Tenant = new_tenant(shared_house)
    for named in ("a\x00b", "é", "x" * 3000, "project_1"):
        auth = httpx.BasicAuth(named, tenant.admin_token)
        assert failure(shared_house.anonymous().get("/api/model-providers", auth=auth)) == (401, "Unauthorized")
