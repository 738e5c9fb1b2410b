"""When API keys expire, over HTTP, on both databases."""

import pytest

from tests.conftest import ServedHouse
from tests.web.api_keys import NEW, made, shown
from tests.web.tenant import new_tenant, refused_field


@pytest.mark.parametrize(
    "moment",
    [
        "2020-01-01T00:00:00Z",
        "tomorrow",
        "",
        None,
        4102444800,
        True,
        "2099-01-01",
        "2099-01-01T00:00:00",
        "2099-13-01T00:00:00Z",
        "2099-01-01T25:00:00Z",
        "9999-12-31T23:59:59-12:00",
        "2099-W01-1T00:00:00Z",
        "2099-01-01T00:00:00+99:99",
        "２０９９-01-01T00:00:00Z",
    ],
)
def test_expiry_is_a_moment_with_its_zone_in_the_future(shared_house: ServedHouse, moment: object) -> None:
    tenant = new_tenant(shared_house)
    assert refused_field(tenant.admin.post("/api/api-keys", json=NEW | {"expiresAt": moment})) == ["expiresAt"]
    if moment is not None:
        key_id, _ = made(tenant)
        assert refused_field(tenant.admin.patch(f"/api/api-keys/{key_id}", json={"expiresAt": moment})) == ["expiresAt"]


@pytest.mark.parametrize(
    ("given", "stored"),
    [
        ("2099-01-31T12:00:00Z", "2099-01-31T12:00:00.000Z"),
        ("2099-01-31T12:00:00.123456+02:00", "2099-01-31T10:00:00.123Z"),
        ("2099-01-31t12:00z", "2099-01-31T12:00:00.000Z"),
        ("9999-12-31T23:59:59Z", "9999-12-31T23:59:59.000Z"),
    ],
)
def test_expiry_reads_back_in_utc(shared_house: ServedHouse, given: str, stored: str) -> None:
    tenant = new_tenant(shared_house)
    key_id, client = made(tenant, expiresAt=given)
    assert shown(tenant, key_id)["expiresAt"] == stored
    assert client.get("/api/projects").status_code == 200
    assert tenant.admin.patch(f"/api/api-keys/{key_id}", json={"expiresAt": None}).json()["expiresAt"] is None
    assert tenant.admin.patch(f"/api/api-keys/{key_id}", json={"expiresAt": given}).json()["expiresAt"] == stored
