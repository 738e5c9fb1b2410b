"""What people meet who do not see the page, use no mouse, or make it large: names, descriptions, announcements, focus and room."""

import pytest
from playwright.sync_api import Page, expect

from tests.conftest import ServedHouse
from tests.gateway_road.upstreams import answered_by, json_answer, running_upstream
from tests.pages.browsing import Visit, Visitor

LONG = "W" * 190


def store(house: ServedHouse, *providers: str) -> None:
    for provider in providers:
        body = {"enabled": True, "customKeys": {f"{provider.upper()}_API_KEY": "k"}}
        assert house.client().put(f"/api/model-providers/{provider}", json=body).status_code == 200


def announced(page: Page) -> str:
    """What assistive technology can read of the places that announce things: what an open dialog covers is not in this tree."""
    client = page.context.new_cdp_session(page)
    nodes = {node["nodeId"]: node for node in client.send("Accessibility.getFullAXTree")["nodes"] if not node["ignored"]}

    def text(node: dict[str, object]) -> str:
        name = node.get("name", {}).get("value", "")  # type: ignore[attr-defined]
        return name + "".join(text(nodes[child]) for child in node.get("childIds", []) if child in nodes)  # type: ignore[attr-defined]

    return " ".join(text(node) for node in nodes.values() if node["role"]["value"] == "status")


def test_what_happens_in_the_drawer_is_announced_in_it(visitor: Visitor) -> None:
    with running_upstream(answered_by(lambda request: json_answer({"data": [{"id": "their-model"}]}))) as upstream:
        body = {"enabled": True, "customKeys": {"VLLM_BASE_URL": f"{upstream.address}/v1"}}
        assert visitor.house.client().put("/api/model-providers/vllm", json=body).status_code == 200
        visitor.sign_in()
        page = visitor.page
        page.get_by_role("link", name="Edit vLLM").click()
        page.get_by_role("button", name="Pick from its list").click()
        expect(page.locator("#drawer > [data-said]")).to_have_text("1 model.")
        assert "1 model." in announced(page)
        page.get_by_role("button", name="Add their-model").click()
        expect(page.locator("#drawer > [data-said]")).to_have_text("their-model is added")
        assert "their-model is added" in announced(page)


def test_a_search_announces_how_much_it_found_and_a_switch_no_old_verdict(visitor: Visitor) -> None:
    store(visitor.house, "openai", "groq", "xai", "mistral")
    visitor.house.client().post("/api/model-providers/openai/test")
    visitor.sign_in()
    page = visitor.page
    page.get_by_label("Search providers and models").fill("openai")
    expect(page.locator("#said")).to_have_text("1 of 4 providers")
    page.get_by_role("switch", name="OpenAI enabled").click()
    expect(page.get_by_role("switch", name="OpenAI enabled")).to_have_attribute("aria-checked", "false")
    expect(page.locator("#said")).to_have_text("1 of 4 providers")


def test_a_field_says_whether_it_is_needed(visitor: Visitor) -> None:
    store(visitor.house, "groq")
    visitor.sign_in()
    page = visitor.page
    for provider, label, mark in (
        ("xai", "API key", "required"),
        ("groq", "API key", "stored"),
        ("anthropic", "API key", "one of these"),
        ("gemini", "Project", "both or neither"),
        ("vertex_ai", "Service account key (JSON)", "required"),
    ):
        visitor.go(f"{visitor.providers}/{provider}")
        expect(page.get_by_label(label, exact=True)).to_have_accessible_description(mark)
    visitor.go(f"{visitor.providers}/xai")
    page.get_by_role("checkbox", name="Enabled").uncheck()
    page.get_by_role("button", name="Save", exact=True).click()
    expect(page.get_by_label("API key", exact=True)).to_have_accessible_description("API key is required. required")


