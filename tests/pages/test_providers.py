"""Providers in a browser: add, edit, clear, conflict, history and the way back; and what must never be seen on the way."""

from playwright.sync_api import Page, expect

from tests.pages.browsing import Visit, Visitor, edit

SECRET = "sk-planted-3f9a1c77e2"
OTHER = "sk-planted-other-81bd02"
HEADER = "planted-header-value-5c1e"


def add_openai(visitor: Visitor, key: str = SECRET) -> None:
    page = visitor.page
    page.get_by_role("link", name="Add the first provider").click()
    page.get_by_role("dialog").get_by_role("link", name="OpenAI", exact=True).click()
    page.get_by_label("API key", exact=True).fill(key)
    page.get_by_role("button", name="Save", exact=True).click()
    expect(page.get_by_text("OpenAI is saved.")).to_be_visible()


def expect_saved(page: Page, name: str = "OpenAI") -> None:
    """The drawer has gone, and with it the page that spoke of an earlier save."""
    expect(page.get_by_role("dialog")).to_have_count(0)
    expect(page.get_by_text(f"{name} is saved.")).to_be_visible()


def stored(visitor: Visitor, provider: str = "openai") -> dict[str, object]:
    entry: dict[str, object] = visitor.house.client().get(f"/api/model-providers/{provider}").json()
    return entry


def test_the_first_provider_from_sign_in_to_stored(visitor: Visitor) -> None:
    visitor.sign_in()
    add_openai(visitor)
    card = visitor.page.locator("#card-openai")
    expect(card).to_contain_text("API key")
    expect(card).to_contain_text("stored")
    expect(card).to_contain_text("just now by project key of My project")
    assert stored(visitor)["enabled"] is True
    assert stored(visitor)["customKeys"] == {"OPENAI_API_KEY": "HAS_KEY" + "•" * 24}


def test_a_missing_key_is_said_beside_its_field_and_nothing_typed_is_lost(visitor: Visitor) -> None:
    visitor.sign_in()
    page = visitor.page
    visitor.go(f"{visitor.providers}/add")
    page.get_by_role("link", name="Gemini").click()
    page.get_by_label("Project", exact=True).fill("my-project")
    page.get_by_role("button", name="Save", exact=True).click()
    field = page.get_by_label("API key", exact=True)
    expect(field).to_have_attribute("aria-invalid", "true")
    expect(field).to_be_focused()
    expect(page.locator("[id='error-key.GEMINI_API_KEY']")).to_have_text("API key is required.")
    expect(page.locator("[id='error-key.GEMINI_LOCATION']")).to_contain_text("required together with Project")
    expect(page.get_by_label("Project", exact=True)).to_have_value("my-project")


def test_blanks_around_what_was_pasted_are_left_out(visitor: Visitor) -> None:
    visitor.sign_in()
    visitor.go(f"{visitor.providers}/ollama")
    visitor.page.get_by_label("Base URL").fill(" http://127.0.0.1:9/v1 ")
    visitor.page.get_by_role("button", name="Save", exact=True).click()
    expect_saved(visitor.page, "Ollama")
    assert stored(visitor, "ollama")["customKeys"] == {"OLLAMA_BASE_URL": "http://127.0.0.1:9/v1"}


def test_fields_that_go_together_say_so_as_they_are_typed(visitor: Visitor) -> None:
    visitor.sign_in()
    page = visitor.page
    visitor.go(f"{visitor.providers}/add")
    page.get_by_role("link", name="Gemini").click()
    project, location = (page.locator(".field", has=page.get_by_label(name, exact=True)) for name in ("Project", "Location"))
    expect(project).to_contain_text("both or neither")
    page.get_by_label("Project", exact=True).fill("my-project")
    expect(location).to_contain_text("required with Project")
    expect(project).not_to_contain_text("both or neither")


