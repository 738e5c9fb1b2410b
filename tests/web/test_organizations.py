"""Organizations over HTTP, on both databases."""

import re
from concurrent.futures import ThreadPoolExecutor
from uuid import uuid4

import httpx
import pytest

from tests.conftest import Serve, ServedHouse
from tests.web.tenant import REFUSED_NAMES, failure, instance, new_tenant, refused_field

ROUTES = [("POST", "/api/organizations"), ("GET", "/api/organizations"), ("GET", "/api/organizations/organization_1")]


def test_creating_gives_the_organization_its_team_and_an_admin_key(shared_house: ServedHouse) -> None:
    slug = f"acme-{uuid4().hex}"
    answer = instance(shared_house).post("/api/organizations", json={"name": "Acme Inc.", "slug": slug, "adminApiKeyName": "Terraform"})
    made = answer.json()
    assert answer.status_code == 201
    assert answer.headers["cache-control"] == "no-store"
    assert made["organization"] == {"id": made["organization"]["id"], "name": "Acme Inc.", "slug": slug}
    assert set(made["team"]) == {"id", "name", "slug"}
    assert set(made["adminApiKey"]) == {"id", "token"}
    assert made["organization"]["id"].startswith("organization_")
    assert made["team"]["id"].startswith("team_")
    assert re.fullmatch("sk-lw-[A-Za-z0-9]{16}_[A-Za-z0-9]{48}", made["adminApiKey"]["token"])
    admin = shared_house.client(made["adminApiKey"]["token"])
    assert [team["id"] for team in admin.get("/api/teams").json()["data"]] == [made["team"]["id"]]
    key = admin.get(f"/api/api-keys/{made['adminApiKey']['id']}").json()
    assert key["name"] == "Terraform"
    assert key["bindings"] == [{"role": "ADMIN", "scopeType": "ORGANIZATION", "scopeId": made["organization"]["id"]}]


@pytest.mark.parametrize(("name", "slug"), [("Größe & Söhne  AG", "grosse-sohne-ag"), ("--A__b--", "a-b"), ("ACME 2", "acme-2")])
def test_slug_is_made_from_the_name(serve: Serve, name: str, slug: str) -> None:
    client = instance(serve())
    assert client.post("/api/organizations", json={"name": name}).json()["organization"]["slug"] == slug
    answer = client.post("/api/organizations", json={"name": name})
    assert failure(answer) == (409, "organization_slug_taken")


def test_name_without_a_letter_of_ascii_gets_a_slug_all_the_same(shared_house: ServedHouse) -> None:
    made = [instance(shared_house).post("/api/organizations", json={"name": "会社"}).json()["organization"] for _ in range(2)]
    assert made[0]["slug"] != made[1]["slug"]
    assert all(re.fullmatch("organization-[0-9a-f]{8}", organization["slug"]) for organization in made)
    assert made[0]["name"] == "会社"


@pytest.mark.parametrize("slug", ["", "Acme", "a--b", "-a", "a-", "a_b", "a b", "ä", "a" * 81, "a\n", None, 1])
def test_slug_of_another_form_is_refused(shared_house: ServedHouse, slug: object) -> None:
    answer = instance(shared_house).post("/api/organizations", json={"name": "Acme", "slug": slug})
    assert refused_field(answer) == ["slug"]


@pytest.mark.parametrize("name", REFUSED_NAMES)
@pytest.mark.parametrize("field", ["name", "adminApiKeyName"])
def test_name_that_is_none_is_refused(shared_house: ServedHouse, field: str, name: object) -> None:
    answer = instance(shared_house).post("/api/organizations", json={"name": "Acme", field: name})
    assert refused_field(answer) == [field]


def test_taken_slug_is_a_conflict_and_two_at_once_make_one(shared_house: ServedHouse) -> None:
    slug, client = f"acme-{uuid4().hex}", instance(shared_house)
    with ThreadPoolExecutor(12) as threads:
        answers = list(threads.map(lambda _: client.post("/api/organizations", json={"name": "Acme", "slug": slug}), range(12)))
    assert sorted(answer.status_code for answer in answers) == [201] + [409] * 11
    assert {failure(answer) for answer in answers if answer.status_code == 409} == {(409, "organization_slug_taken")}
    assert [found["slug"] for found in client.get("/api/organizations").json()["organizations"]].count(slug) == 1