def test_rows_and_what_removes_them_have_names(visitor: Visitor) -> None:
    visitor.sign_in()
    visitor.go(f"{visitor.providers}/openai")
    page = visitor.page
    for number, name in enumerate(("one", "two")):
        page.get_by_role("button", name="Model", exact=True).click()
        page.get_by_role("group", name="Model", exact=True).nth(number).get_by_label("Model id").fill(name)
    page.get_by_role("button", name="Remove one").click()
    expect(page.get_by_role("button", name="Remove two")).to_be_visible()
    expect(page.get_by_label("Model id")).to_have_value("two")


def test_every_page_has_one_title(visitor: Visitor) -> None:
    store(visitor.house, "groq")
    visitor.sign_in(visitor.house.keys.admin_key)
    project = f"/projects/{visitor.house.keys.project_id}"
    titles = {}
    for path in ("/providers", "/providers/add", "/providers/groq", "/providers/groq/history", "/try", "/key", "/nowhere"):
        visitor.go(project + path)
        titles[path] = visitor.page.locator("main h1").all_inner_texts()
    assert {path: found for path, found in titles.items() if len(found) != 1} == {}
    assert (titles["/providers/add"], titles["/providers/groq"]) == (["Add a provider"], ["Groq"])


def test_a_refused_dialog_stands_open_with_what_was_typed(visitor: Visitor) -> None:
    visitor.sign_in(visitor.house.keys.admin_key)
    visitor.go("/organization/projects")
    page, dialog = visitor.page, visitor.page.get_by_role("dialog")
    page.get_by_role("button", name="New project").click()
    dialog.get_by_label("Name", exact=True).fill("My project")
    dialog.get_by_role("button", name="Make the project").click()
    expect(dialog.get_by_role("alert")).to_contain_text("There is a project of this name in the team")
    name = dialog.get_by_label("Name", exact=True)
    expect(name).to_have_value("My project")
    expect(name).to_be_focused()
    expect(name).to_have_accessible_description("Not done. There is a project of this name in the team. Choose another name.")
    dialog.get_by_label("Team", exact=True).select_option(label="A new team")
    dialog.get_by_role("button", name="Make the project").click()
    expect(dialog.get_by_role("alert")).to_contain_text("Give the new team a name")
    expect(dialog.get_by_label("Name of the new team")).to_be_focused()
    expect(dialog.get_by_label("Team", exact=True)).to_have_value("")


def test_a_button_that_cannot_be_pressed_looks_so_when_it_is_pointed_at(visit: Visit) -> None:
    visitor = visit(reduced_motion="reduce")
    store(visitor.house, "groq")
    visitor.sign_in()
    visitor.go(f"{visitor.providers}/groq")
    button, colours = (
        visitor.page.get_by_role("button", name="Save and test"),
        "e => [getComputedStyle(e).color, getComputedStyle(e).backgroundColor]",
    )
    before = button.evaluate(colours)
    button.hover(force=True)
    assert button.evaluate("e => e.matches(':hover:disabled')")
    assert button.evaluate(colours) == before


def test_a_switch_shows_its_state_in_forced_colours(visit: Visit) -> None:
    visitor = visit(forced_colors="active")
    store(visitor.house, "groq")
    visitor.sign_in()
    switch = visitor.page.get_by_role("switch")
    colour = "element => getComputedStyle(element).backgroundColor"
    assert switch.evaluate(colour) != switch.locator("span").evaluate(colour)
    switch.click()
    expect(switch).to_have_attribute("aria-checked", "false")
    assert switch.evaluate(colour) != switch.locator("span").evaluate(colour)