def test_azure_is_reached_directly_or_through_a_gateway_and_the_other_way_is_dropped_only_by_choice(visitor: Visitor) -> None:
    visitor.sign_in()
    page = visitor.page
    visitor.go(f"{visitor.providers}/add")
    page.get_by_role("link", name="Azure OpenAI").click()
    endpoint, gateway = page.get_by_label("Endpoint", exact=True), page.get_by_label("API gateway base URL", exact=True)
    expect(gateway).to_be_hidden()
    page.get_by_label("API key", exact=True).fill(SECRET)
    endpoint.fill("https://direct.example.com")
    page.get_by_role("button", name="Save", exact=True).click()
    expect(page.locator("#card-azure")).to_contain_text("https://direct.example.com")
    edit(page, "Azure OpenAI")
    expect(page.get_by_role("radio", name="Directly")).to_be_checked()
    page.get_by_role("radio", name="Through an API gateway").check()
    expect(endpoint).to_be_hidden()
    gateway.fill("https://gateway.example.com")
    page.get_by_label("API key", exact=True).fill(SECRET)
    page.get_by_role("button", name="Save", exact=True).click()
    expect(page.locator("#card-azure")).to_contain_text("https://gateway.example.com")
    masked = {"AZURE_OPENAI_API_KEY": "HAS_KEY" + "•" * 24, "AZURE_API_GATEWAY_BASE_URL": "https://gateway.example.com"}
    assert stored(visitor, "azure")["customKeys"] == masked
    both = masked | {"AZURE_OPENAI_API_KEY": SECRET, "AZURE_OPENAI_ENDPOINT": "https://direct.example.com"}
    visitor.house.client().put("/api/model-providers/azure", json={"enabled": True, "customKeys": both}).raise_for_status()
    visitor.go(visitor.providers)
    edit(page, "Azure OpenAI")
    expect(page.get_by_role("radio", name="Through an API gateway")).to_be_checked()
    page.get_by_label("API gateway version", exact=True).fill("2024-10-21")
    page.get_by_role("button", name="Save", exact=True).click()
    expect_saved(page, "Azure OpenAI")
    kept = stored(visitor, "azure")["customKeys"]
    assert isinstance(kept, dict)
    assert (kept["AZURE_OPENAI_ENDPOINT"], kept["AZURE_API_GATEWAY_VERSION"]) == ("https://direct.example.com", "2024-10-21")


def test_save_is_off_while_nothing_changed_and_an_edit_keeps_the_stored_key(visitor: Visitor) -> None:
    visitor.sign_in()
    add_openai(visitor)
    page = visitor.page
    edit(page)
    save = page.get_by_role("button", name="Save", exact=True)
    expect(save).to_be_disabled()
    expect(page.get_by_label("API key", exact=True)).to_have_value("")
    page.get_by_role("button", name="Model", exact=True).click()
    page.get_by_label("Model id").fill("my/model:1")
    expect(page.get_by_label("Display name")).to_have_value("my/model:1")
    page.get_by_text("Mode, limit, parameters, inputs").click()
    page.get_by_label("Max tokens").fill("4096")
    page.get_by_label("temperature").check()
    page.get_by_role("button", name="Header", exact=True).click()
    page.get_by_label("Name", exact=True).fill("X-Team")
    page.get_by_label("Value", exact=True).fill(HEADER)
    save.click()
    expect(page.locator("#card-openai")).to_contain_text("X-Team")
    entry = stored(visitor)
    assert entry["customKeys"] == {"OPENAI_API_KEY": "HAS_KEY" + "•" * 24}
    declared = {"modelId": "my/model:1", "displayName": "my/model:1", "mode": "chat", "maxTokens": 4096}
    assert entry["customModels"] == [declared | {"supportedParameters": ["temperature"]}]
    fields = visitor.house.client().get("/api/model-providers/openai/history").json()["data"][0]["fields"]
    assert [field["name"] for field in fields] == ["customModels", "extraHeaders.X-Team"]


def test_a_stored_key_is_cleared_on_purpose(visitor: Visitor) -> None:
    visitor.sign_in()
    add_openai(visitor)
    page = visitor.page
    edit(page)
    page.get_by_label("Clear the stored API key").check()
    page.get_by_label("Base URL").fill("http://127.0.0.1:1234/v1")
    page.get_by_role("button", name="Save", exact=True).click()
    expect(page.locator("#card-openai")).to_contain_text("http://127.0.0.1:1234/v1")
    assert stored(visitor)["customKeys"] == {"OPENAI_BASE_URL": "http://127.0.0.1:1234/v1"}


