"""The API under /api/v1, where LangWatch's newer clients ask, is the API under /api."""

import httpx
import pytest

from tests.conftest import ServedHouse


def test_every_route_is_answered_at_both_addresses(shared_house: ServedHouse) -> None:
    """Nobody is signed in: the answer says whether there is such a route, and does nothing."""
    client = shared_house.anonymous()
    operations = [(method, path) for path, methods in client.get("/openapi.json").json()["paths"].items() for method in methods]
    assert len(operations) > 30
    for method, path in operations:
        assert path.startswith("/api/")
        filled = path.replace("{", "").replace("}", "")
        bare, versioned = (client.request(method, address) for address in (filled, f"/api/v1{filled.removeprefix('/api')}"))
        assert (versioned.status_code, versioned.json()) == (bare.status_code, bare.json()), path
        assert bare.status_code == 401


def test_what_is_written_at_one_address_is_read_at_the_other(shared_house: ServedHouse) -> None:
    client = shared_house.client()
    written = client.put("/api/v1/model-providers/groq", json={"enabled": True, "customKeys": {"GROQ_API_KEY": "gsk-planted"}})
    assert (written.status_code, written.json()["groq"]["enabled"]) == (200, True)
    read: list[httpx.Response] = [client.get(path) for path in ("/api/model-providers", "/api/v1/model-providers")]
    assert [answer.json() for answer in read] == [written.json()] * 2
    assert {answer.headers["etag"] for answer in read} == {written.headers["etag"]}
    unknown = client.put("/api/v1/model-providers/nonsense", json={"enabled": True})
    assert (unknown.status_code, unknown.json()["error"]) == (400, "Invalid provider")


@pytest.mark.parametrize(
    "path", ["/api/v1", "/api/v1/", "/api/v1/v1/model-providers", "/api/v2/model-providers", "/api/V1/model-providers"]
)
def test_nothing_else_is_there(shared_house: ServedHouse, path: str) -> None:
    answer = shared_house.client().get(path)
    assert (answer.status_code, answer.json()) == (404, {"error": "Not Found"})


def test_a_wrong_method_is_nowhere(shared_house: ServedHouse) -> None:
    assert shared_house.client().post("/api/v1/model-providers", json={}).status_code == 404
