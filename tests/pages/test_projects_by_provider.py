"""Which projects have a provider: on the page of projects, and by its search."""

import re

import httpx
import pytest

from tests.conftest import ServedHouse
from tests.pages.browsing import signed_in

BODY = {"language": "other", "framework": "other"}


@pytest.fixture
def house(sqlite_house: ServedHouse) -> ServedHouse:
    """Ten projects beside the first, of which each third has OpenAI and the first one Ollama, which is off."""
    admin = sqlite_house.client(sqlite_house.keys.admin_key)
    for number in range(10):
        made = admin.post("/api/projects", json=BODY | {"name": f"Shop {number}", "newTeamName": f"Team {number}"}).json()
        if number % 3 == 0:
            sqlite_house.client(made["serviceApiKey"]).put("/api/model-providers/openai", json={"enabled": True}).raise_for_status()
    ollama = {"enabled": False, "customKeys": {"OLLAMA_BASE_URL": "http://127.0.0.1:9/v1"}}
    sqlite_house.client().put("/api/model-providers/ollama", json=ollama).raise_for_status()
    return sqlite_house


def rows(client: httpx.Client, wanted: str = "") -> dict[str, str]:
    """The words of each project's row, by its name."""
    text = client.get("/organization/projects", params={"q": wanted}).text
    table = re.search(r'aria-label="Projects".*?</table>', text, re.DOTALL)
    assert table is not None
    heads = re.findall(r'<th scope="row"><a [^>]*>([^<]*)</a>(.*?)</th>', table[0], re.DOTALL)
    return {name: " ".join(re.sub("<[^>]*>", " ", rest).split()) for name, rest in heads}


def test_a_project_names_its_providers_and_is_found_by_them(house: ServedHouse) -> None:
    client = signed_in(house, house.keys.admin_key)
    assert rows(client) == {
        **{f"Shop {number}": "OpenAI" if number % 3 == 0 else "" for number in range(10)},
        "My project": "Ollama (off)",
    }
    assert list(rows(client, "openai")) == ["Shop 9", "Shop 6", "Shop 3", "Shop 0"]
    assert list(rows(client, "Ollama")) == ["My project"]
    assert rows(client, "bedrock") == {}
    house.client().delete("/api/model-providers/ollama").raise_for_status()
    assert rows(client, "ollama") == {}


def test_a_project_that_somebody_may_not_view_is_found_by_nothing(house: ServedHouse) -> None:
    binding = {"role": "VIEWER", "scopeType": "PROJECT", "scopeId": house.keys.project_id}
    body = {"keyType": "service", "name": "Looks on", "bindings": [binding]}
    looks_on = house.client(house.keys.admin_key).post("/api/api-keys", json=body).json()
    client = signed_in(house, looks_on["token"])
    assert rows(client) == {"My project": "Ollama (off)"}
    assert rows(client, "openai") == {}
