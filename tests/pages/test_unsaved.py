"""What people typed is kept: over the end of a session, another sign-in, a step away from the page, and a button pressed twice."""

import pytest
from playwright.sync_api import Dialog, Page, expect

from tests.conftest import ServedHouse
from tests.gateway_road import openai_api
from tests.gateway_road.upstreams import answered_by, running_upstream
from tests.pages.browsing import Visitor

TYPED = "http://127.0.0.1:9/typed/v1"


def type_an_address(visitor: Visitor) -> Page:
    visitor.sign_in()
    visitor.go(f"{visitor.providers}/ollama")
    visitor.page.get_by_label("Base URL").fill(TYPED)
    return visitor.page


def stored_address(house: ServedHouse) -> object:
    return (house.client().get("/api/model-providers/ollama").json()["customKeys"] or {}).get("OLLAMA_BASE_URL")


def sign_in_in_another_tab(visitor: Visitor, page: Page) -> None:
    page.get_by_label("Key").fill(visitor.house.keys.project_key)
    page.get_by_role("button", name="Sign in").click()
    page.wait_for_url(lambda url: "/sign-in" not in url)


def test_a_form_outlives_its_session(visitor: Visitor) -> None:
    page = type_an_address(visitor)
    visitor.context.clear_cookies()
    save = page.get_by_role("button", name="Save", exact=True)
    save.click()
    expect(page.get_by_role("alert")).to_contain_text("Your session is over. What you typed still stands here.")
    expect(page.get_by_role("alert")).to_be_focused()
    save.click()
    expect(page.get_by_role("alert")).to_contain_text("Your session is over.")
    with page.expect_popup() as opened:
        page.get_by_role("link", name="Sign in in another tab").click()
    sign_in_in_another_tab(visitor, opened.value)
    save.click()
    expect(page.get_by_text("Ollama is saved.")).to_be_visible()
    assert stored_address(visitor.house) == TYPED


def test_a_form_outlives_that_somebody_signs_in_anew_beside_it(visitor: Visitor) -> None:
    page = type_an_address(visitor)
    other = visitor.context.new_page()
    other.goto(f"{visitor.house.address}/sign-in")
    sign_in_in_another_tab(visitor, other)
    save = page.get_by_role("button", name="Save", exact=True)
    save.click()
    expect(page.get_by_role("alert")).to_contain_text("Send it once more")
    save.click()
    expect(page.get_by_text("Ollama is saved.")).to_be_visible()


def test_a_switch_outlives_that_somebody_signs_in_anew_beside_it(visitor: Visitor) -> None:
    assert visitor.house.client().put("/api/model-providers/openai", json={"enabled": True}).is_success
    visitor.sign_in()
    page, other = visitor.page, visitor.context.new_page()
    other.goto(f"{visitor.house.address}/sign-in")
    sign_in_in_another_tab(visitor, other)
    switch = page.get_by_role("switch", name="OpenAI enabled")
    switch.click()
    expect(page.get_by_role("alert")).to_contain_text("Send it once more")
    switch.click()
    expect(switch).to_have_attribute("aria-checked", "false")


def test_a_message_to_a_model_outlives_its_session(visitor: Visitor) -> None:
    with running_upstream(answered_by(openai_api.answer)) as upstream:
        body = {"enabled": True, "customKeys": {"OPENAI_BASE_URL": f"{upstream.address}/v1", "OPENAI_API_KEY": openai_api.KEY}}
        assert visitor.house.client().put("/api/model-providers/openai", json=body).status_code == 200
        ask_over_the_end_of_a_session(visitor)
        assert b"A long question" in upstream.requests[0].body


def ask_over_the_end_of_a_session(visitor: Visitor) -> None:
    visitor.sign_in()
    visitor.go(f"/projects/{visitor.house.keys.project_id}/try")
    page = visitor.page
    page.get_by_label("Message").fill("A long question")
    visitor.context.clear_cookies()
    page.get_by_role("button", name="Send").click()
    expect(page.locator("[data-problem]")).to_contain_text("Your session is over")
    with page.expect_popup() as opened:
        page.get_by_role("link", name="Sign in in another tab").click()
    sign_in_in_another_tab(visitor, opened.value)
    expect(page.get_by_label("Message")).to_have_value("A long question")
    page.get_by_role("button", name="Send").click()
    expect(page.locator("[data-state]")).to_have_text("Complete")


