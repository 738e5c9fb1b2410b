"""The audit log over HTTP, on both databases."""

import re

import pytest

from keyhouse.services.encryption_keys import retire
from keyhouse.services.key_rotation import rotate
from keyhouse.storage.opening import Storage
from tests.conftest import Serve, ServedHouse
from tests.storage.houses import run_on
from tests.web.tenant import ADMIN_NEEDED, forbidden, new_tenant


def test_record_says_who_did_what_to_which_thing(shared_house: ServedHouse) -> None:
    tenant = new_tenant(shared_house)
    key = tenant.admin.get("/api/api-keys").json()["data"][0]
    team = tenant.team()
    answer = tenant.admin.get("/api/audit").json()
    record = answer["data"][0]
    assert record == {
        "id": record["id"],
        "at": record["at"],
        "actor": {"id": key["id"], "name": key["name"]},
        "action": "team.created",
        "target": team,
    }
    assert re.fullmatch(r"audit_\d+", record["id"])
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", record["at"])
    assert answer["pagination"] == {"page": 1, "limit": 50, "total": 4}


def test_every_kind_of_write_leaves_its_record_and_no_secret(shared_house: ServedHouse) -> None:
    tenant = new_tenant(shared_house)
    admin = tenant.admin
    team = tenant.team()
    admin.patch(f"/api/teams/{team}", json={"name": "Renamed"})
    project = tenant.project(team_id=team)
    admin.patch(f"/api/projects/{project['id']}", json={"name": "Renamed"})
    admin.post(f"/api/projects/{project['id']}/regenerate-api-key")
    project_key = tenant.project_key(project["id"])
    on_project = shared_house.client(project_key)
    on_project.put("/api/model-providers/openai", json={"enabled": True, "customKeys": {"OPENAI_API_KEY": "sk-planted-secret"}})
    on_project.delete("/api/model-providers/openai")
    key = admin.post("/api/api-keys", json={"keyType": "service", "name": "CI"}).json()
    admin.patch(f"/api/api-keys/{key['apiKey']['id']}", json={"name": "CD"})
    admin.delete(f"/api/api-keys/{key['apiKey']['id']}")
    admin.delete(f"/api/projects/{project['id']}")
    admin.delete(f"/api/teams/{team}")
    assert list(reversed(tenant.audit()))[3:] == [
        ("team.created", team),
        ("team.updated", team),
        ("project.created", project["id"]),
        ("api_key.created", project["serviceApiKeyId"]),
        ("project.updated", project["id"]),
        ("project.key_regenerated", project["id"]),
        ("project.key_shown_by_api", project["id"]),
        ("model_provider.created", f"{project['id']}/openai"),
        ("model_provider.deleted", f"{project['id']}/openai"),
        ("api_key.created", key["apiKey"]["id"]),
        ("api_key.updated", key["apiKey"]["id"]),
        ("api_key.revoked", key["apiKey"]["id"]),
        ("project.archived", project["id"]),
        ("team.archived", team),
    ]
    text = admin.get("/api/audit?limit=1000").text
    for secret in ("sk-lw-", "sk-planted-secret", project_key.removeprefix("sk-lw-"), key["token"][-48:]):
        assert secret not in text


def test_showing_a_project_key_leaves_a_record_and_no_list_does(shared_house: ServedHouse) -> None:
    tenant = new_tenant(shared_house)
    project = tenant.project()["id"]
    member = tenant.key("MEMBER", "PROJECT", project)
    before = tenant.audit()
    for path in ("/api/projects", f"/api/projects/{project}", f"/api/teams/{tenant.team_id}/projects"):
        assert tenant.admin.get(path).status_code == 200
    for refused in (tenant.key("VIEWER").get(f"/api/projects/{project}/api-key"), tenant.admin.get("/api/projects/project_1/api-key")):
        assert refused.status_code in (403, 404)
    assert [record for record in tenant.audit() if record not in before] == [("api_key.created", tenant.audit()[0][1])]
    key = member.get(f"/api/projects/{project}/api-key").json()["apiKey"]
    record = tenant.admin.get("/api/audit").json()["data"][0]
    assert (record["action"], record["target"], record["actor"]["name"]) == ("project.key_shown_by_api", project, "MEMBER key")
    assert key.removeprefix("sk-lw-") not in str(record)


