"""Where models are listed or chosen, the day on which their provider ends them stands beside them."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect

from tests.conftest import Serve
from tests.gateway_road.conftest import storing_in
from tests.gateway_road.upstreams import answered_by, json_answer, running_upstream
from tests.models_file import ENDED, ENDING, LASTING, write_models_file
from tests.pages.browsing import Visitor, edit, new_visitor, serious

EMBEDDINGS = ({"id": "embedding-ended", "mode": "embedding", "retires_on": "2001-02-03"}, {"id": "embedding-lasting", "mode": "embedding"})
LISTED = ["gpt-ended", "gpt-lasting", "unheard-of"]


@pytest.fixture
def visitor(browser: Browser, serve: Serve, tmp_path: Path) -> Iterator[Visitor]:
    """Somebody signed in, whose project's default model has ended at a provider that still lists it."""
    house = serve(models_file=write_models_file(tmp_path, ENDED, ENDING, LASTING, *EMBEDDINGS))
    with running_upstream(answered_by(lambda request: json_answer({"data": [{"id": name} for name in LISTED]}))) as upstream:
        storing_in(house, upstream)(defaultModel="gpt-ended")
        visitor = new_visitor(browser, house, bypass_csp=True, reduced_motion="reduce")
        visitor.sign_in()
        yield visitor
        visitor.context.close()


def test_the_card_tells_it_of_the_default_model(visitor: Visitor) -> None:
    expect(visitor.page.locator("#card-openai dl")).to_contain_text("gpt-ended retired 3 Feb 2001", use_inner_text=True)
    storing = visitor.house.client().put("/api/model-providers/openai", json={"enabled": True, "defaultModel": "gpt-lasting"})
    assert storing.status_code == 200
    visitor.go(visitor.providers)
    expect(visitor.page.locator("#card-openai")).to_contain_text("gpt-lasting")
    expect(visitor.page.locator("#card-openai")).not_to_contain_text("retire")


def test_the_form_tells_it_of_known_models_and_beside_the_default_model(visitor: Visitor) -> None:
    page = visitor.page
    edit(page)
    page.get_by_text("Models known of OpenAI").click()
    known = [" ".join(chip.inner_text().split()) for chip in page.locator("#models ~ details .chip").all()]
    assert known == ["gpt-ended retired 3 Feb 2001", "gpt-ending retires 31 Dec 2999", "gpt-lasting"]
    expect(page.get_by_text("Known already: embedding-ended (retired 3 Feb 2001), embedding-lasting.")).to_be_visible()
    expect(page.locator("#default-model-hint")).to_have_text("Taken where a call names none. It retired 3 Feb 2001.")
    choices = {option.get_attribute("value"): option.inner_text() for option in page.locator("#default-models option").all()}
    assert choices == {"gpt-ended": "retired 3 Feb 2001", "gpt-ending": "retires 31 Dec 2999", "gpt-lasting": ""}
    assert serious(page) == []


def test_the_providers_own_list_tells_it(visitor: Visitor) -> None:
    page = visitor.page
    edit(page)
    page.get_by_role("button", name="Pick from its list").click()
    items = page.locator("#live-list > li")
    expect(items).to_have_count(len(LISTED))
    expect(items.filter(has_text="gpt-ended")).to_contain_text("retired 3 Feb 2001")
    expect(page.locator("#live-list").get_by_text("retire")).to_have_count(1)
    assert serious(page) == []


def test_try_it_tells_it_in_the_list_of_models_and_calls_what_has_ended(visitor: Visitor) -> None:
    page = visitor.page
    visitor.go(f"/projects/{visitor.house.keys.project_id}/try")
    page.get_by_role("button", name="Show all models").click()
    expect(page.get_by_role("option", name="gpt-ended")).to_contain_text("retired 3 Feb 2001")
    expect(page.get_by_role("option", name="gpt-ending")).to_contain_text("retires 31 Dec 2999")
    expect(page.get_by_role("option", name="gpt-lasting")).to_have_text("gpt-lasting")
    assert serious(page) == []
    page.get_by_role("option", name="gpt-ended").click()
    expect(page.get_by_role("combobox", name="Model")).to_have_value("openai/gpt-ended")


def test_api_model_providers_knows_nothing_of_it(visitor: Visitor) -> None:
    entry = visitor.house.client().get("/api/model-providers/openai").json()

    assert entry["models"] == ["gpt-ended", "gpt-ending", "gpt-lasting"]
    assert "2001" not in str(entry["models"])