def test_leaving_a_page_with_unsaved_changes_is_asked_about(visitor: Visitor) -> None:
    page = type_an_address(visitor)
    asked: list[str] = []

    def go_on(dialog: Dialog) -> None:
        asked.append(dialog.type)
        dialog.accept()

    page.on("dialog", go_on)
    page.get_by_role("link", name="All providers").click()
    expect(page.get_by_role("heading", name="Providers")).to_be_visible()
    assert asked == ["beforeunload"]
    visitor.go(f"{visitor.providers}/ollama")
    page.get_by_label("Base URL").fill(TYPED)
    page.get_by_role("button", name="Save", exact=True).click()
    expect(page.get_by_text("Ollama is saved.")).to_be_visible()
    assert asked == ["beforeunload"]


def test_a_button_pressed_twice_sends_its_form_once(visitor: Visitor) -> None:
    visitor.sign_in(visitor.house.keys.admin_key)
    visitor.go("/organization/projects")
    visitor.page.get_by_role("button", name="New project").click()
    visitor.page.get_by_role("dialog").get_by_label("Name", exact=True).fill("Twice")
    sent = """() => {
      let sent = 0;
      addEventListener("submit", (event) => { if (!event.defaultPrevented) sent += 1; event.preventDefault(); });
      const button = document.querySelector("#new-project [type=submit]");
      button.click();
      button.click();
      return sent;
    }"""
    assert visitor.page.evaluate(sent) == 1


def test_esc_again_and_again_loses_nothing_that_somebody_stays_with(visitor: Visitor) -> None:
    visitor.house.client().put(
        "/api/model-providers/ollama", json={"enabled": True, "customKeys": {"OLLAMA_BASE_URL": "http://127.0.0.1:9/v1"}}
    )
    visitor.sign_in()
    page, asked = visitor.page, []

    def stay(dialog: Dialog) -> None:
        asked.append(dialog.message)
        dialog.dismiss()

    page.on("dialog", stay)
    page.get_by_role("link", name="Edit Ollama").click()
    address = page.get_by_role("dialog").get_by_label("Base URL")
    address.fill(TYPED)
    # Browsers close a dialog at the second or third time whatever the page says.
    for _ in range(4):
        page.keyboard.press("Escape")
        expect(address).to_have_value(TYPED)
        expect(address).to_be_focused()
    assert asked == ["Leave without saving what you changed?"] * 4


def test_a_page_that_a_browser_kept_is_loaded_anew(visitor: Visitor) -> None:
    page = type_an_address(visitor)
    page.on("dialog", lambda dialog: pytest.fail(f"asked again: {dialog.type}"))
    with page.expect_navigation():
        page.evaluate("dispatchEvent(new PageTransitionEvent('pageshow', {persisted: true}))")
    expect(page.get_by_label("Base URL")).to_have_value("")
    expect(page.get_by_role("button", name="Save", exact=True)).to_be_disabled()


def test_a_page_that_shows_a_new_key_makes_no_other_when_it_is_loaded_again(visitor: Visitor) -> None:
    visitor.sign_in(visitor.house.keys.admin_key)
    page = visitor.page
    visitor.go(f"/projects/{visitor.house.keys.project_id}/key")
    page.get_by_role("button", name="Regenerate…").click()
    page.get_by_role("dialog").get_by_role("button", name="Regenerate").click()
    made = page.get_by_label("The new project key").input_value()
    page.reload()
    expect(page.get_by_role("heading", name="Project key")).to_be_visible()
    expect(page.get_by_label("The new project key")).to_have_count(0)
    assert visitor.house.client(made).get("/api/model-providers").status_code == 200
