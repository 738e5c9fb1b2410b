"""Where a caller's credential is looked for, which of several decides, and what each kind of key may do to a project's providers."""

import base64

import httpx
import pytest

from tests.conftest import ServedHouse
from tests.web.tenant import new_tenant
from tests.web.wire import Reply, exchange, request_bytes

LIST = "/api/model-providers"
OPENAI = f"{LIST}/openai"
WRONG = "sk-lw-" + "x" * 48


def basic(user: str, token: str) -> dict[str, str]:
    return {"authorization": "Basic " + base64.b64encode(f"{user}:{token}".encode()).decode()}


def ask(house: ServedHouse, headers: dict[str, str]) -> Reply:
    """By hand: no client library sends headers with blanks around them."""
    return exchange(house.address, request_bytes("GET", LIST, list(headers.items())))


def status(house: ServedHouse, headers: dict[str, str]) -> int:
    return ask(house, headers).status


def api_key(house: ServedHouse, **fields: object) -> str:
    body = {"keyType": "service", "name": "made for a test", **fields}
    answer = house.client(house.keys.admin_key).post("/api/api-keys", json=body)
    assert answer.status_code == 201, answer.text
    return str(answer.json()["token"])


def bound(house: ServedHouse, role: str) -> str:
    return api_key(house, bindings=[{"role": role, "scopeType": "PROJECT", "scopeId": house.keys.project_id}])


def test_a_project_key_is_taken_in_each_of_its_places(shared_house: ServedHouse) -> None:
    key = shared_house.keys.project_key
    for headers in (
        {"authorization": f"Bearer {key}"},
        {"authorization": f"bEARER   {key}  "},
        {"x-auth-token": f" {key} "},
        basic("any", key),
    ):
        assert status(shared_house, headers) == 200
        assert status(shared_house, {**headers, "x-project-id": "project_of_somebody_else"}) == 200


def test_the_first_credential_found_decides(shared_house: ServedHouse) -> None:
    key = shared_house.keys.project_key
    assert status(shared_house, {"authorization": f"Bearer {key}", "x-auth-token": WRONG}) == 200
    assert status(shared_house, {"authorization": f"Bearer {WRONG}", "x-auth-token": key}) == 401
    assert status(shared_house, {**basic("any", WRONG), "x-auth-token": key}) == 401


def encoded(text: bytes) -> str:
    return base64.b64encode(text).decode()


PASSED_OVER = [
    "Basic !!!",
    "Basic",
    "Basic " + encoded(b"nocolon"),
    "Basic " + encoded(b":token"),
    "Basic " + encoded(b"project:"),
    "Basic " + encoded(b" :token"),
    "Basic " + encoded(b"project: "),
    "Bearer",
    "Bearer   ",
]


@pytest.mark.parametrize(
    "authorization", [*PASSED_OVER, "Basic " + encoded(b"\xff:\xfe"), "Basic " + encoded(b"a\0:b"), "Digest x", "", "x"]
)
def test_what_is_malformed_or_empty_is_passed_over(shared_house: ServedHouse, authorization: str) -> None:
    assert status(shared_house, {"authorization": authorization, "x-auth-token": shared_house.keys.project_key}) == 200
    reply = ask(shared_house, {"authorization": authorization, "x-auth-token": ""})
    assert (reply.status, reply.json["error"]) == (401, "Unauthorized")
    assert reply.json["message"].startswith("Authentication required. Use Authorization: Basic base64(projectId:token), ")


@pytest.mark.parametrize(
    "token", [WRONG, "nonsense", "sk-lw-", "sk-lw-" + "a" * 16 + "_" + "b" * 48, "\xe9\xff", "a" * 5000, "' OR 1=1 --"]
)
def test_a_wrong_key_is_refused_and_not_repeated(shared_house: ServedHouse, token: str) -> None:
    answer = shared_house.anonymous().get(LIST, headers={"x-auth-token": token.encode("latin-1")})  # type: ignore[dict-item]
    assert (answer.status_code, answer.json()) == (401, {"error": "Unauthorized", "message": "Invalid credentials"})


