"""Teams over HTTP, on both databases."""

import re
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.conftest import ServedHouse
from tests.web.tenant import ADMIN_NEEDED, REFUSED_NAMES, failure, forbidden, new_tenant, refused_field

FIELDS = {"id", "name", "slug", "organizationId", "createdAt", "updatedAt"}
NOWHERE = ["team_0000000000000000000000000", "%00", "a%2Fb", "project_1", "x" * 3000]


def test_created_team_is_shown_by_itself_and_in_the_list(shared_house: ServedHouse) -> None:
    tenant = new_tenant(shared_house)
    answer = tenant.admin.post("/api/teams", json={"name": "  Research & Développement "})
    team = answer.json()
    assert (answer.status_code, set(team)) == (201, FIELDS)
    assert (team["name"], team["slug"], team["organizationId"]) == ("Research & Développement", "research-developpement", tenant.id)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", team["createdAt"])
    assert team["updatedAt"] == team["createdAt"]
    assert tenant.admin.get(f"/api/teams/{team['id']}").json() == team
    listed = tenant.admin.get("/api/teams").json()
    assert (listed["data"][0], listed["pagination"]) == (team, {"page": 1, "limit": 50, "total": 2})


def test_team_slugs_differ_within_an_organization(shared_house: ServedHouse) -> None:
    tenant = new_tenant(shared_house)
    slugs = [tenant.admin.post("/api/teams", json={"name": name}).json()["slug"] for name in ("Team A", "team a", "部", "課")]
    assert (slugs[0], slugs[2]) == ("team-a", "team")
    assert re.fullmatch("team-a-[0-9a-f]{8}", slugs[1])
    assert re.fullmatch("team-[0-9a-f]{8}", slugs[3])


def test_lists_come_in_pages(shared_house: ServedHouse) -> None:
    tenant = new_tenant(shared_house)
    ids = [tenant.team(f"Team {number}") for number in range(4)]
    pages = [tenant.admin.get(f"/api/teams?page={page}&limit=2").json() for page in (1, 2, 3, 4)]
    assert [[team["id"] for team in page["data"]] for page in pages] == [[ids[3], ids[2]], [ids[1], ids[0]], [tenant.team_id], []]
    assert [page["pagination"] for page in pages] == [{"page": page, "limit": 2, "total": 5} for page in (1, 2, 3, 4)]


@pytest.mark.parametrize("path", ["/api/teams", "/api/teams/{team}/projects", "/api/projects", "/api/api-keys", "/api/audit"])
def test_page_outside_the_limits_is_refused(shared_house: ServedHouse, path: str) -> None:
    tenant = new_tenant(shared_house)
    place = path.format(team=tenant.team_id)
    for query in ("page=0", "limit=0", "limit=1001", "page=-1", "page=x", "limit=", "page=1.5", "page=99999999999", "page=٣"):
        assert refused_field(tenant.admin.get(f"{place}?{query}")) == [query.partition("=")[0]]
    assert tenant.admin.get(f"{place}?page=2147483647&limit=1000").json()["data"] == []


def test_renamed_team_keeps_its_slug(shared_house: ServedHouse) -> None:
    tenant = new_tenant(shared_house)
    before = tenant.admin.get(f"/api/teams/{tenant.team_id}").json()
    answer = tenant.admin.patch(f"/api/teams/{tenant.team_id}", json={"name": "Renamed"})
    after = answer.json()
    assert (answer.status_code, after["name"], after["slug"]) == (200, "Renamed", before["slug"])
    assert after["updatedAt"] >= before["updatedAt"]
    assert tenant.admin.get(f"/api/teams/{tenant.team_id}").json() == after
    assert tenant.audit()[0] == ("team.updated", tenant.team_id)
    for same in ({}, {"name": "Renamed"}):
        assert tenant.admin.patch(f"/api/teams/{tenant.team_id}", json=same).json() == after
    assert [action for action, _ in tenant.audit()].count("team.updated") == 1


