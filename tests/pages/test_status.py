"""The status page: who serves, what went through lately, and when things were last used."""

import os
import socket
from collections.abc import Iterator

import httpx
import pytest
from playwright.sync_api import Browser, Page, expect

from tests.conftest import ServedHouse
from tests.gateway_road import openai_api
from tests.gateway_road.conftest import storing_in
from tests.gateway_road.upstreams import Upstream, answered_by, running_upstream
from tests.pages.browsing import Visit, Visitor, new_visitor, serious


@pytest.fixture
def upstream() -> Iterator[Upstream]:
    with running_upstream(answered_by(openai_api.answer)) as running:
        yield running


@pytest.fixture
def admin(visit: Visit) -> Visitor:
    visitor = visit()
    visitor.sign_in(visitor.house.keys.admin_key)
    return visitor


def call(client: httpx.Client, model: str) -> int:
    body = {"model": model, "messages": [{"role": "user", "content": "hello"}]}
    return client.post("/v1/chat/completions", json=body).status_code


def told(page: Page, title: str) -> str:
    """What a chart says in words."""
    label = page.get_by_role("img", name=title).get_attribute("aria-label")
    assert label is not None
    return label


def test_the_processes_that_serve_are_named(admin: Visitor) -> None:
    admin.go("/organization/status")
    row = admin.page.get_by_role("row", name=socket.gethostname())
    expect(row).to_contain_text(str(os.getpid()))
    expect(row).to_contain_text("just now")


def test_a_quiet_hour_is_said_in_a_sentence(admin: Visitor) -> None:
    admin.go("/organization/status")
    expect(admin.page.get_by_text("No call in the last hour.")).to_be_visible()
    expect(admin.page.locator("figure")).to_have_count(0)


def test_charts_tell_what_went_through_and_go_on_by_themselves(admin: Visitor, upstream: Upstream) -> None:
    admin.page.clock.install()
    storing_in(admin.house, upstream)()
    client, page = admin.house.client(), admin.page
    assert call(client, "openai/gpt-5-mini") == 200
    admin.go("/organization/status")
    assert told(page, "Requests a minute").startswith("Requests a minute over the last hour: 1 in all")
    assert told(page, "Tokens by provider") == "Tokens by provider over the last hour: OpenAI 13."
    assert "95% below" in told(page, "Latency added")
    assert told(page, "Errors a minute").startswith("Errors a minute over the last hour: 0 in all")
    expect(page.get_by_role("table", name="The last hour, five minutes a row").get_by_role("row")).to_have_count(13)
    assert [call(client, "openai/error-429"), call(client, "openai/gpt-5-mini")] == [429, 200]
    page.clock.run_for(11_000)
    expect(page.get_by_role("img", name="Requests a minute over the last hour: 3 in all")).to_be_visible()
    expect(page.get_by_role("img", name="Errors a minute over the last hour: 1 (33.3%) in all")).to_be_visible()
    assert admin.complaints == []


def test_the_page_stands_still_while_it_is_paused(admin: Visitor) -> None:
    admin.page.clock.install()
    admin.go("/organization/status")
    page, asked = admin.page, []
    page.on("request", lambda request: asked.append(request.url) if request.url.endswith("/now") else None)
    page.get_by_role("button", name="Pause updates").click()
    expect(page.get_by_role("button", name="Resume updates")).to_be_focused()
    page.clock.run_for(35_000)
    expect(page.locator("#said")).to_have_text("Paused")
    assert asked == []
    page.get_by_role("button", name="Resume updates").click()
    with page.expect_response("**/organization/status/now"):
        page.clock.run_for(11_000)
    expect(page.get_by_role("button", name="Pause updates")).to_be_visible()


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_axe_finds_nothing_serious_in_the_charts(browser: Browser, sqlite_house: ServedHouse, upstream: Upstream, theme: str) -> None:
    storing_in(sqlite_house, upstream)()
    client = sqlite_house.client()
    assert [call(client, "openai/gpt-5-mini"), call(client, "openai/error-500")] == [200, 500]
    visitor = new_visitor(browser, sqlite_house, color_scheme=theme, bypass_csp=True)
    visitor.sign_in(sqlite_house.keys.admin_key)
    visitor.go("/organization/status")
    expect(visitor.page.locator("figure")).to_have_count(4)
    assert serious(visitor.page) == []
    visitor.context.close()


def test_a_server_that_is_away_is_told_of_once(admin: Visitor) -> None:
    admin.page.clock.install()
    admin.go("/organization/status")
    admin.house.stop()
    for _ in range(3):
        with admin.page.expect_event("requestfailed"):
            admin.page.clock.run_for(10_000)
    expect(admin.page.get_by_text("Keyhouse does not answer.")).to_have_count(1)


def test_who_may_only_view_sees_no_part_of_it(visit: Visit) -> None:
    visitor = visit()
    admin = visitor.house.client(visitor.house.keys.admin_key)
    made = admin.post("/api/api-keys", json={"keyType": "service", "name": "Looks on", "permissionMode": "readonly"})
    visitor.sign_in(made.json()["token"])
    for path in ("/organization/status", "/organization/status/now"):
        assert visitor.page.request.get(visitor.house.address + path).status == 403


def test_cards_and_keys_say_when_they_were_last_used(admin: Visitor, upstream: Upstream) -> None:
    storing_in(admin.house, upstream)()
    page = admin.page
    admin.go(admin.providers)
    expect(page.locator("#card-openai")).to_contain_text("Not used yet")
    assert call(admin.house.client(), "openai/gpt-5-mini") == 200
    admin.go(admin.providers)
    expect(page.locator("#card-openai")).to_contain_text("Used just now")
    admin.go(f"/projects/{admin.house.keys.project_id}/key")
    expect(page.get_by_role("definition").nth(1)).to_have_text("just now")
    unused = admin.house.client(admin.house.keys.admin_key).post("/api/api-keys", json={"keyType": "service", "name": "Unused"})
    assert unused.status_code == 201
    admin.go("/organization/keys")
    expect(page.get_by_role("row", name="Unused").get_by_role("cell").nth(2)).to_have_text("never")
    expect(page.get_by_role("row", name="Admin key").get_by_role("cell").nth(2)).to_have_text("just now")
