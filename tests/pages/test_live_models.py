"""Custom models picked from the provider's own list."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import expect

from tests.conftest import ServedHouse
from tests.gateway_road.conftest import storing_in
from tests.gateway_road.upstreams import Upstream, answered_by, json_answer, running_upstream
from tests.pages.browsing import Visit, Visitor, edit, serious, signed_in

LISTED = ["gpt-5-mini", "mine", "house-tuned", "house-embedding-1", *(f"other-{number}" for number in range(200))]


@pytest.fixture
def upstream() -> Iterator[Upstream]:
    with running_upstream(answered_by(lambda request: json_answer({"data": [{"id": name} for name in LISTED]}))) as running:
        yield running


def opened(visitor: Visitor, upstream: Upstream) -> None:
    storing_in(visitor.house, upstream)(customModels=["mine"])
    visitor.sign_in()
    edit(visitor.page)
    visitor.page.get_by_role("button", name="Pick from its list").click()


def test_models_are_found_in_the_list_added_once_and_saved(visitor: Visitor, upstream: Upstream) -> None:
    opened(visitor, upstream)
    page = visitor.page
    expect(page.get_by_label("Search the list")).to_be_focused()
    items = page.locator("#live-list > li:visible")
    expect(items).to_have_count(len(LISTED))
    expect(items.filter(has_text="gpt-5-mini")).to_contain_text("known")
    expect(page.get_by_role("button", name="There: mine")).to_be_visible()
    page.get_by_label("Search the list").fill("house")
    page.get_by_label("Search the list").press("Enter")
    expect(items).to_have_count(2)
    page.get_by_role("button", name="Add house-tuned").click()
    page.get_by_role("button", name="Added: house-tuned").press("Enter")
    expect(page.get_by_role("button", name="There: house-tuned")).to_be_visible()
    page.get_by_role("button", name="Add house-embedding-1 to the embedding models").click()
    expect(page.locator("#models .row")).to_have_count(2)
    row = page.locator("#models .row").nth(1)
    expect(row.get_by_label("Display name")).to_have_value("house-tuned")
    row.get_by_label("Display name").fill("Ours")
    row.get_by_label("Model id").fill("house-tuned-2")
    expect(row.get_by_label("Display name")).to_have_value("Ours")
    page.get_by_role("button", name="Save", exact=True).click()
    expect(page.get_by_text("OpenAI is saved.")).to_be_visible()
    entry = visitor.house.client().get("/api/model-providers/openai").json()
    assert [(model["modelId"], model["displayName"]) for model in entry["customModels"]] == [("mine", "mine"), ("house-tuned-2", "Ours")]
    assert [model["modelId"] for model in entry["customEmbeddingsModels"]] == ["house-embedding-1"]
    assert entry["customEmbeddingsModels"][0]["mode"] == "embedding"


def test_a_list_that_cannot_be_had_is_told_in_the_verdicts_sentence(visitor: Visitor, upstream: Upstream) -> None:
    upstream.script = answered_by(lambda request: json_answer({"error": "sk-planted is wrong"}, b"401 Unauthorized"))
    opened(visitor, upstream)
    expect(visitor.page.get_by_role("alert")).to_have_text("The provider refused the stored credentials.")
    assert "sk-planted" not in visitor.page.content()


def test_where_there_is_no_list_there_is_no_button(visitor: Visitor) -> None:
    visitor.sign_in()
    for provider, why in (("voyage", "has no list"), ("openai", "is not stored yet")):
        visitor.go(f"{visitor.providers}/{provider}")
        expect(visitor.page.get_by_role("button", name="Model", exact=True)).to_be_visible()
        assert visitor.page.get_by_role("button", name="Pick from its list").count() == 0, why


def test_no_page_of_a_neighbouring_host_has_the_provider_asked(sqlite_house: ServedHouse, upstream: Upstream) -> None:
    storing_in(sqlite_house, upstream)()
    client = signed_in(sqlite_house, sqlite_house.keys.project_key)
    address = f"/projects/{sqlite_house.keys.project_id}/providers/openai/live-models"
    assert client.get(address, headers={"sec-fetch-site": "same-site"}).status_code == 403
    assert upstream.requests == []
    assert client.get(address, headers={"sec-fetch-site": "same-origin"}).status_code == 200


def test_what_a_provider_lists_is_shown_as_text(visitor: Visitor, upstream: Upstream) -> None:
    odd = sorted(["<img src=x onerror=alert(1)>", '"><script>alert(1)</script>', "javascript:alert(1)", "__N__' data-x='"])
    upstream.script = answered_by(lambda request: json_answer({"data": [{"id": name} for name in odd]}))
    opened(visitor, upstream)
    page = visitor.page
    expect(page.locator("#live-list code")).to_have_text(odd)
    for name in odd:
        page.locator("#live-list li").filter(has_text=name).get_by_role("button").click()
    expect(page.locator("#models [data-leads]")).to_have_count(1 + len(odd))
    assert [field.input_value() for field in page.locator("#models [data-leads]").all()] == ["mine", *odd]
    assert page.locator("#live-list img, #live-list script, #models img, #models script").count() == 0
    assert visitor.complaints == []


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_axe_finds_nothing_serious_in_the_list(visit: Visit, upstream: Upstream, theme: str) -> None:
    visitor = visit(color_scheme=theme, bypass_csp=True, reduced_motion="reduce")
    opened(visitor, upstream)
    expect(visitor.page.get_by_label("Search the list")).to_be_focused()
    assert serious(visitor.page) == []
