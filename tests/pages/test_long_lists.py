"""Lists that are longer than a page: paged, searched, and never said to be empty."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, expect

from tests.conftest import ServedHouse, _serving
from tests.pages.browsing import Visitor, csrf, new_visitor, signed_in

MADE = 55


@pytest.fixture(scope="module")
def full_house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServedHouse]:
    with _serving(tmp_path_factory.mktemp("full")) as start:
        house = start()
        admin = house.client(house.keys.admin_key)
        body = {"language": "other", "framework": "other", "newTeamName": "Größen"}
        for number in range(MADE):
            answer = admin.post("/api/projects", json={**body, "name": f"Bulk {number:02d} & co"})
            assert answer.status_code == 201
            body = {"language": "other", "framework": "other", "teamId": answer.json()["teamId"]}
        assert house.client().put("/api/model-providers/openai", json={"enabled": True}).status_code == 200
        yield house


@pytest.fixture
def admin(browser: Browser, full_house: ServedHouse) -> Iterator[Visitor]:
    visitor = new_visitor(browser, full_house)
    visitor.sign_in(full_house.keys.admin_key)
    yield visitor
    visitor.context.close()


@pytest.mark.parametrize(("path", "what"), [("/organization/projects", "Projects"), ("/organization/keys", "API keys")])
def test_a_long_list_is_searched_by_name(admin: Visitor, path: str, what: str) -> None:
    admin.go(path)
    page, rows = admin.page, admin.page.get_by_role("region", name=what, exact=True).get_by_role("row")
    expect(rows).to_have_count(51)
    page.get_by_role("searchbox").fill("bulk 07 &")
    expect(rows).to_have_count(2)
    expect(rows.nth(1)).to_contain_text("Bulk 07 & co")
    expect(page.locator("#said")).to_have_text(f"1 of {MADE + 1} {what.replace('Projects', 'projects')}")
    page.get_by_role("searchbox").fill("<b>none")
    expect(page.get_by_role("cell", name="is called “<b>none”")).to_be_visible()
    page.get_by_role("searchbox").fill("")
    expect(rows).to_have_count(51)


def test_a_search_goes_on_over_its_pages(admin: Visitor) -> None:
    admin.go("/organization/projects?q=GR%C3%96SSEN")
    page = admin.page
    expect(page.get_by_text("Page 1 of 2")).to_be_visible()
    page.get_by_role("link", name="Older").click()
    expect(page.get_by_text("Page 2 of 2")).to_be_visible()
    expect(page.get_by_role("region", name="Projects", exact=True).get_by_role("row")).to_have_count(1 + MADE - 50)


@pytest.mark.parametrize(
    ("path", "last"), [("projects", 2), ("projects?q=bulk&page=99", 2), ("keys", 2), ("audit", 3), ("projects?q=none&page=99", 1)]
)
def test_a_page_behind_the_last_one_leads_to_it(full_house: ServedHouse, path: str, last: int) -> None:
    client = signed_in(full_house, full_house.keys.admin_key)
    address = f"/organization/{path}" if "?" in path else f"/organization/{path}?page=99"
    answer = client.get(address)
    assert (answer.status_code, answer.headers["location"]) == (303, address.replace("page=99", f"page={last}"))
    assert client.get(answer.headers["location"]).status_code == 200


def test_a_history_is_not_said_to_be_empty_behind_its_last_page(full_house: ServedHouse) -> None:
    client = signed_in(full_house, full_house.keys.admin_key)
    address = f"/projects/{full_house.keys.project_id}/providers/openai/history"
    assert client.get(f"{address}?page=7").headers["location"] == f"{address}?page=1"


def test_a_key_is_made_for_a_project_behind_a_thousand_others(sqlite_house: ServedHouse) -> None:
    admin, oldest = sqlite_house.client(sqlite_house.keys.admin_key), sqlite_house.keys.project_id
    body = {"language": "other", "framework": "other", "newTeamName": "Many"}
    for number in range(1000):
        answer = admin.post("/api/projects", json={**body, "name": f"Project {number}"})
        assert answer.status_code == 201
        body = {"language": "other", "framework": "other", "teamId": answer.json()["teamId"]}
    client = signed_in(sqlite_house, sqlite_house.keys.admin_key)
    page = client.get("/organization/keys").text
    assert "1 older project is not in the list above" in page
    assert page.count('<option value="PROJECT:') == 1000
    form = {"csrf": csrf(client, "/organization/keys"), "name": "Of the oldest", "role": "VIEWER", "scope": "ORGANIZATION:", "days": ""}
    made = client.post("/organization/keys", data={**form, "project": f" {oldest} "}).text
    assert "viewer of project My project" in made
    assert "that was archived" not in made
    refused = client.post("/organization/keys", data={**form, "project": 'project_"none'})
    assert refused.status_code in (400, 422)
    assert 'value="project_&#34;none"' in refused.text
    assert client.post("/organization/keys", data={**form, "project": ""}).text.count("viewer of the organization") == 2


def test_a_card_names_a_few_headers_and_counts_the_rest(visitor: Visitor) -> None:
    headers = [{"key": f"X-Header-{number}", "value": "x"} for number in range(30)]
    visitor.house.client().put("/api/model-providers/openai", json={"enabled": True, "extraHeaders": headers}).raise_for_status()
    visitor.sign_in()
    card = visitor.page.locator("#card-openai")
    expect(card).to_contain_text("X-Header-2")
    expect(card).to_contain_text("and 27 more")
    expect(card).not_to_contain_text("X-Header-3")