def test_taken_name_is_a_conflict_and_two_at_once_make_one(shared_house: ServedHouse) -> None:
    tenant = new_tenant(shared_house)
    with ThreadPoolExecutor(12) as threads:
        answers = list(threads.map(lambda _: tenant.admin.post("/api/teams", json={"name": "Research"}), range(12)))
    assert sorted(answer.status_code for answer in answers) == [201] + [409] * 11
    assert {failure(answer) for answer in answers if answer.status_code == 409} == {(409, "team_name_taken")}
    other = tenant.team("Other")
    assert failure(tenant.admin.patch(f"/api/teams/{other}", json={"name": "Research"})) == (409, "team_name_taken")
    assert new_tenant(shared_house).team("Research").startswith("team_")


@pytest.mark.parametrize("name", REFUSED_NAMES)
def test_name_that_is_none_is_refused(shared_house: ServedHouse, name: object) -> None:
    tenant = new_tenant(shared_house)
    assert refused_field(tenant.admin.post("/api/teams", json={"name": name})) == ["name"]
    assert refused_field(tenant.admin.patch(f"/api/teams/{tenant.team_id}", json={"name": name})) == ["name"]


@pytest.mark.parametrize("name", ["a" * 200, "会社　二", "👩‍💻 team", "Ωmega (β)"])
def test_name_of_any_language_is_kept_as_it_is(shared_house: ServedHouse, name: str) -> None:
    tenant = new_tenant(shared_house)
    team = tenant.admin.post("/api/teams", json={"name": name}).json()
    assert team["name"] == name
    assert re.fullmatch("[a-z0-9]+(-[a-z0-9]+)*", team["slug"])


def test_archived_team_is_gone_and_its_name_free_again(shared_house: ServedHouse) -> None:
    tenant = new_tenant(shared_house)
    team = tenant.team()
    answer = tenant.admin.delete(f"/api/teams/{team}")
    assert (answer.status_code, set(answer.json())) == (200, {"id", "name", "archivedAt"})
    assert (answer.json()["id"], answer.json()["name"]) == (team, "Research")
    assert tenant.audit()[0] == ("team.archived", team)
    assert failure(tenant.admin.get(f"/api/teams/{team}")) == (404, "team_not_found")
    assert failure(tenant.admin.delete(f"/api/teams/{team}")) == (404, "team_not_found")
    assert [found["id"] for found in tenant.admin.get("/api/teams").json()["data"]] == [tenant.team_id]
    assert tenant.team() != team


def test_team_that_has_projects_is_not_archived(shared_house: ServedHouse) -> None:
    tenant = new_tenant(shared_house)
    team = tenant.team()
    project = tenant.project(team_id=team)
    assert failure(tenant.admin.delete(f"/api/teams/{team}")) == (409, "Conflict")
    tenant.admin.delete(f"/api/projects/{project['id']}")
    assert tenant.admin.delete(f"/api/teams/{team}").status_code == 200


def test_team_and_a_project_in_it_are_never_archived_and_made_at_once(shared_house: ServedHouse) -> None:
    tenant = new_tenant(shared_house)
    teams = [tenant.team(f"Team {number}") for number in range(8)]

    def make(team: str) -> int:
        body = {"name": "Assistant", "language": "python", "framework": "other", "teamId": team}
        return tenant.admin.post("/api/projects", json=body).status_code

    with ThreadPoolExecutor(16) as threads:
        made = [threads.submit(make, team) for team in teams]
        gone = [threads.submit(lambda team=team: tenant.admin.delete(f"/api/teams/{team}").status_code) for team in teams]  # type: ignore[misc]
    outcomes = {(one.result(), other.result()) for one, other in zip(made, gone, strict=True)}
    assert outcomes <= {(201, 409), (400, 200)}


def test_projects_of_a_team_are_listed_in_pages(shared_house: ServedHouse) -> None:
    tenant = new_tenant(shared_house)
    team = tenant.team()
    made = [tenant.project(f"Project {number}", team) for number in range(3)]
    tenant.project("Elsewhere")
    listed = tenant.admin.get(f"/api/teams/{team}/projects?limit=2").json()
    assert [project["id"] for project in listed["data"]] == [made[2]["id"], made[1]["id"]]
    assert listed["pagination"] == {"page": 1, "limit": 2, "total": 3}
    assert listed["data"][0] == tenant.admin.get(f"/api/projects/{made[2]['id']}").json()


