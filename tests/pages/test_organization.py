"""Keys, projects, teams, audit and status in a browser."""

import re
from datetime import UTC, datetime, timedelta

import pytest
from playwright.sync_api import expect

from keyhouse.storage.schema import HEAD
from tests.cli.commands import run
from tests.conftest import ServedHouse
from tests.pages.browsing import Visit, Visitor, csrf, signed_in


@pytest.fixture
def admin(visit: Visit) -> Visitor:
    """Somebody who is signed in as the organization's admin."""
    visitor = visit()
    visitor.sign_in(visitor.house.keys.admin_key)
    return visitor


def make_key(admin: Visitor, name: str) -> str:
    admin.go("/organization/keys")
    admin.page.get_by_role("button", name="Make a key").click()
    admin.page.get_by_label("Name", exact=True).fill(name)
    admin.page.get_by_label("Role").select_option("MEMBER")
    admin.page.get_by_label("Where").select_option(label="Project My project")
    admin.page.get_by_label("Expires after").select_option("90")
    admin.page.get_by_role("button", name="Make the key").click()
    return admin.page.get_by_label("It is shown this once").input_value()


def test_a_key_is_made_shown_once_used_and_revoked(admin: Visitor) -> None:
    page = admin.page
    token = make_key(admin, "Nightly job")
    client = admin.house.client(token)
    assert client.put("/api/model-providers/openai", json={"enabled": True}).status_code == 200
    admin.go("/organization/keys")
    assert token not in page.content()
    row = page.get_by_role("row", name="Nightly job")
    expect(row).to_contain_text("member of project My project")
    expires = admin.house.client(admin.house.keys.admin_key).get("/api/api-keys").json()["data"][0]["expiresAt"]
    expect(row.locator("time").nth(1)).to_have_text("just now")
    expect(row.locator("time").nth(2)).to_have_attribute("datetime", re.sub(r"\.\d+Z$", "Z", expires))
    row.get_by_role("button", name="Revoke… Nightly job").click()
    dialog = page.get_by_role("dialog")
    expect(dialog).to_contain_text("every application and script that uses “Nightly job” (member of project My project)")
    expect(dialog).to_have_css("text-align", "left")
    dialog.get_by_role("button", name="Revoke").click()
    expect(page.get_by_role("row", name="Nightly job")).to_contain_text("revoked")
    assert client.get("/api/model-providers").status_code == 401


@pytest.mark.parametrize(
    ("lasts", "words"),
    [({"days": 30}, "in 30 days"), ({"hours": 25}, "in a day"), ({"hours": 5}, "in 5 hours"), ({"minutes": 9}, "within the hour")],
)
def test_how_long_a_key_lasts_is_told_to_the_nearest_unit(sqlite_house: ServedHouse, lasts: dict[str, float], words: str) -> None:
    ends = (datetime.now(UTC) + timedelta(**lasts)).isoformat()
    body = {"keyType": "service", "name": "Short", "expiresAt": ends}
    assert sqlite_house.client(sqlite_house.keys.admin_key).post("/api/api-keys", json=body).status_code == 201
    assert f">{words}</time>" in signed_in(sqlite_house, sqlite_house.keys.admin_key).get("/organization/keys").text


def test_a_new_key_is_copied(visit: Visit) -> None:
    visitor = visit(permissions=["clipboard-read", "clipboard-write"])
    visitor.sign_in(visitor.house.keys.admin_key)
    token = make_key(visitor, "Copied one")
    visitor.page.get_by_role("button", name="Copy", exact=True).click()
    expect(visitor.page.get_by_role("button", name="Copied", exact=True)).to_be_visible()
    assert visitor.page.evaluate("navigator.clipboard.readText()") == token


def test_a_key_that_the_browser_does_not_copy_is_not_said_to_be(admin: Visitor) -> None:
    make_key(admin, "Not copied")
    admin.page.evaluate("() => { navigator.clipboard.writeText = () => Promise.reject(); document.execCommand = () => false; }")
    admin.page.get_by_role("button", name="Copy", exact=True).click()
    expect(admin.page.get_by_role("button", name="Selected, not copied")).to_be_visible()


