"""The test button: testing, every verdict in plain words, who tested and when, and what is said where nothing can be asked."""

import asyncio
import threading
from collections.abc import Iterator

import pytest
from playwright.sync_api import Locator, expect

from keyhouse.services.connection_test import TESTS_A_MINUTE
from tests.conftest import Serve, ServedHouse
from tests.gateway.fault_upstream import Peer, ReceivedRequest, response
from tests.gateway_road.upstreams import Upstream, answered_by, json_answer, running_upstream
from tests.pages.browsing import Visit, Visitor, signed_in

GOOD = "sk-planted-good-1b9d"
SAID = "The provider said sk-planted-their-words"


def _listing(request: ReceivedRequest) -> bytes:
    if request.header(b"authorization") != [f"Bearer {GOOD}".encode()]:
        return json_answer({"error": {"message": SAID}}, b"401 Unauthorized")
    return json_answer({"object": "list", "data": [{"id": "gpt-5-mini", "object": "model"}]})


@pytest.fixture
def upstream() -> Iterator[Upstream]:
    with running_upstream(answered_by(_listing)) as running:
        yield running


def store(house: ServedHouse, address: str, key: str = GOOD, **further: object) -> None:
    keys = {"OPENAI_API_KEY": key, "OPENAI_BASE_URL": f"{address}/v1"}
    answer = house.client().put("/api/model-providers/openai", json={"enabled": True, "customKeys": keys, **further})
    assert answer.status_code == 200, answer.text


def verdict_of(visitor: Visitor) -> Locator:
    return visitor.page.locator("#test-openai")


def press(visitor: Visitor) -> None:
    visitor.page.get_by_role("button", name="Test OpenAI").click()


def test_save_and_test_says_that_it_works_and_who_found_out(visitor: Visitor, upstream: Upstream) -> None:
    visitor.sign_in()
    page = visitor.page
    page.get_by_role("link", name="Add the first provider").click()
    page.get_by_role("dialog").get_by_role("link", name="OpenAI", exact=True).click()
    page.get_by_label("API key", exact=True).fill(GOOD)
    page.get_by_label("Base URL").fill(f"{upstream.address}/v1")
    page.get_by_role("button", name="Save and test").click()
    expect(page.get_by_text("OpenAI is saved.")).to_be_visible()
    expect(verdict_of(visitor)).to_contain_text("Works. The provider accepted the stored credentials.")
    expect(verdict_of(visitor)).to_contain_text("Tested just now by project key of My project, HTTP 200")
    expect(page.locator("#said")).to_have_text("Works. The provider accepted the stored credentials.")
    assert [request.line for request in upstream.requests] == [b"GET /v1/models HTTP/1.1"]
    page.reload()
    expect(verdict_of(visitor)).to_contain_text("Works.")
    assert len(upstream.requests) == 1


def test_while_it_runs_it_says_testing(visitor: Visitor, upstream: Upstream) -> None:
    asked, go_on = threading.Event(), threading.Event()

    async def slow(peer: Peer) -> None:
        request = await peer.request()
        asked.set()
        await asyncio.to_thread(go_on.wait, 10)
        await peer.send(_listing(request))

    upstream.script = slow
    store(visitor.house, upstream.address)
    visitor.sign_in()
    expect(verdict_of(visitor)).to_contain_text("Not tested yet.")
    button = visitor.page.get_by_role("button", name="Test OpenAI")
    button.focus()
    visitor.page.keyboard.press("Enter")
    expect(verdict_of(visitor).get_by_text("Testing…")).to_be_visible()
    expect(visitor.page.locator("#said")).to_have_text("Testing OpenAI")
    assert asked.wait(30)
    visitor.page.keyboard.press("Enter")
    go_on.set()
    expect(verdict_of(visitor)).to_contain_text("Works.")
    expect(verdict_of(visitor).get_by_text("Testing…")).to_be_hidden()
    expect(button).to_be_focused()
    assert len(upstream.requests) == 1


@pytest.mark.parametrize(
    ("answer", "words", "tone"),
    [
        (json_answer({"error": {"message": SAID}}, b"403 Forbidden"), "Credentials refused. The provider refused the stored", "bad"),
        (response(b"<html>" + SAID.encode()), "Wrong address. Something answers at the stored address", "bad"),
        (json_answer({"error": SAID}, b"429 Too Many Requests"), "Asked too often. The provider asks to be called less often", "warn"),
        (json_answer({"error": SAID}, b"500 Internal Server Error"), "Not reached. The provider is out of order", "bad"),
        (json_answer({"object": "list", "data": [{"id": "other"}]}), "Model missing. The provider answers, but does not list", "warn"),
    ],
)
def test_each_verdict_has_its_words_and_its_colour(visitor: Visitor, upstream: Upstream, answer: bytes, words: str, tone: str) -> None:
    upstream.script = answered_by(lambda request: answer)
    store(visitor.house, upstream.address, customModels=["gpt-5-mini"])
    visitor.sign_in()
    press(visitor)
    expect(verdict_of(visitor)).to_contain_text(words)
    expect(verdict_of(visitor).locator(f".verdict.{tone} svg").first).to_be_visible()
    assert "planted" not in visitor.page.content()