def test_refused_write_leaves_no_record(shared_house: ServedHouse) -> None:
    tenant = new_tenant(shared_house)
    before = tenant.audit()
    tenant.admin.post("/api/teams", json={"name": "Acme"})
    tenant.admin.post("/api/projects", json={"name": "P", "language": "x", "framework": "x", "teamId": "team_1"})
    tenant.admin.delete("/api/api-keys/key_1")
    tenant.key("VIEWER").post("/api/teams", json={"name": "Mine"})
    assert tenant.audit()[1:] == before


def test_log_comes_in_pages_newest_first(shared_house: ServedHouse) -> None:
    tenant = new_tenant(shared_house)
    teams = [tenant.team(f"Team {number}") for number in range(3)]
    pages = [tenant.admin.get(f"/api/audit?page={page}&limit=2").json() for page in (1, 2, 4)]
    assert [record["target"] for record in pages[0]["data"]] == [teams[2], teams[1]]
    assert pages[1]["data"][0]["target"] == teams[0]
    assert pages[2]["data"] == []
    assert [page["pagination"]["total"] for page in pages] == [6, 6, 6]


def test_log_is_the_own_organizations_alone(shared_house: ServedHouse) -> None:
    tenant, other = new_tenant(shared_house), new_tenant(shared_house)
    team = other.team()
    assert team not in tenant.admin.get("/api/audit?limit=1000").text
    assert tenant.id not in other.admin.get("/api/audit?limit=1000").text


@pytest.mark.parametrize(
    ("role", "more"),
    [
        ("VIEWER", {}),
        ("MEMBER", {}),
        ("ADMIN", {"permissionMode": "readonly"}),
        ("ADMIN", {"permissionMode": "restricted", "permissions": ["project:view", "project:manage"]}),
    ],
)
def test_only_an_admin_of_the_organization_reads_it(shared_house: ServedHouse, role: str, more: dict[str, object]) -> None:
    tenant = new_tenant(shared_house)
    assert forbidden(tenant.key(role, **more).get("/api/audit"), ADMIN_NEEDED)
    assert forbidden(tenant.key("ADMIN", "TEAM", tenant.team_id).get("/api/audit"), ADMIN_NEEDED)
    assert shared_house.client().get("/api/audit").json()["error"] == "Unauthorized"


def test_every_organizations_admins_see_what_happens_to_the_encryption_keys(serve: Serve, database_url: str) -> None:
    house = serve(database_url=database_url)
    tenant = new_tenant(house)

    async def rotate_and_retire(storage: Storage) -> tuple[str, str]:
        old = storage.box.ring.writing_id
        new = [progress async for progress in rotate(storage, settle_s=0)][-1].key_id
        await retire(storage, old)
        return old, new

    old, new = run_on(house.settings, rotate_and_retire)
    expected = [
        ("encryption_key.retired", f"installation/{old}"),
        ("encryption_key.rotated", f"installation/{new}"),
        ("encryption_key.added", f"installation/{new}"),
    ]
    assert tenant.audit()[:3] == expected
    records = house.client(house.keys.admin_key).get("/api/audit").json()["data"]
    assert [(record["action"], record["target"]) for record in records[:3]] == expected
    assert {record["actor"]["name"] for record in records[:3]} == {"keyhouse keys"}
    assert tenant.id not in str(records)
    assert forbidden(tenant.key("MEMBER").get("/api/audit"), ADMIN_NEEDED)


def test_records_of_the_installation_and_of_the_organization_are_paged_together(serve: Serve, database_url: str) -> None:
    house = serve(database_url=database_url)
    tenant = new_tenant(house)
    before = tenant.admin.get("/api/audit").json()["pagination"]["total"]

    async def rotated(storage: Storage) -> None:
        async for _ in rotate(storage, settle_s=0):
            pass

    run_on(house.settings, rotated)
    tenant.team()
    answers = [tenant.admin.get(f"/api/audit?page={page}&limit=2").json() for page in (1, 2)]
    actions = [record["action"] for answer in answers for record in answer["data"]]
    assert actions[:3] == ["team.created", "encryption_key.rotated", "encryption_key.added"]
    assert answers[0]["pagination"]["total"] == before + 3