def test_list_shows_all_newest_first_and_no_secret(shared_house: ServedHouse) -> None:
    tenants = [new_tenant(shared_house) for _ in range(3)]
    answer = instance(shared_house).get("/api/organizations")
    found = answer.json()["organizations"]
    assert [organization["id"] for organization in found[:3]] == [tenant.id for tenant in reversed(tenants)]
    assert set(found[0]) == {"id", "name", "slug", "createdAt"}
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", found[0]["createdAt"])
    assert list(answer.json()) == ["organizations"]
    assert "sk-lw-" not in answer.text


def test_one_organization_is_shown_and_an_unknown_one_is_not_found(shared_house: ServedHouse) -> None:
    tenant, client = new_tenant(shared_house), instance(shared_house)
    found = client.get(f"/api/organizations/{tenant.id}").json()
    assert list(found) == ["organization"]
    assert (found["organization"]["id"], set(found["organization"])) == (tenant.id, {"id", "name", "slug", "createdAt"})
    for unknown in ("organization_1", "%00", "%F0%9F%94%91", "x" * 3000):
        assert failure(client.get(f"/api/organizations/{unknown}")) == (404, "not_found")


@pytest.mark.parametrize(("method", "path"), ROUTES)
def test_instance_key_is_asked_for_as_bearer(shared_house: ServedHouse, method: str, path: str) -> None:
    client = shared_house.anonymous()
    admin_key = instance(shared_house).headers["authorization"].removeprefix("Bearer ")
    for headers in ({}, {"X-Auth-Token": admin_key}, {"Authorization": "Bearer"}):
        assert failure(client.request(method, path, headers=headers)) == (401, "missing_credentials")
    assert failure(client.request(method, path, auth=httpx.BasicAuth("user", admin_key))) == (401, "missing_credentials")
    for wrong in ("wrong", shared_house.keys.admin_key, shared_house.keys.project_key, admin_key + "x"):
        assert failure(client.request(method, path, headers={"Authorization": f"Bearer {wrong}"})) == (401, "invalid_credentials")


@pytest.mark.parametrize(("method", "path"), ROUTES)
def test_without_an_instance_key_there_are_no_organizations(serve: Serve, method: str, path: str) -> None:
    house = serve(admin_key=None)
    for headers in ({}, {"Authorization": f"Bearer {house.keys.admin_key}"}, {"Authorization": "Bearer"}):
        assert failure(house.anonymous().request(method, path, headers=headers, content=b"x")) == (404, "Not Found")


def test_instance_key_may_be_any_text(serve: Serve) -> None:
    client = serve(admin_key="schlüssel-für-alles").anonymous()
    key = "Bearer schlüssel-für-alles".encode()
    assert client.get("/api/organizations", headers=[(b"authorization", key)]).status_code == 200


def test_credentials_come_before_the_body(shared_house: ServedHouse) -> None:
    bad = {"content": b"{", "headers": {"content-type": "application/json"}}
    assert failure(shared_house.anonymous().post("/api/organizations", **bad)) == (401, "missing_credentials")  # type: ignore[arg-type]
    assert failure(instance(shared_house).post("/api/organizations", **bad)) == (400, "malformed_request")  # type: ignore[arg-type]
    assert refused_field(instance(shared_house).post("/api/organizations", content=b"x")) == ["name"]
    lone = instance(shared_house).post("/api/organizations", content=b'{"name":"\\ud800"}', headers={"content-type": "application/json"})
    assert lone.status_code in (400, 422)


def test_each_part_of_a_new_organization_is_in_its_audit_log(shared_house: ServedHouse) -> None:
    tenant = new_tenant(shared_house)
    records = tenant.admin.get("/api/audit").json()["data"]
    assert [record["action"] for record in records] == ["api_key.created", "team.created", "organization.created"]
    assert [record["target"] for record in records[1:]] == [tenant.team_id, tenant.id]
    assert {record["actor"]["id"] for record in records} == {"instance"}


def test_white_space_around_the_instance_key_is_no_part_of_it(serve: Serve) -> None:
    """Variables that are made from files often end in a line's end."""
    house = serve(admin_key=" an-instance-key\r\n")
    assert house.anonymous().get("/api/organizations", headers={"authorization": "Bearer an-instance-key"}).status_code == 200
    blank = serve(admin_key=" \n")
    assert blank.anonymous().get("/api/organizations", headers={"authorization": "Bearer x"}).status_code == 404