def test_a_scoped_key_names_its_project(shared_house: ServedHouse) -> None:
    key, project = shared_house.keys.admin_key, shared_house.keys.project_id
    assert status(shared_house, {"x-auth-token": key, "x-project-id": project}) == 200
    assert status(shared_house, {"authorization": f"Bearer {key}", "x-project-id": project}) == 200
    assert status(shared_house, basic(project, key)) == 200
    assert status(shared_house, {name: value.replace("Basic", "bASIC") for name, value in basic(project, key).items()}) == 200
    for nowhere in ("project_that_is_not", "' OR 1=1 --", "a" * 5000, "\xe9"):
        assert status(shared_house, {"x-auth-token": key, "x-project-id": nowhere}) == 401
    assert status(shared_house, basic("a\0b", key)) == 401


def test_a_scoped_key_that_names_no_project_is_told_how(shared_house: ServedHouse) -> None:
    key = shared_house.keys.admin_key
    for headers in ({"x-auth-token": key}, {"authorization": f"Bearer {key}", "x-project-id": " "}):
        refused = ask(shared_house, headers)
        assert (refused.status, refused.json["error"], refused.json["message"]) == (401, "Unauthorized", "Invalid credentials")
        assert "name the project" in refused.json["hint"]
        assert "X-Project-Id" in refused.json["hint"]
    gateway = shared_house.client(key).get("/v1/models")
    assert (gateway.status_code, gateway.json()["error"]["message"]) == (401, f"Invalid credentials. {refused.json['hint']}")


def test_a_project_of_another_organization_is_as_unknown_as_one_that_is_not(shared_house: ServedHouse) -> None:
    elsewhere = new_tenant(shared_house)
    project = elsewhere.project()["id"]
    refused = ask(shared_house, {"x-auth-token": shared_house.keys.admin_key, "x-project-id": project})
    assert (refused.status, refused.json["message"]) == (401, "Invalid credentials")
    assert status(shared_house, {"x-auth-token": elsewhere.admin_token, "x-project-id": project}) == 200


def test_a_key_bound_to_one_project_need_not_name_it(shared_house: ServedHouse) -> None:
    assert status(shared_house, {"x-auth-token": bound(shared_house, "VIEWER")}) == 200


def test_rights_are_asked_before_the_body(shared_house: ServedHouse) -> None:
    viewer = shared_house.client(bound(shared_house, "VIEWER"))
    writes: list[httpx.Response] = [
        viewer.put(OPENAI, content=b"{", headers={"content-type": "application/json"}),
        viewer.put(OPENAI, content=b"x" * (1024 * 1024 + 1)),
        viewer.put(f"{LIST}/nonsense", json={}),
        viewer.delete(OPENAI),
        viewer.post(f"{OPENAI}/rollback", json={}),
        viewer.post(f"{OPENAI}/test"),
    ]
    assert [answer.status_code for answer in writes] == [403] * 6
    for answer in writes:
        assert (answer.json()["error"], answer.json()["permission"]) == ("api_key_permission_denied", "project:update")
        assert "project:update" in answer.json()["message"]
    assert [viewer.get(path).status_code for path in (LIST, OPENAI, f"{OPENAI}/history")] == [200] * 3


def test_a_member_may_change_providers(shared_house: ServedHouse) -> None:
    member = shared_house.client(bound(shared_house, "MEMBER"))
    assert member.put(OPENAI, json={"enabled": True}).status_code == 200


def test_a_key_without_a_role_on_the_project_may_nothing(shared_house: ServedHouse) -> None:
    admin = shared_house.client(shared_house.keys.admin_key)
    team = admin.post("/api/teams", json={"name": "Others"}).json()
    key = api_key(shared_house, bindings=[{"role": "ADMIN", "scopeType": "TEAM", "scopeId": team["id"]}])
    assert status(shared_house, {"x-auth-token": key, "x-project-id": shared_house.keys.project_id}) == 403
