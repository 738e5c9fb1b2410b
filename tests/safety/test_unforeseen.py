"""A failure that nobody foresaw is told in each room's own words, without its cause, which is in the log."""

import sqlite3
from collections.abc import Iterator

import httpx
import pytest
from structlog.testing import capture_logs

from tests.conftest import Serve, ServedHouse
from tests.pages.browsing import signed_in

UNKNOWN = "An unknown error occurred"
BODY = {"model": "openai/gpt-5-mini", "max_tokens": 9, "messages": [{"role": "user", "content": "Hi"}]}


@pytest.fixture
def damaged(serve: Serve) -> Iterator[ServedHouse]:
    """A house whose database holds what no release ever wrote."""
    house = serve()
    house.client().put("/api/model-providers/openai", json={"enabled": True, "customKeys": {"OPENAI_API_KEY": "sk-a"}}).raise_for_status()
    with sqlite3.connect(house.settings.data_dir / "keyhouse.db") as database:
        assert database.execute("UPDATE model_providers SET custom_models = '{planted'").rowcount == 1
    database.close()
    return serve()


def require_logged(logs: list[dict[str, object]], answer: httpx.Response, route: str) -> None:
    [line] = [line for line in logs if line["event"] == "request failed"]
    assert (line["route"], line["request_id"]) == (route, answer.headers["x-keyhouse-request-id"])
    assert "planted" not in answer.text
    assert "planted" not in str(logs)


def test_the_api_says_so(damaged: ServedHouse) -> None:
    with capture_logs() as logs:
        answer = damaged.client().get("/api/model-providers")
    assert (answer.status_code, answer.json()) == (500, {"error": "Internal server error", "message": UNKNOWN})
    require_logged(logs, answer, "/api/model-providers")


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/messages"])
def test_the_gateway_says_so(damaged: ServedHouse, path: str) -> None:
    with capture_logs() as logs:
        answer = damaged.client().post(path, json=BODY)
    assert (answer.status_code, answer.json()["error"]["message"]) == (500, UNKNOWN)
    require_logged(logs, answer, path)


def test_a_page_says_so(damaged: ServedHouse) -> None:
    client = signed_in(damaged, damaged.keys.project_key)
    with capture_logs() as logs:
        answer = client.get(f"/projects/{damaged.keys.project_id}/providers")
    assert (answer.status_code, UNKNOWN in answer.text) == (500, True)
    require_logged(logs, answer, "/projects/{project}/providers")
