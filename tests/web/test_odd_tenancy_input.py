"""Whatever is sent to the routes of section 7, no answer is a failure of the house, on both databases."""

import json
from typing import Any

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keyhouse.web.control.api_keys import ApiKeyBody, BindingBody
from keyhouse.web.control.organizations import OrganizationBody
from keyhouse.web.control.projects import ProjectBody
from keyhouse.web.control.teams import TeamBody
from tests.conftest import ServedHouse
from tests.web.tenant import Tenant, instance, new_tenant

BODIES_OF_ROUTES = (OrganizationBody, TeamBody, ProjectBody, ApiKeyBody, BindingBody)
FIELDS = sorted({name for body in BODIES_OF_ROUTES for name in body.model_fields})
WORDS = ["service", "ADMIN", "PROJECT", "restricted", "readonly", "project:view", "a\x00b", "e\u0301", "2099-01-01T00:00:00Z", "\U0001f511"]
TEXTS = st.sampled_from(WORDS) | st.text(st.characters(exclude_categories=[]), max_size=12)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(FIELDS), inner, max_size=3),
    max_leaves=8,
)
BINDINGS = st.fixed_dictionaries({"role": st.just("VIEWER"), "scopeType": st.sampled_from(["TEAM", "PROJECT"]), "scopeId": TEXTS})
PLAUSIBLE = st.fixed_dictionaries(
    {"name": TEXTS},
    optional={
        "keyType": st.just("service"),
        "slug": TEXTS,
        "language": TEXTS,
        "framework": TEXTS,
        "newTeamName": TEXTS,
        "teamId": TEXTS,
        "description": TEXTS,
        "expiresAt": TEXTS | st.datetimes().map(lambda moment: moment.isoformat() + "Z"),
        "projectIds": st.lists(TEXTS, min_size=1, max_size=2),
        "bindings": st.lists(BINDINGS, min_size=1, max_size=2),
    },
)
BODIES = PLAUSIBLE | st.dictionaries(st.sampled_from(FIELDS), VALUES, max_size=6) | VALUES
SEGMENTS = st.binary(min_size=1, max_size=12).map(lambda raw: "".join(f"%{byte:02X}" for byte in raw))


@pytest.fixture(scope="module")
def tenant(shared_house: ServedHouse) -> Tenant:
    return new_tenant(shared_house)


@pytest.fixture(scope="module")
def places(tenant: Tenant) -> list[tuple[str, str]]:
    """Every route that takes a body."""
    key = tenant.admin.post("/api/api-keys", json={"keyType": "service", "name": "CI"}).json()["apiKey"]["id"]
    return [
        ("POST", "/api/organizations"),
        ("POST", "/api/teams"),
        ("PATCH", f"/api/teams/{tenant.team_id}"),
        ("POST", "/api/projects"),
        ("PATCH", f"/api/projects/{tenant.project()['id']}"),
        ("POST", "/api/api-keys"),
        ("PATCH", f"/api/api-keys/{key}"),
    ]


def is_answered(answer: httpx.Response) -> bool:
    """Whether this is JSON, and no failure of the house."""
    return answer.status_code < 500 and isinstance(answer.json(), dict)


@settings(max_examples=80)
@given(body=BODIES)
def test_no_body_is_a_failure_of_the_house(tenant: Tenant, places: list[tuple[str, str]], body: Any) -> None:
    content, headers = json.dumps(body).encode(), {"content-type": "application/json"}
    for method, place in places:
        client = instance(tenant.house) if "organizations" in place else tenant.admin
        assert is_answered(client.request(method, place, content=content, headers=headers)), (method, place, body)


@settings(max_examples=40)
@given(segment=SEGMENTS)
def test_no_path_is_a_failure_of_the_house(tenant: Tenant, segment: str) -> None:
    for method, place in (
        ("GET", f"/api/organizations/{segment}"),
        ("GET", f"/api/teams/{segment}/projects"),
        ("DELETE", f"/api/teams/{segment}"),
        ("GET", f"/api/projects/{segment}/api-key"),
        ("DELETE", f"/api/projects/{segment}"),
        ("DELETE", f"/api/api-keys/{segment}"),
    ):
        client = instance(tenant.house) if "organizations" in place else tenant.admin
        assert client.request(method, place).status_code in (400, 404), (method, place)
