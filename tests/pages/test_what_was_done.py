"""What people hear of what they did, where they stand then, and what they hear where nobody can know."""

import pytest
from playwright.sync_api import Page, Route, expect

from tests.conftest import ServedHouse
from tests.pages.browsing import Visit, Visitor, edit, signed_in

OLLAMA = {"enabled": True, "customKeys": {"OLLAMA_BASE_URL": "http://127.0.0.1:9/v1"}, "customModels": ["llama"]}
OTHER_ADDRESS = "http://127.0.0.1:10/v1"


@pytest.fixture
def admin(visit: Visit) -> Visitor:
    """Somebody who is signed in as the organization's admin, in a house where one provider is stored."""
    visitor = visit()
    visitor.house.client().put("/api/model-providers/ollama", json=OLLAMA).raise_for_status()
    visitor.sign_in(visitor.house.keys.admin_key)
    return visitor


def expect_told(page: Page, sentence: str) -> None:
    notice = page.locator("[data-saved]")
    expect(notice).to_contain_text(sentence)
    expect(notice).to_be_focused()


def confirm(page: Page, button: str) -> None:
    page.get_by_role("dialog").get_by_role("button", name=button, exact=True).click()


def test_a_deleted_provider_is_told_of_and_its_history_is_one_link_away(admin: Visitor) -> None:
    page = admin.page
    admin.go(admin.providers)
    edit(page, "Ollama")
    page.get_by_role("button", name="Delete…").click()
    page.get_by_role("button", name="Delete Ollama").click()
    expect_told(page, "Ollama is deleted.")
    tops = page.locator("[data-saved] > *").evaluate_all(
        "parts => parts.map(part => { const {top, height} = part.getBoundingClientRect(); return top + height / 2; })"
    )
    assert abs(tops[0] - tops[1]) < 6, "the mark stands beside its sentence"
    page.locator("[data-saved]").get_by_role("link", name="History").click()
    expect(page.get_by_text("Deleted by Admin key of the first start")).to_be_visible()
    admin.go(f"{admin.providers}/ollama")
    expect(page.get_by_text("Deleted here by Admin key of the first start")).to_be_visible()
    page.get_by_role("link", name="History").click()
    expect(page.get_by_role("heading", name="History of Ollama")).to_be_visible()
    admin.go(f"{admin.providers}/openai")
    expect(page.get_by_text("Deleted here by")).to_have_count(0)


def test_a_provider_that_somebody_deleted_is_added_again_with_all_that_the_form_shows(admin: Visitor) -> None:
    page = admin.page
    admin.go(admin.providers)
    edit(page, "Ollama")
    admin.house.client().delete("/api/model-providers/ollama").raise_for_status()
    page.get_by_role("button", name="Embedding model").click()
    page.locator("#embeddings").get_by_label("Model id").fill("mine")
    page.get_by_role("button", name="Save", exact=True).click()
    notice = page.get_by_role("alert")
    expect(notice).to_contain_text("Somebody deleted this while you edited.")
    expect(notice).not_to_contain_text("Enabled")
    notice.get_by_role("button", name="Add it again").click()
    expect_told(page, "Ollama is saved.")
    entry = admin.house.client().get("/api/model-providers/ollama").json()
    assert entry["customKeys"] == OLLAMA["customKeys"]
    assert [[model["modelId"] for model in entry[name]] for name in ("customModels", "customEmbeddingsModels")] == [["llama"], ["mine"]]


def test_stored_secrets_that_went_with_a_deletion_are_typed_again(admin: Visitor) -> None:
    house, page = admin.house, admin.page
    body = {"enabled": True, "customKeys": {"OPENAI_API_KEY": "sk-one"}, "extraHeaders": [{"key": "X-Team", "value": "one"}]}
    house.client().put("/api/model-providers/openai", json=body).raise_for_status()
    admin.go(admin.providers)
    edit(page)
    house.client().delete("/api/model-providers/openai").raise_for_status()
    page.get_by_label("Base URL").fill(OTHER_ADDRESS)
    page.get_by_role("button", name="Save", exact=True).click()
    expect(page.get_by_role("alert")).to_contain_text("Its stored secrets are destroyed.")
    page.get_by_label("API key", exact=True).fill("sk-two")
    page.get_by_role("button", name="Add it again").click()
    expect_told(page, "OpenAI is saved.")
    entry = house.client().get("/api/model-providers/openai").json()
    assert (sorted(entry["customKeys"]), entry["extraHeaders"]) == (["OPENAI_API_KEY", "OPENAI_BASE_URL"], [])


