"""A client whose base URL is wrong is told so in its own format, and never by a page."""

import re
from pathlib import Path

import anthropic
import httpx
import openai
import pytest

import keyhouse.web.pages
from keyhouse.web.gateway.endpoints import ENDPOINTS, is_meant_for_gateway
from tests.conftest import NO_CERTIFICATES
from tests.gateway_road.conftest import Road

HINT = "The base URL of OpenAI's clients ends in /v1, that of Anthropic's has no path."
TOO_MUCH = "what the path has before that is too much in its base URL."


@pytest.mark.parametrize(
    ("path", "remedy"),
    [
        ("", "end its base URL in /v1, as it adds /chat/completions by itself."),
        ("//v1", TOO_MUCH),
        ("/v1/v1", TOO_MUCH),
        ("/openai/v2", "its base URL has to lead there."),
    ],
)
def test_the_openai_client_says_what_is_wrong(road: Road, path: str, remedy: str) -> None:
    with (
        httpx.Client(trust_env=False, verify=NO_CERTIFICATES) as http,
        openai.OpenAI(base_url=road.house.address + path, api_key=road.house.keys.project_key, http_client=http) as client,
        pytest.raises(openai.NotFoundError) as caught,
    ):
        client.chat.completions.create(model="gpt-5-mini", messages=[{"role": "user", "content": "Hi"}])
    assert (caught.value.code, f"This client means /v1/chat/completions: {remedy}" in caught.value.message) == ("route_not_found", True)


@pytest.mark.parametrize("path", ["/v1", "//v1", "/anthropic"])
def test_the_anthropic_client_says_what_is_wrong(road: Road, path: str) -> None:
    with (
        anthropic.Anthropic(base_url=road.house.address + path, api_key=road.house.keys.project_key, max_retries=0) as client,
        pytest.raises(anthropic.NotFoundError) as caught,
    ):
        client.messages.create(model="claude-opus-4-8", max_tokens=10, messages=[{"role": "user", "content": "Hi"}])
    body = caught.value.body
    assert isinstance(body, dict)
    assert body["type"] == "error"
    assert body["error"]["message"] == f"There is no such endpoint. This client means /v1/messages: {TOO_MUCH}"


@pytest.mark.parametrize("path", ["/messages", "/messages/count_tokens"])
def test_an_anthropic_client_that_wants_the_version_in_its_base_url_is_told_so(road: Road, path: str) -> None:
    answer = road.post(path, {}, anthropic_version="2023-06-01")
    remedy = f"This client means /v1{path}: end its base URL in /v1, as it adds {path} by itself."
    assert (answer.status_code, answer.json()["error"]["message"]) == (404, f"There is no such endpoint. {remedy}")


def test_two_slashes_before_the_api_are_told_in_json(road: Road) -> None:
    answer = road.post("//api/model-providers", {})
    assert (answer.status_code, answer.json()["error"]) == (404, "Not Found")


@pytest.mark.parametrize(
    ("method", "path", "headers"),
    [
        ("POST", "/genai/v1beta/models/gemini-2.5-flash:generateContent", {"x-goog-api-key": "key", "content-type": "application/json"}),
        ("POST", "/model/us.amazon.nova-pro-v1:0/converse", {"content-type": "application/json"}),
        ("GET", "/model/info", {"authorization": "Bearer key"}),
    ],
)
def test_a_program_at_a_path_of_another_gateway_is_told_in_json_what_there_is(
    road: Road, method: str, path: str, headers: dict[str, str]
) -> None:
    answer = httpx.request(method, road.house.address + path, headers=headers, content=b"{}", trust_env=False, verify=NO_CERTIFICATES)
    error = answer.json()["error"]
    assert (answer.status_code, error["code"], HINT in error["message"]) == (404, "route_not_found", True)
    assert (answer.headers["cache-control"], answer.headers["x-content-type-options"]) == ("no-store", "nosniff")
    browser = httpx.request(method, road.house.address + path, headers={"accept": "text/html"}, trust_env=False, verify=NO_CERTIFICATES)
    assert (browser.status_code, "There is no such page." in browser.text) == (404, True)


def test_no_page_is_taken_for_an_endpoint() -> None:
    folder = Path(keyhouse.web.pages.__file__).parent
    addresses = {address for path in folder.rglob("*.py") for address in re.findall(r'"(/[^\s"]*)"', path.read_text())}
    pages = {address for address in addresses if not address.startswith("/v1")}
    assert "/projects/{project}/providers/{provider}" in pages
    assert not {page for page in pages if is_meant_for_gateway(page)}
    assert all(map(is_meant_for_gateway, ENDPOINTS))
