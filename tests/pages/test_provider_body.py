"""From a form to the body of a PUT: nothing is dropped that nobody chose to drop."""

import msgspec
import pytest

from keyhouse.catalog.catalog import load_catalog
from keyhouse.domain.credentials import MASK
from keyhouse.web.pages.provider_body import body_of, inputs_of
from keyhouse.web.pages.visit import Form

SPEC = load_catalog().providers["azure"]
BOTH = {
    "AZURE_OPENAI_API_KEY": MASK,
    "AZURE_OPENAI_ENDPOINT": "https://direct.example.com",
    "AZURE_API_GATEWAY_BASE_URL": "https://gateway.example.com",
}
ENTRY = {"id": "provider_1", "enabled": True, "customKeys": BOTH, "extraHeaders": []}


def sent(*more: tuple[str, str]) -> object:
    shown = {"enabled": True, "public": {name: value for name, value in BOTH.items() if value != MASK}, "alternative": "1"}
    pairs = [
        ("base", msgspec.json.encode(shown).decode()),
        ("enabled", "on"),
        *((f"key.{name}", value) for name, value in shown["public"].items()),
    ]  # type: ignore[attr-defined]
    return body_of(Form([*pairs, *more]), SPEC, ENTRY).get("customKeys")


def test_both_ways_stay_while_the_choice_stands() -> None:
    assert sent(("alternative", "1")) is None


def test_another_choice_drops_the_other_ways_addresses_and_no_secret() -> None:
    assert sent(("alternative", "0")) == {name: value for name, value in BOTH.items() if "GATEWAY" not in name}


@pytest.mark.parametrize("more", [(), (("alternative", ""),)])
def test_a_form_that_says_nothing_of_a_choice_drops_nothing(more: tuple[tuple[str, str], ...]) -> None:
    assert sent(*more) is None


@pytest.mark.parametrize(
    "base", ["", "no JSON", "null", "[" * 10_000, '{"public": "x"}', '{"headers": 1}', '{"headers": [[]]}', '{"defaultModel": {}}']
)
def test_what_the_form_is_said_to_have_shown_may_be_anything(base: str) -> None:
    form = Form([("base", base), ("enabled", "on"), ("key.AZURE_OPENAI_ENDPOINT", "https://other.example.com"), ("header.1.key", "X-A")])
    body = body_of(form, SPEC, ENTRY)
    assert body["customKeys"]["AZURE_OPENAI_ENDPOINT"] == "https://other.example.com"
    assert body["extraHeaders"] == [{"key": "X-A", "value": ""}]


class CountingForm(Form):
    """A form that knows how often it was gone through."""

    __slots__ = ("times",)

    def names(self) -> list[str]:
        self.times = getattr(self, "times", 0) + 1
        return super().names()


def test_a_form_is_not_gone_through_for_each_error() -> None:
    form = CountingForm([*((f"model.{number + 1000}.id", "") for number in range(500)), ("header.7.key", "")])
    fields = [
        *(f"customModels.{number}.modelId" for number in range(500)),
        "extraHeaders.0.key",
        "customKeys.X",
        "defaultModel",
        "customModels.500",
    ]
    named = inputs_of(fields, form)
    assert (named[0], named[499:]) == ("model.1000.id", ["model.1499.id", "header.7.key", "key.X", "default_model", "customModels.500"])
    assert form.times <= 3