def test_another_address_asks_for_the_key_again_and_says_why(visitor: Visitor) -> None:
    visitor.sign_in()
    add_openai(visitor)
    page = visitor.page
    edit(page)
    page.get_by_label("Base URL").fill("https://elsewhere.example/v1")
    page.get_by_role("button", name="Save", exact=True).click()
    expect(page.get_by_role("alert")).to_contain_text("a stored key stays with its address")
    expect(page.get_by_label("API key", exact=True)).to_be_focused()
    page.get_by_label("API key", exact=True).fill(OTHER)
    page.get_by_role("button", name="Save", exact=True).click()
    expect_saved(page)


def test_an_edit_that_somebody_overtook_shows_both_and_loses_nothing(visitor: Visitor) -> None:
    visitor.sign_in()
    add_openai(visitor)
    page = visitor.page
    edit(page)
    theirs = {"enabled": False, "customModels": ["theirs"]}
    assert visitor.house.client().put("/api/model-providers/openai", json=theirs).status_code == 200
    page.get_by_label("API key", exact=True).fill(OTHER)
    page.get_by_role("button", name="Embedding model").click()
    page.get_by_label("Model id").fill("mine")
    page.get_by_role("button", name="Save", exact=True).click()
    notice = page.get_by_role("alert")
    expect(notice).to_contain_text("Somebody changed this while you edited")
    expect(notice).to_contain_text("theirs")
    expect(page.get_by_label("API key", exact=True)).to_have_value(OTHER)
    assert OTHER not in page.locator("#messages").inner_html()
    page.get_by_role("button", name="Save my changes").click()
    expect_saved(page)
    entry = stored(visitor)
    assert entry["enabled"] is False
    assert [model["modelId"] for model in entry["customModels"]] == ["theirs"]  # type: ignore[attr-defined]
    assert [model["modelId"] for model in entry["customEmbeddingsModels"]] == ["mine"]  # type: ignore[attr-defined]


def test_the_switch_turns_a_provider_off_and_keeps_the_focus(visitor: Visitor) -> None:
    visitor.sign_in()
    add_openai(visitor)
    switch = visitor.page.get_by_role("switch", name="OpenAI enabled")
    switch.focus()
    visitor.page.keyboard.press("Enter")
    expect(switch).to_have_attribute("aria-checked", "false")
    expect(switch).to_be_focused()
    assert stored(visitor)["enabled"] is False
    assert stored(visitor)["customKeys"] is not None


def test_the_history_takes_a_change_back(visitor: Visitor) -> None:
    visitor.sign_in()
    add_openai(visitor)
    visitor.house.client().put("/api/model-providers/openai", json={"enabled": False, "customModels": ["wrong"]})
    page = visitor.page
    page.get_by_role("link", name="History of OpenAI").click()
    page.get_by_role("button", name="Go back to this: version 1").click()
    dialog = page.get_by_role("dialog")
    expect(dialog.get_by_role("button", name="Cancel")).to_be_focused()
    dialog.get_by_role("button", name="Go back").click()
    expect(page.get_by_text("Taken back to an earlier state")).to_be_visible()
    assert (stored(visitor)["enabled"], stored(visitor)["customModels"]) == (True, None)


def test_a_provider_is_deleted_after_one_confirmation(visitor: Visitor) -> None:
    visitor.sign_in()
    add_openai(visitor)
    page = visitor.page
    edit(page)
    page.get_by_role("button", name="Delete…").click()
    page.get_by_role("button", name="Delete OpenAI").click()
    expect(page.get_by_role("heading", name="No provider yet")).to_be_visible()
    assert "id" not in stored(visitor)


