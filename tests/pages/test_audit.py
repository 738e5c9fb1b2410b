"""The audit log in a browser: by name, and what concerns one thing, one person or one kind of action."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.pages.browsing import Visit, Visitor


@pytest.fixture
def admin(visit: Visit) -> Iterator[Visitor]:
    """Somebody who is signed in as the organization's admin, where a provider was stored and a project made."""
    visitor = visit()
    visitor.house.client().put("/api/model-providers/openai", json={"enabled": True}).raise_for_status()
    body = {"name": "Checkout", "language": "other", "framework": "other", "newTeamName": "Payments"}
    visitor.house.client(visitor.house.keys.admin_key).post("/api/projects", json=body).raise_for_status()
    visitor.sign_in(visitor.house.keys.admin_key)
    yield visitor
    assert visitor.complaints == []


def records(page: Page) -> Locator:
    return page.get_by_role("region", name="Audit log").locator("tbody tr")


def test_records_name_what_they_are_about_and_lead_there(admin: Visitor) -> None:
    page = admin.page
    admin.go("/organization/audit")
    stored = records(page).filter(has_text="model provider created")
    stored.get_by_role("link", name="OpenAI of My project").click()
    expect(page.get_by_role("heading", name="History of OpenAI")).to_be_visible()
    admin.go("/organization/audit")
    expect(records(page).filter(has_text="team created").filter(has_text="Payments")).to_have_count(1)
    records(page).filter(has_text="api key created").get_by_role("link", name="Service key of Checkout").click()
    expect(page.get_by_role("searchbox")).not_to_have_value("")
    expect(page.get_by_role("row", name="Service key of Checkout")).to_have_count(1)


def test_the_records_of_one_project_or_person_are_a_link_away(admin: Visitor) -> None:
    page, project_id = admin.page, admin.house.keys.project_id
    admin.go("/organization/audit")
    records(page).filter(has_text="project created").filter(has_text="Checkout").get_by_role("link", name="Only project_").click()
    expect(page.get_by_text("Only what concerns Checkout")).to_be_visible()
    expect(records(page)).to_have_count(2)
    expect(records(page).first).to_contain_text("Checkout")
    page.get_by_role("link", name="Show everything").click()
    records(page).filter(has_text="model provider created").get_by_role("link", name="Only what project key of My project did").click()
    expect(records(page).filter(has_text="model provider created")).to_have_count(1)
    expect(records(page).filter(has_text="Checkout")).to_have_count(0)
    admin.go(f"/organization/audit?about={project_id}/openai")
    expect(page.get_by_text("Only what concerns OpenAI of My project")).to_be_visible()
    expect(records(page)).to_have_count(1)
    admin.go("/organization/audit?about=<b>nothing")
    expect(page.get_by_text("Only what concerns <b>nothing")).to_be_visible()
    expect(page.get_by_role("cell", name="No record")).to_be_visible()


def test_who_saw_a_projects_key_is_a_link_beside_it(admin: Visitor) -> None:
    page = admin.page
    admin.go(f"/projects/{admin.house.keys.project_id}/key")
    page.get_by_role("button", name="Show the key").click()
    page.get_by_role("link", name="Who saw or replaced it").click()
    expect(records(page)).to_have_count(1)
    expect(records(page)).to_contain_text("project key shown by page")
    expect(page.get_by_label("Kind of record")).to_have_value("project-keys")
    page.get_by_label("Kind of record").select_option(label="Providers")
    page.get_by_role("button", name="Show", exact=True).click()
    expect(records(page)).to_have_count(1)
    expect(records(page)).to_contain_text("model provider created")
    expect(page.get_by_text("Only what concerns My project")).to_be_visible()


def test_what_an_api_key_did_is_a_link_beside_it(admin: Visitor) -> None:
    page = admin.page
    admin.go("/organization/keys")
    page.get_by_role("link", name="Audit of Admin key of the first start").click()
    expect(page.get_by_text("Only what concerns Admin key of the first start")).to_be_visible()
    expect(records(page).filter(has_text="team created").filter(has_text="Payments")).to_have_count(1)
    expect(records(page).filter(has_text="model provider created")).to_have_count(0)


def test_a_kind_of_record_stands_over_the_pages_of_the_log(admin: Visitor) -> None:
    house, page = admin.house, admin.page
    for number in range(55):
        house.client(house.keys.admin_key).post("/api/teams", json={"name": f"Team {number}"}).raise_for_status()
    admin.go("/organization/audit?kind=teams")
    expect(page.get_by_text("Page 1 of 2")).to_be_visible()
    page.get_by_role("link", name="Older").click()
    expect(page.get_by_text("Page 2 of 2")).to_be_visible()
    expect(records(page).filter(has_text="team created")).to_have_count(records(page).count())
    admin.go("/organization/audit?kind=teams&page=9")
    expect(page.get_by_text("Page 2 of 2")).to_be_visible()
    expect(page.get_by_label("Kind of record")).to_have_value("teams")


def test_who_administers_no_organization_is_not_sent_to_its_log(visit: Visit) -> None:
    visitor = visit()
    visitor.sign_in()
    visitor.go(f"/projects/{visitor.house.keys.project_id}/key")
    expect(visitor.page.get_by_role("heading", name="Project key")).to_be_visible()
    expect(visitor.page.get_by_role("link", name="Who saw or replaced it")).to_have_count(0)