def test_unknown_and_foreign_teams_are_not_found(shared_house: ServedHouse) -> None:
    tenant, other = new_tenant(shared_house), new_tenant(shared_house)
    for team in (*NOWHERE, other.team_id):
        assert failure(tenant.admin.get(f"/api/teams/{team}")) == (404, "team_not_found")
        assert failure(tenant.admin.get(f"/api/teams/{team}/projects")) == (404, "team_not_found")
        assert failure(tenant.admin.patch(f"/api/teams/{team}", json={"name": "Mine"})) == (404, "team_not_found")
        assert failure(tenant.admin.delete(f"/api/teams/{team}")) == (404, "team_not_found")
    assert other.admin.get(f"/api/teams/{other.team_id}").json()["name"] == "Acme"


def test_key_sees_only_the_teams_that_it_may_view(shared_house: ServedHouse) -> None:
    tenant = new_tenant(shared_house)
    team = tenant.team()
    project = tenant.project(team_id=team)
    tenant.team("Hidden")
    within = tenant.key("VIEWER", "TEAM", team)
    listed = within.get("/api/teams").json()
    assert ([found["id"] for found in listed["data"]], listed["pagination"]["total"]) == ([team], 1)
    assert within.get(f"/api/teams/{team}").status_code == 200
    assert forbidden(within.get(f"/api/teams/{tenant.team_id}"), "project:view")
    assert forbidden(within.get(f"/api/teams/{tenant.team_id}/projects"), "project:view")
    lone = tenant.key("ADMIN", "PROJECT", project["id"])
    assert lone.get("/api/teams").json() == {"data": [], "pagination": {"page": 1, "limit": 50, "total": 0}}
    assert forbidden(lone.get(f"/api/teams/{team}"), "project:view")


def test_only_an_admin_of_the_organization_makes_and_archives_teams(shared_house: ServedHouse) -> None:
    tenant = new_tenant(shared_house)
    for key in (
        tenant.key("MEMBER"),
        tenant.key("ADMIN", "TEAM", tenant.team_id),
        tenant.key("ADMIN", permissionMode="restricted", permissions=["project:create", "project:manage", "project:delete"]),
        tenant.key("ADMIN", permissionMode="readonly"),
    ):
        assert forbidden(key.post("/api/teams", json={"name": "Mine"}), ADMIN_NEEDED)
        assert forbidden(key.delete(f"/api/teams/{tenant.team_id}"), ADMIN_NEEDED)


def test_team_is_renamed_by_whoever_may_manage_it(shared_house: ServedHouse) -> None:
    tenant = new_tenant(shared_house)
    team = tenant.team()
    assert tenant.key("ADMIN", "TEAM", team).patch(f"/api/teams/{team}", json={"name": "Ours"}).status_code == 200
    for key in (tenant.key("MEMBER"), tenant.key("ADMIN", "TEAM", tenant.team_id), tenant.key("ADMIN", permissionMode="readonly")):
        assert forbidden(key.patch(f"/api/teams/{team}", json={"name": 1}), "project:manage")


@pytest.mark.parametrize(
    ("method", "path"), [("GET", ""), ("POST", ""), ("GET", "/x"), ("PATCH", "/x"), ("DELETE", "/x"), ("GET", "/x/projects")]
)
def test_an_organization_key_is_needed(shared_house: ServedHouse, method: str, path: str) -> None:
    bad = {"content": b"{", "headers": {"content-type": "application/json"}}
    needs = "This endpoint needs an organization API key. The key sent is a project API key."
    project_key = shared_house.client().request(method, f"/api/teams{path}", **bad)  # type: ignore[arg-type]
    assert (project_key.status_code, project_key.json()) == (401, {"error": "Unauthorized", "message": needs})
    nobody = shared_house.anonymous().request(method, f"/api/teams{path}", **bad)  # type: ignore[arg-type]
    assert failure(nobody) == (401, "Unauthorized")
    assert nobody.json()["message"].startswith("Authentication required. ")
    wrong = shared_house.client("sk-lw-" + "x" * 48).request(method, f"/api/teams{path}", **bad)  # type: ignore[arg-type]
    assert (wrong.status_code, wrong.json()) == (401, {"error": "Unauthorized", "message": "Invalid credentials"})
