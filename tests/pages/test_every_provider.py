"""Every provider's form, one by one: each field of the registry is filled in, shown as it should be, and kept when it is left alone."""

from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from playwright.sync_api import Browser, Locator, expect

from keyhouse.catalog.catalog import load_catalog
from keyhouse.domain.credentials import MASK
from keyhouse.domain.provider_spec import CredentialField, ProviderSpec
from tests.conftest import ServedHouse, _serving
from tests.pages.browsing import Visitor, new_visitor

SPECS = load_catalog().providers.values()


@dataclass(frozen=True)
class Case:
    """A provider, reached in one of its ways."""

    spec: ProviderSpec
    way: int | None = None

    @property
    def fields(self) -> list[CredentialField]:
        """Those that the form shows then."""
        ways = self.spec.alternatives
        hidden = {name for number, way in enumerate(ways) if number != self.way for name in way.fields}
        return [field for field in self.spec.fields if field.name not in hidden]

    def value(self, field: CredentialField) -> str:
        """What is typed: like no other field's, and like the provider's own."""
        name = f"planted-{self.spec.id}-{field.name}".lower().replace("_", "-")
        if field.format == "url":
            return f"https://{name[-40:].strip('-')}.{field.host_suffix or 'example'}/v1"
        return f'{{"type":"service_account","key":"{name}"}}' if field.format == "json_object" else name

    @property
    def secrets(self) -> list[str]:
        """What must be seen nowhere; of JSON the part that no encoding changes."""
        values = [self.value(field) for field in self.fields if not field.public]
        return [value.split('"')[-2] if value.startswith("{") else value for value in values]


CASES = [Case(spec, way) for spec in SPECS if not spec.deprecated for way in range(len(spec.alternatives)) or [None]]


@pytest.fixture(scope="module")
def person(browser: Browser, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Visitor]:
    """Somebody who is signed in to a house that the tests of this module share."""
    with _serving(tmp_path_factory.mktemp("every-provider")) as start:
        visitor = new_visitor(browser, start(), reduced_motion="reduce")
        visitor.sign_in()
        yield visitor
        visitor.context.close()


def form_of(person: Visitor, spec: ProviderSpec) -> Locator:
    """The empty form, by way of the picker."""
    person.go(f"{person.providers}/add")
    person.page.get_by_role("main").get_by_role("link", name=spec.name, exact=True).click()
    form = person.page.get_by_role("dialog")
    expect(form.get_by_role("heading", name=spec.name, exact=True)).to_be_visible()
    return form


def edit_form_of(person: Visitor, spec: ProviderSpec) -> Locator:
    person.page.locator(f"#card-{spec.id}").get_by_role("link", name=f"Edit {spec.name}").click()
    form = person.page.get_by_role("dialog")
    expect(form.get_by_role("heading", name=spec.name, exact=True)).to_be_visible()
    return form


def save(person: Visitor, form: Locator, spec: ProviderSpec) -> None:
    with person.page.expect_navigation():
        form.get_by_role("button", name="Save", exact=True).click()
    expect(person.page.get_by_text(f"{spec.name} is saved.")).to_be_visible()


def entry(house: ServedHouse, spec: ProviderSpec) -> dict[str, object]:
    found: dict[str, object] = house.client().get(f"/api/model-providers/{spec.id}").json()
    return found


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.spec.id + (f"-{case.way}" if case.way is not None else ""))
def test_each_field_is_filled_in_shown_and_kept(person: Visitor, case: Case) -> None:
    spec, page = case.spec, person.page
    form = form_of(person, spec)
    if case.way is not None:
        form.get_by_label(spec.alternatives[case.way].label, exact=True).check()
    for field in case.fields:
        given = form.get_by_label(field.label or field.name, exact=True)
        assert given.get_attribute("name") == f"key.{field.name}"
        if field.format != "json_object":
            assert (given.get_attribute("type") == "password") == (not field.public)
        given.fill(case.value(field))
    save(person, form, spec)
    seen = page.content()
    card = page.locator(f"#card-{spec.id}")
    for field in case.fields:
        chip = card.locator(".chip").filter(has_text=field.label or field.name).first
        expect(chip).to_contain_text(case.value(field) if field.public else "stored")
    stored = {field.name: case.value(field) if field.public else MASK for field in case.fields}
    assert entry(person.house, spec)["customKeys"] == stored

    form = edit_form_of(person, spec)
    for field in case.fields:
        expect(form.get_by_label(field.label or field.name, exact=True)).to_have_value(case.value(field) if field.public else "")
    seen += page.content()
    form.get_by_role("button", name="Model", exact=True).click()
    form.get_by_label("Model id").fill(f"own/{spec.id}:1")
    save(person, form, spec)
    seen += page.content()
    assert entry(person.house, spec)["customKeys"] == stored
    history = person.house.client().get(f"/api/model-providers/{spec.id}/history").json()["data"]
    assert [change["name"] for change in history[0]["fields"]] == ["customModels"]
    assert [secret for secret in case.secrets if secret in seen] == []
    assert person.complaints == []
    assert person.house.client().delete(f"/api/model-providers/{spec.id}").status_code == 200


@pytest.mark.parametrize("spec", [spec for spec in SPECS if spec.deprecated], ids=lambda spec: spec.id)
def test_what_is_no_longer_offered_is_not_in_the_picker(person: Visitor, spec: ProviderSpec) -> None:
    person.go(f"{person.providers}/add")
    expect(person.page.get_by_role("main").get_by_role("link", name="OpenAI", exact=True)).to_be_visible()
    expect(person.page.get_by_role("main").get_by_role("link", name=spec.name, exact=True)).to_have_count(0)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.spec.id + (f"-{case.way}" if case.way is not None else ""))
def test_what_is_required_is_said_beside_its_field(person: Visitor, case: Case) -> None:
    required = [field for field in case.fields if field.required and not field.may_be_blank]
    form = form_of(person, case.spec)
    form.get_by_role("button", name="Model", exact=True).click()
    form.get_by_label("Model id").fill("own")
    if not required and not case.spec.at_least_one:
        save(person, form, case.spec)
        assert person.house.client().delete(f"/api/model-providers/{case.spec.id}").status_code == 200
        return
    form.get_by_role("button", name="Save", exact=True).click()
    for name in [field.name for field in required] or case.spec.at_least_one:
        expect(form.locator(f"[name='key.{name}']")).to_have_attribute("aria-invalid", "true")
    assert "id" not in entry(person.house, case.spec)
    person.complaints.clear()