def test_revoking_the_key_one_signed_in_with_says_so_and_signs_out(admin: Visitor) -> None:
    admin.go("/organization/keys")
    admin.page.get_by_role("button", name="Revoke… Admin key of the first start").click()
    expect(admin.page.get_by_role("dialog")).to_contain_text("you among them")
    admin.page.get_by_role("dialog").get_by_role("button", name="Revoke").click()
    expect(admin.page.get_by_text("Your session is over")).to_be_visible()


def test_the_project_key_is_shown_on_request_and_regenerated_after_one_confirmation(admin: Visitor) -> None:
    page, old = admin.page, admin.house.keys.project_key
    admin.go(f"/projects/{admin.house.keys.project_id}/key")
    assert old not in page.content()
    page.get_by_role("button", name="Show the key").click()
    assert page.get_by_label("The project key", exact=True).input_value() == old
    admin.go("/organization/audit")
    expect(page.get_by_role("row", name="project key shown by page")).to_contain_text(admin.house.keys.project_id)
    admin.go(f"/projects/{admin.house.keys.project_id}/key")
    page.get_by_role("button", name="Regenerate…").click()
    dialog = page.get_by_role("dialog")
    expect(dialog).to_contain_text("Every application that uses the key of My project is refused")
    dialog.get_by_role("button", name="Regenerate").click()
    new = page.get_by_label("The new project key").input_value()
    assert admin.house.client(old).get("/api/model-providers").status_code == 401
    assert admin.house.client(new).get("/api/model-providers").status_code == 200


def test_a_shown_key_is_not_compressed_and_who_takes_no_gzip_gets_none(sqlite_house: ServedHouse) -> None:
    client = signed_in(sqlite_house, sqlite_house.keys.admin_key)
    address = f"/projects/{sqlite_house.keys.project_id}/key"
    shown = client.post(address, data={"do": "show", "csrf": csrf(client, address)})
    assert sqlite_house.keys.project_key in shown.text
    assert "content-encoding" not in shown.headers
    plain = client.get(address, headers={"accept-encoding": "identity"})
    assert "content-encoding" not in plain.headers
    packed = client.get(address)
    assert (packed.headers["content-encoding"], packed.text) == ("gzip", plain.text)
    assert "accept-encoding" in packed.headers["vary"]


def test_a_regenerated_project_key_ends_its_sessions(admin: Visitor, visit: Visit) -> None:
    person = visit()
    person.sign_in()
    client = admin.house.client(admin.house.keys.admin_key)
    assert client.post(f"/api/projects/{admin.house.keys.project_id}/regenerate-api-key").status_code == 200
    person.go(person.providers)
    expect(person.page.get_by_text("Your session is over")).to_be_visible()


def test_a_project_and_its_team_are_made_renamed_and_archived(admin: Visitor) -> None:
    page = admin.page
    admin.go("/organization/projects")
    page.get_by_role("button", name="New project").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("Name", exact=True).fill("Search")
    dialog.get_by_label("Team", exact=True).select_option(label="A new team")
    dialog.get_by_label("Name of the new team").fill("Finders")
    dialog.get_by_role("button", name="Make the project").click()
    key = page.get_by_label("It is shown this once").input_value()
    assert admin.house.client(key).get("/api/model-providers").status_code == 200
    page.get_by_role("button", name="Rename… Search", exact=True).click()
    expect(page.get_by_role("dialog").get_by_label("Name", exact=True)).to_be_focused()
    page.get_by_role("dialog").get_by_label("Name").fill("Research")
    page.get_by_role("dialog").get_by_role("button", name="Rename").click()
    expect(page.get_by_role("link", name="Research")).to_be_visible()
    page.get_by_role("button", name="Archive… Finders").click()
    page.get_by_role("dialog").get_by_role("button", name="Archive").click()
    expect(page.get_by_role("alert")).to_contain_text("The team still has projects")
    page.get_by_role("button", name="Archive… Research").click()
    page.get_by_role("dialog").get_by_role("button", name="Archive").click()
    expect(page.get_by_role("link", name="Research")).to_have_count(0)
    assert admin.house.client(key).get("/api/model-providers").status_code == 401


