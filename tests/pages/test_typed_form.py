"""A form that is not saved, where no script keeps what was typed: it comes back with all of it but the secrets."""

import pytest
from playwright.sync_api import Page, expect

from tests.conftest import ServedHouse
from tests.pages.browsing import Visit, Visitor

SECRET = "sk-typed-but-not-sent-back"
ADDRESS = "http://127.0.0.1:9/v1"


@pytest.fixture
def scriptless(visit: Visit) -> Visitor:
    visitor = visit(java_script_enabled=False)
    stored = {"customKeys": {"VLLM_BASE_URL": ADDRESS}, "customModels": ["llama"], "extraHeaders": [{"key": "X-Team", "value": "blue"}]}
    assert visitor.house.client().put("/api/model-providers/vllm", json={"enabled": True, **stored}).status_code == 200
    visitor.sign_in()
    visitor.go(f"{visitor.providers}/vllm")
    return visitor


def stored(house: ServedHouse) -> dict[str, object]:
    entry: dict[str, object] = house.client().get("/api/model-providers/vllm").json()
    return entry


def save(page: Page) -> None:
    page.get_by_role("button", name="Save", exact=True).click()


def test_a_refused_form_comes_back_with_what_was_typed(scriptless: Visitor) -> None:
    page = scriptless.page
    page.get_by_label("Base URL").fill("nowhere")
    page.get_by_label("API key", exact=True).fill(SECRET)
    page.get_by_label("Enabled: applications may call its models").uncheck()
    page.get_by_label("Display name").fill("Our llama")
    page.get_by_text("Mode, limit, parameters, inputs").click()
    page.get_by_label("Max tokens").fill("many")
    page.get_by_label("temperature").check()
    page.get_by_role("group", name="Header").get_by_label("Name").fill("X-Group")
    page.get_by_label("Default model").fill("llama")
    expect(page.get_by_role("button", name="Save and test")).to_be_hidden()
    save(page)
    told = page.get_by_role("alert")
    expect(told).to_contain_text("Not saved. Put right what is named here, then save again.")
    expect(told).to_contain_text("Custom models: Must be a number.")
    expect(page.get_by_text("Secrets that you typed are not sent back. Type them again.")).to_be_visible()
    expect(page).to_have_title("Not saved · Keyhouse")
    assert SECRET not in page.content()
    expect(page.get_by_label("Base URL")).to_have_value("nowhere")
    expect(page.get_by_label("API key", exact=True)).to_have_value("")
    expect(page.get_by_label("Enabled: applications may call its models")).not_to_be_checked()
    page.get_by_text("Mode, limit, parameters, inputs").click()
    expect(page.get_by_label("Max tokens")).to_have_value("")  # what is no number may be a secret that was meant for another input
    expect(page.get_by_label("temperature")).to_be_checked()
    page.get_by_label("Max tokens").fill("4096")
    save(page)
    expect(page.get_by_role("alert")).to_contain_text("Base URL, ending in /v1 must start with http:// or https://.")
    expect(page.get_by_text("Secrets that you typed")).to_have_count(0)
    page.get_by_label("Base URL").fill(ADDRESS)
    page.get_by_label("API key", exact=True).fill(SECRET)
    save(page)
    expect(page.get_by_text("vLLM is saved.")).to_be_visible()
    entry = stored(scriptless.house)
    model = {"modelId": "llama", "displayName": "Our llama", "mode": "chat", "maxTokens": 4096, "supportedParameters": ["temperature"]}
    assert (entry["enabled"], entry["customModels"]) == (False, [model])
    assert [header["key"] for header in entry["extraHeaders"]] == ["X-Group"]  # type: ignore[attr-defined]


def test_a_box_to_clear_a_secret_stays_ticked(scriptless: Visitor) -> None:
    keys = {"VLLM_BASE_URL": ADDRESS, "VLLM_API_KEY": "k"}
    scriptless.house.client().put("/api/model-providers/vllm", json={"enabled": True, "customKeys": keys})
    scriptless.page.reload()
    scriptless.page.get_by_label("Clear the stored API key").check()
    scriptless.page.get_by_label("Base URL").fill("nowhere")
    save(scriptless.page)
    expect(scriptless.page.get_by_label("Clear the stored API key")).to_be_checked()


def test_who_comes_second_is_shown_both_and_can_go_on(scriptless: Visitor) -> None:
    page = scriptless.page
    page.get_by_label("Default model").fill("llama")
    scriptless.house.client().put("/api/model-providers/vllm", json={"enabled": True, "customModels": ["llama", "theirs"]})
    save(page)
    expect(page.get_by_role("alert")).to_contain_text("Somebody changed this while you edited.")
    expect(page.get_by_label("Default model")).to_have_value("llama")
    page.get_by_role("button", name="Save my changes").click()
    expect(page.get_by_text("vLLM is saved.")).to_be_visible()
    assert [model["modelId"] for model in stored(scriptless.house)["customModels"]] == ["llama", "theirs"]  # type: ignore[attr-defined]


def test_what_came_back_before_the_scripts_did_can_be_saved(visitor: Visitor) -> None:
    visitor.sign_in()
    page = visitor.page
    page.route("**/*.js", lambda route: route.abort())
    visitor.go(f"{visitor.providers}/vllm")
    page.get_by_label("Base URL").fill("nowhere")
    page.unroute("**/*.js")
    save(page)
    expect(page.get_by_role("alert")).to_contain_text("Not saved.")
    expect(page.get_by_role("button", name="Save", exact=True)).to_be_enabled()
    page.get_by_label("Base URL").fill(ADDRESS)
    save(page)
    expect(page.get_by_text("vLLM is saved.")).to_be_visible()