def test_the_drawer_gives_the_focus_back_and_asks_before_it_forgets(visitor: Visitor) -> None:
    visitor.sign_in()
    add_openai(visitor)
    page = visitor.page
    link = page.get_by_role("link", name="Edit OpenAI")
    link.focus()
    page.keyboard.press("Enter")
    expect(page.get_by_role("dialog")).to_be_visible()
    assert page.evaluate("document.activeElement.closest('dialog') !== null")
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_be_hidden()
    expect(link).to_be_focused()
    edit(page)
    page.get_by_label("API key", exact=True).fill("typed")
    asked: list[str] = []
    page.once("dialog", lambda dialog: (asked.append(dialog.message), dialog.dismiss()))
    page.get_by_role("button", name="Close").click()
    expect(page.get_by_label("API key", exact=True)).to_have_value("typed")
    assert asked == ["Leave without saving what you changed?"]


def test_the_focus_stays_in_the_drawer_when_a_provider_is_chosen_by_keyboard(visitor: Visitor) -> None:
    visitor.sign_in()
    page = visitor.page
    page.get_by_role("link", name="Add the first provider").press("Enter")
    page.get_by_role("link", name="Mistral AI").press("Enter")
    expect(page.get_by_label("API key", exact=True)).to_be_visible()
    expect(page.get_by_role("dialog").get_by_role("button", name="Close")).to_be_focused()


def test_what_is_wrong_with_a_row_is_said_in_plain_words_and_seen(visitor: Visitor) -> None:
    visitor.sign_in()
    page = visitor.page
    page.set_viewport_size({"width": 1280, "height": 620})
    page.get_by_role("link", name="Add the first provider").click()
    page.get_by_role("link", name="Azure OpenAI").click()
    page.get_by_role("button", name="Model", exact=True).click()
    page.get_by_role("button", name="Save", exact=True).click()
    error = page.locator("#models .field-error").first
    expect(error).to_have_text("Must not be empty.")
    expect(error).to_be_in_viewport(ratio=1)
    foot = page.get_by_role("button", name="Save", exact=True).bounding_box()
    told = error.bounding_box()
    assert foot is not None
    assert told is not None
    assert told["y"] + told["height"] <= foot["y"]


def test_a_long_name_stays_inside_the_question_on_a_phone(visitor: Visitor) -> None:
    address = {"CUSTOM_BASE_URL": "http://127.0.0.1:1/v1"}
    visitor.house.client().put("/api/model-providers/custom", json={"enabled": True, "customKeys": address})
    visitor.sign_in()
    page = visitor.page
    page.set_viewport_size({"width": 360, "height": 760})
    page.get_by_role("link", name="Edit Custom").click()
    page.get_by_role("button", name="Delete…").click()
    button = page.get_by_role("button", name="Delete Custom (OpenAI-compatible)")
    expect(button).to_be_visible()
    assert button.evaluate("e => e.getBoundingClientRect().left >= e.closest('dialog').getBoundingClientRect().left")


def test_search_finds_by_name_and_by_model(visitor: Visitor) -> None:
    client = visitor.house.client()
    for provider, model in (("openai", "alpha"), ("anthropic", "beta"), ("groq", "gamma"), ("mistral", "delta")):
        name = f"{provider.upper()}_API_KEY"
        body = {"enabled": True, "customKeys": {name: "k"}, "customModels": [model]}
        assert client.put(f"/api/model-providers/{provider}", json=body).status_code == 200
    visitor.sign_in()
    page = visitor.page
    search = page.get_by_role("searchbox")
    search.press_sequentially("gamm")
    expect(page.locator(".card")).to_have_count(1)
    expect(page.get_by_role("heading", name="Groq")).to_be_visible()
    search.fill("nothing like it")
    expect(page.get_by_text("No provider of this project is called")).to_be_visible()


def test_who_may_only_view_is_shown_no_way_to_change(visit: Visit) -> None:
    visitor = visit()
    admin = visitor.house.client(visitor.house.keys.admin_key)
    body = {"keyType": "service", "name": "Looks on", "permissionMode": "readonly"}
    visitor.sign_in(admin.post("/api/api-keys", json=body).json()["token"])
    visitor.go(visitor.providers)
    expect(visitor.page.get_by_role("heading", name="No provider yet")).to_be_visible()
    expect(visitor.page.get_by_role("link", name="Add the first provider")).to_have_count(0)
    visitor.go(f"{visitor.providers}/openai")
    expect(visitor.page.get_by_role("alert")).to_contain_text("lacks the permission project:update")