def test_nobody_at_the_address_is_said(visitor: Visitor) -> None:
    store(visitor.house, "http://127.0.0.1:1")
    visitor.sign_in()
    press(visitor)
    expect(verdict_of(visitor)).to_contain_text("Not reached.")


def test_what_the_address_policy_forbids_is_said(serve: Serve, visit: Visit, upstream: Upstream) -> None:
    house = serve(allow_private_addresses=False)
    store(house, upstream.address)
    visitor = visit()
    visitor.house = house
    visitor.sign_in()
    press(visitor)
    expect(verdict_of(visitor)).to_contain_text("Blocked by Keyhouse.")


def test_a_changed_key_makes_the_verdict_an_old_one(visitor: Visitor, upstream: Upstream) -> None:
    store(visitor.house, upstream.address)
    assert visitor.house.client().post("/api/model-providers/openai/test").json()["verdict"] == "verified"
    visitor.sign_in()
    expect(verdict_of(visitor)).to_contain_text("Works.")
    store(visitor.house, upstream.address, "sk-planted-other")
    visitor.go(visitor.providers)
    expect(verdict_of(visitor)).to_contain_text("Tested before the last change.")
    expect(verdict_of(visitor)).to_contain_text("Then: works, just now by project key of My project")
    press(visitor)
    expect(verdict_of(visitor)).to_contain_text("Credentials refused.")


def test_too_many_tests_are_a_sentence_and_the_last_verdict_stays(visitor: Visitor, upstream: Upstream) -> None:
    store(visitor.house, upstream.address)
    client = visitor.house.client()
    for _ in range(TESTS_A_MINUTE):
        assert client.post("/api/model-providers/openai/test").status_code == 200
    visitor.sign_in()
    press(visitor)
    expect(verdict_of(visitor)).to_contain_text("Not tested. No more than 20 connection tests in 60 seconds. Try again in")
    expect(verdict_of(visitor)).to_contain_text("Works.")


def test_a_server_that_is_away_is_said_in_the_card(visitor: Visitor, upstream: Upstream) -> None:
    store(visitor.house, upstream.address)
    visitor.sign_in()
    visitor.context.set_offline(True)
    press(visitor)
    expect(verdict_of(visitor).get_by_role("alert")).to_contain_text("Keyhouse does not answer.")


def test_without_scripts_the_button_works_as_well(visit: Visit, upstream: Upstream) -> None:
    visitor = visit(java_script_enabled=False)
    store(visitor.house, upstream.address)
    visitor.sign_in()
    press(visitor)
    expect(verdict_of(visitor)).to_contain_text("Works.")


def test_who_may_only_view_sees_the_verdict_and_no_button(visit: Visit, upstream: Upstream) -> None:
    visitor = visit()
    store(visitor.house, upstream.address)
    visitor.house.client().post("/api/model-providers/openai/test")
    admin = visitor.house.client(visitor.house.keys.admin_key)
    body = {"keyType": "service", "name": "Looks on", "permissionMode": "readonly"}
    visitor.sign_in(admin.post("/api/api-keys", json=body).json()["token"])
    visitor.go(f"{visitor.providers}?test=openai")
    expect(verdict_of(visitor)).to_contain_text("Works.")
    expect(visitor.page.get_by_role("button", name="Test OpenAI")).to_have_count(0)


@pytest.mark.parametrize(("site", "tests"), [("same-origin", True), ("none", True), ("same-site", False), ("cross-site", False)])
def test_a_link_on_another_site_starts_no_test(sqlite_house: ServedHouse, upstream: Upstream, site: str, tests: bool) -> None:
    store(sqlite_house, upstream.address)
    client = signed_in(sqlite_house, sqlite_house.keys.project_key)
    address = f"/projects/{sqlite_house.keys.project_id}/providers?test=openai"
    answer = client.get(address, headers={"sec-fetch-site": site})
    assert (answer.status_code, 'hx-trigger="submit, load"' in answer.text) == (200, tests)