def test_the_audit_log_tells_who_did_what(admin: Visitor) -> None:
    admin.house.client().put("/api/model-providers/openai", json={"enabled": True})
    admin.go("/organization/audit")
    row = admin.page.get_by_role("row", name="model provider created")
    expect(row).to_contain_text("project key of My project")
    expect(row).to_contain_text(f"{admin.house.keys.project_id}/openai")
    expect(admin.page.get_by_role("row", name="session created")).to_have_count(1)


def test_the_status_names_version_database_and_keys(admin: Visitor) -> None:
    admin.go("/organization/status")
    page = admin.page
    expect(page.get_by_text(f"SQLite, schema {HEAD}")).to_be_visible()
    expect(page.get_by_text("seals new values")).to_be_visible()
    assert re.search(r"key-\d{8}-[0-9a-f]{8}", page.content())


def test_a_key_that_seals_nothing_any_more_is_said_to_be_so(admin: Visitor) -> None:
    folder = admin.house.settings.data_dir
    assert run(folder.parent, "keys", "rotate", "--data-dir", str(folder)).code == 0
    admin.go("/organization/status")
    expect(admin.page.locator("tr", has_text="seals new values")).to_have_count(1)
    expect(admin.page.locator("tr", has_text="can be retired")).to_contain_text("0")


def test_without_scripts_a_sentence_says_which_buttons_do_nothing(visit: Visit) -> None:
    visitor = visit(java_script_enabled=False)
    visitor.sign_in(visitor.house.keys.admin_key)
    visitor.go("/organization/projects")
    expect(visitor.page.get_by_text("Buttons that ask a question first")).to_be_visible()


@pytest.mark.parametrize("address", ["/organization/keys", "/organization/audit", "/organization/status", "/organization/projects"])
def test_a_project_key_sees_nothing_of_the_organization(sqlite_house: ServedHouse, address: str) -> None:
    answer = signed_in(sqlite_house, sqlite_house.keys.project_key).get(address)
    assert answer.status_code == 403
    assert "Admin key of the first start" not in answer.text


def test_who_may_only_view_makes_and_revokes_nothing(sqlite_house: ServedHouse) -> None:
    admin = sqlite_house.client(sqlite_house.keys.admin_key)
    looks_on = admin.post("/api/api-keys", json={"keyType": "service", "name": "Looks on", "permissionMode": "readonly"}).json()
    client = signed_in(sqlite_house, looks_on["token"])
    form = {"csrf": csrf(client, "/organization/projects")}
    project = f"/projects/{sqlite_house.keys.project_id}"
    writes = {
        "/organization/keys": {"name": "x", "role": "ADMIN", "scope": "ORGANIZATION:"},
        f"/organization/keys/{looks_on['apiKey']['id']}/revoke": {},
        "/organization/teams": {"name": "x"},
        "/organization/projects": {"name": "x", "language": "other", "framework": "other", "new_team": "x"},
        f"/organization/projects/{sqlite_house.keys.project_id}/archive": {},
        f"{project}/key": {"do": "regenerate"},
        f"{project}/providers/openai": {"enabled": "on"},
        f"{project}/providers/openai/enabled": {"enabled": "true"},
        f"{project}/providers/openai/rollback": {"version": "1"},
        f"{project}/providers/openai/delete": {},
    }
    before = admin.get("/api/audit").json()["pagination"]["total"]
    answers = {address: client.post(address, data=form | fields).status_code for address, fields in writes.items()}
    assert answers == dict.fromkeys(writes, 403)
    assert admin.get("/api/audit").json()["pagination"]["total"] == before
