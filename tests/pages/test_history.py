"""The history in a browser: what was there before and after, and no secret; and the conflict of two who changed the same field."""

from playwright.sync_api import Locator, expect

from tests.pages.browsing import Visitor, edit
from tests.pages.test_providers import OTHER, SECRET

ONE, TWO, THREE = "http://127.0.0.1:1111/v1", "http://127.0.0.1:2222/v1", "http://127.0.0.1:3333/v1"


def put(visitor: Visitor, **body: object) -> None:
    answer = visitor.house.client().put("/api/model-providers/openai", json={"enabled": True, **body})
    assert answer.status_code == 200, answer.text


def change(visitor: Visitor, version: int, field: str) -> Locator:
    entry = visitor.page.get_by_role("main").get_by_role("listitem").filter(has_text=f"version {version}")
    return entry.locator(".diff > li").filter(has_text=field)


def test_public_values_are_shown_before_and_after_and_secrets_as_changed(visitor: Visitor) -> None:
    put(visitor, customKeys={"OPENAI_API_KEY": SECRET, "OPENAI_BASE_URL": ONE}, customModels=["kept", "gone"], defaultModel="kept")
    put(visitor, customKeys={"OPENAI_API_KEY": OTHER, "OPENAI_BASE_URL": TWO}, customModels=["kept", "new"], defaultModel="new")
    visitor.sign_in()
    visitor.go(f"{visitor.providers}/openai/history")
    address = change(visitor, 2, "Base URL")
    expect(address.locator("del")).to_have_text(f"from {ONE}")
    expect(address.locator("ins")).to_have_text(f"to {TWO}")
    models = change(visitor, 2, "Custom models")
    expect(models.locator("del")).to_have_text("from gone")
    expect(models.locator("ins")).to_have_text("to new")
    expect(change(visitor, 2, "Default model").locator("ins")).to_have_text("to openai/new")
    key = change(visitor, 2, "API key")
    expect(key).to_contain_text("changed")
    expect(key.locator("ins, del")).to_have_count(0)
    assert not any(secret in visitor.page.content() for secret in (SECRET, OTHER))


def test_who_may_only_look_on_sees_the_same_history(visitor: Visitor) -> None:
    put(visitor, customKeys={"OPENAI_API_KEY": SECRET, "OPENAI_BASE_URL": ONE})
    admin = visitor.house.client(visitor.house.keys.admin_key)
    made = admin.post("/api/api-keys", json={"keyType": "service", "name": "Looks on", "permissionMode": "readonly"}).json()
    visitor.sign_in(made["token"])
    visitor.go(f"{visitor.providers}/openai/history")
    expect(change(visitor, 1, "Base URL").locator("ins")).to_have_text(f"to {ONE}")
    assert SECRET not in visitor.page.content()


def test_two_who_change_the_same_field_see_both_values_and_the_history_keeps_the_one_that_gave_way(visitor: Visitor) -> None:
    put(visitor, customKeys={"OPENAI_API_KEY": SECRET, "OPENAI_BASE_URL": ONE}, customModels=["shared"])
    visitor.sign_in()
    edit(visitor.page)
    put(visitor, customKeys={"OPENAI_API_KEY": OTHER, "OPENAI_BASE_URL": TWO}, customModels=["shared", "theirs"])
    page = visitor.page
    page.get_by_label("Base URL").fill(THREE)
    page.get_by_label("API key", exact=True).fill(SECRET)
    page.get_by_role("button", name="Save", exact=True).click()
    notice = page.get_by_role("alert")
    row = notice.get_by_role("row", name="Base URL")
    expect(row.get_by_role("cell")).to_have_text([TWO, THREE])
    expect(notice.get_by_role("row", name="API key").get_by_role("cell")).to_have_text(["stored", "a new one, typed"])
    expect(notice.get_by_role("row", name="Custom models").get_by_role("cell")).to_have_text(["shared, theirs", "shared"])
    expect(page.get_by_label("Base URL")).to_have_value(THREE)
    page.get_by_role("button", name="Save my changes").click()
    expect(page.get_by_text("OpenAI is saved.")).to_be_visible()
    entry = visitor.house.client().get("/api/model-providers/openai").json()
    assert entry["customKeys"]["OPENAI_BASE_URL"] == THREE
    assert [model["modelId"] for model in entry["customModels"]] == ["shared", "theirs"]
    visitor.go(f"{visitor.providers}/openai/history")
    expect(change(visitor, 3, "Base URL").locator("del")).to_have_text(f"from {TWO}")
    assert not any(secret in page.content() for secret in (SECRET, OTHER))