def test_what_was_done_to_keys_projects_and_teams_is_told_and_a_search_stands(admin: Visitor) -> None:
    page = admin.page
    admin.house.client(admin.house.keys.admin_key).post("/api/api-keys", json={"keyType": "service", "name": "Nightly"}).raise_for_status()
    admin.go("/organization/keys?q=night")
    page.get_by_role("button", name="Revoke… Nightly").click()
    confirm(page, "Revoke")
    expect_told(page, "The key is revoked.")
    expect(page.get_by_role("searchbox")).to_have_value("night")
    page.reload()
    expect(page.get_by_role("searchbox")).to_have_value("night")
    expect(page.locator("[data-saved]")).to_have_count(0)

    admin.go("/organization/projects")
    page.get_by_role("button", name="New team").click()
    page.get_by_role("dialog").get_by_label("Name").fill("Finders")
    confirm(page, "Make the team")
    expect_told(page, "The team is made.")
    admin.go("/organization/projects?q=my")
    page.get_by_role("button", name="Rename… My project").click()
    page.get_by_role("dialog").get_by_label("Name").fill("My other project")
    confirm(page, "Rename")
    expect_told(page, "The project is renamed.")
    expect(page.get_by_role("searchbox")).to_have_value("my")
    page.get_by_role("button", name="Archive… Finders").click()
    confirm(page, "Archive")
    expect_told(page, "The team is archived.")


def test_a_page_says_nothing_that_a_link_wrote(admin: Visitor) -> None:
    admin.go("/organization/keys?done=Your+key+was+stolen")
    expect(admin.page.get_by_role("heading", name="API keys")).to_be_visible()
    expect(admin.page.locator("[data-saved]")).to_have_count(0)
    admin.go(f"{admin.providers}?deleted=ollama")
    expect(admin.page.get_by_role("heading", name="Providers")).to_be_visible()
    expect(admin.page.locator("[data-saved]")).to_have_count(0)


def test_a_page_that_another_site_led_to_says_nothing_was_done(sqlite_house: ServedHouse) -> None:
    client = signed_in(sqlite_house, sqlite_house.keys.admin_key)
    for site, told in {"same-origin": True, "cross-site": False}.items():
        text = client.get("/organization/keys?done=revoked", headers={"sec-fetch-site": site}).text
        assert ("The key is revoked." in text) is told


def test_a_new_teams_name_is_asked_for_where_one_is_made(admin: Visitor) -> None:
    page = admin.page
    admin.go("/organization/projects")
    page.get_by_role("button", name="New project").click()
    dialog = page.get_by_role("dialog")
    expect(dialog.get_by_label("Name of the new team")).to_be_hidden()
    dialog.get_by_label("Team", exact=True).select_option(label="A new team")
    dialog.get_by_label("Name of the new team").fill("Finders")
    dialog.get_by_label("Name", exact=True).fill("Search")
    dialog.get_by_role("button", name="Make the project").click()
    expect(page.get_by_role("row", name="Search", exact=False).first).to_contain_text("Finders")


def test_a_save_whose_answer_is_lost_is_not_said_to_have_changed_nothing(admin: Visitor) -> None:
    page = admin.page

    def lose_the_answer(route: Route) -> None:
        if route.request.method == "POST":
            route.fetch()
            route.abort()
        else:
            route.continue_()

    admin.go(admin.providers)
    edit(page, "Ollama")
    page.route("**/providers/ollama", lose_the_answer)
    page.get_by_label("Base URL").fill(OTHER_ADDRESS)
    page.get_by_role("button", name="Save", exact=True).click()
    notice = page.get_by_role("alert")
    expect(notice).to_contain_text("Keyhouse does not answer.")
    expect(notice).to_contain_text("not known whether this was done")
    assert admin.house.client().get("/api/model-providers/ollama").json()["customKeys"] == {"OLLAMA_BASE_URL": OTHER_ADDRESS}


def test_a_page_shows_and_says_that_a_slow_server_is_waited_for(admin: Visitor) -> None:
    page, held = admin.page, list[Route]()

    def hold(route: Route) -> None:
        held.append(route)

    admin.go(admin.providers)
    page.route("**/providers/ollama", hold)
    link = page.get_by_role("link", name="Edit Ollama")
    link.click()
    expect(link).to_have_css("cursor", "progress")
    held.pop().continue_()
    page.get_by_label("Base URL").fill(OTHER_ADDRESS)
    expect(page.get_by_role("button", name="Save", exact=True)).to_have_css("cursor", "pointer")
    page.get_by_role("button", name="Save", exact=True).click()
    expect(page.get_by_role("button", name="Save", exact=True)).to_have_css("cursor", "progress")
    expect(page.locator("#drawer > [data-said]")).to_have_text("Saving")
    held.pop().continue_()
    expect_told(page, "Ollama is saved.")


def test_archiving_says_that_it_is_for_good(admin: Visitor) -> None:
    admin.go("/organization/projects")
    admin.page.get_by_role("button", name="Archive… My project").click()
    expect(admin.page.get_by_role("dialog")).to_contain_text("This cannot be taken back.")
    confirm(admin.page, "Cancel")
    admin.page.get_by_role("button", name="Archive… My team").click()
    expect(admin.page.get_by_role("dialog")).to_contain_text("This cannot be taken back.")