@pytest.mark.parametrize(("width", "height"), [(320, 256), (320, 640)])
def test_at_four_times_its_size_a_form_can_be_filled(visit: Visit, width: int, height: int) -> None:
    visitor = visit(viewport={"width": width, "height": height}, reduced_motion="reduce")
    store(visitor.house, "openai")
    visitor.sign_in()
    page = visitor.page
    page.get_by_role("link", name="Edit OpenAI").click()
    field = page.get_by_label("API key", exact=True)
    field.focus()
    box = field.bounding_box()
    assert box is not None
    above = page.evaluate("([x, y]) => document.elementFromPoint(x, y)?.id", [box["x"] + 5, box["y"] + box["height"] / 2])
    assert above == field.get_attribute("id")
    visible = page.evaluate("innerHeight - (document.querySelector('.sheet-foot').getBoundingClientRect().top < innerHeight ? 110 : 0)")
    assert visible >= 250
    assert page.evaluate("document.documentElement.scrollWidth") == width


def test_a_long_name_leaves_the_buttons_in_sight(visitor: Visitor) -> None:
    admin = visitor.house.client(visitor.house.keys.admin_key)
    body = {"name": LONG, "language": "other", "framework": "other", "newTeamName": LONG}
    assert admin.post("/api/projects", json=body).status_code == 201
    visitor.sign_in(visitor.house.keys.admin_key)
    for path, button in (("/organization/projects", "Archive… WWW"), ("/organization/keys", "Revoke… Service key of WWW")):
        visitor.go(path)
        expect(visitor.page.get_by_role("button", name=button).first).to_be_in_viewport()


def test_a_small_screen_names_the_project(visit: Visit) -> None:
    visitor = visit(viewport={"width": 360, "height": 740})
    visitor.sign_in()
    expect(visitor.page.locator("main").get_by_text("My project")).to_be_visible()


def test_a_printed_page_is_light_and_bears_exact_times(visit: Visit) -> None:
    visitor = visit(color_scheme="dark")
    visitor.sign_in(visitor.house.keys.admin_key)
    visitor.go("/organization/audit")
    page = visitor.page
    page.emulate_media(media="print")
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(246, 246, 243)"
    expect(page.get_by_role("navigation", name="Main")).to_be_hidden()
    time = page.locator("time").first
    assert time.evaluate("element => getComputedStyle(element, '::after').content") == f'"{time.get_attribute("title")}"'


def test_a_printed_page_is_whole_and_tells_what_is_on(visit: Visit) -> None:
    visitor = visit(viewport={"width": 700, "height": 990})
    store(visitor.house, "groq")
    visitor.sign_in(visitor.house.keys.admin_key)
    page = visitor.page
    page.emulate_media(media="print")
    visitor.go("/organization/status")
    table = page.get_by_role("region", name="Processes on this database")
    assert table.evaluate("element => element.scrollWidth <= element.clientWidth")
    visitor.go(visitor.providers)
    assert page.get_by_role("switch").evaluate("element => getComputedStyle(element).printColorAdjust") == "exact"


def test_a_small_screen_shows_which_page_it_is(visit: Visit) -> None:
    visitor = visit(viewport={"width": 320, "height": 640})
    visitor.sign_in(visitor.house.keys.admin_key)
    visitor.go("/organization/status")
    expect(visitor.page.get_by_role("navigation", name="Main").get_by_role("link", name="Status")).to_be_in_viewport(ratio=1)


def test_an_address_without_which_nothing_can_be_called_is_said_to_be_needed(visitor: Visitor) -> None:
    visitor.sign_in()
    page = visitor.page
    visitor.go(f"{visitor.providers}/custom")
    expect(page.get_by_label("Base URL")).to_have_accessible_description("needed for calls")
    visitor.go(f"{visitor.providers}/azure")
    expect(page.get_by_label("Endpoint")).to_have_accessible_description("needed for calls")
    page.get_by_label("Through an API gateway").check()
    expect(page.get_by_label("API gateway base URL")).to_have_accessible_description("needed for calls")
    expect(page.get_by_label("API gateway version")).to_have_accessible_description("optional")
    visitor.go(f"{visitor.providers}/elevenlabs")
    expect(page.get_by_label("Base URL")).to_have_accessible_description("optional")
