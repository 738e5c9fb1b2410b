"""What a change is said to have changed: each field that differs, how, and of a secret that is there no more than its fingerprint."""

from dataclasses import replace

from keyhouse.domain.credentials import Credentials
from keyhouse.domain.headers import ExtraHeader
from keyhouse.domain.history import FieldChange, changed_fields
from keyhouse.domain.model import CustomModel
from keyhouse.domain.model_provider import ModelProvider

MODELS = (CustomModel("m", "M", "chat"),)
STORED = ModelProvider(
    "example",
    id="provider_1",
    enabled=True,
    credentials=Credentials({"KEY": "k-1", "SECOND": "s-1", "URL": "https://a.example"}),
    extra_headers=(ExtraHeader("X-A", "a-1"), ExtraHeader("X-B", "b-1")),
)


def changed(before: ModelProvider, after: ModelProvider) -> list[FieldChange]:
    """With a fingerprint that says what it was made of."""
    return [*changed_fields(before, after, lambda name: name == "URL", lambda field, value: f"{field}={value}")]


def test_what_stays_is_not_said_to_have_changed() -> None:
    assert changed(STORED, STORED) == []
    assert changed(STORED, replace(STORED, credentials=Credentials(STORED.credentials.opened()), version=9)) == []


def test_each_field_is_set_changed_or_cleared() -> None:
    before = replace(STORED, credentials=Credentials({**STORED.credentials.opened(), "SAME": "s"}))
    after = replace(STORED, credentials=Credentials({"KEY": "k-2", "THIRD": "t", "URL": "https://b.example", "SAME": "s"}))
    assert changed(before, after) == [
        FieldChange("customKeys.KEY", "changed", "customKeys.KEY=k-2"),
        FieldChange("customKeys.SECOND", "cleared"),
        FieldChange("customKeys.URL", "changed"),
        FieldChange("customKeys.THIRD", "set", "customKeys.THIRD=t"),
    ]


def test_a_new_provider_says_whether_it_is_on_and_one_that_is_there_where_that_changed() -> None:
    new = ModelProvider("example")
    assert changed(new, replace(STORED, credentials=Credentials(), extra_headers=())) == [FieldChange("enabled", "set")]
    assert changed(new, new) == [FieldChange("enabled", "set")]
    assert changed(STORED, replace(STORED, enabled=False)) == [FieldChange("enabled", "changed")]


def test_lists_of_models_are_set_changed_or_cleared() -> None:
    with_models, others = replace(STORED, custom_models=MODELS), replace(STORED, custom_models=(*MODELS, *MODELS))
    assert changed(STORED, with_models) == [FieldChange("customModels", "set")]
    assert changed(with_models, others) == [FieldChange("customModels", "changed")]
    assert changed(with_models, STORED) == [FieldChange("customModels", "cleared")]
    assert changed(STORED, replace(STORED, custom_embeddings_models=MODELS)) == [FieldChange("customEmbeddingsModels", "set")]


def test_headers_are_told_of_by_name_and_their_order_as_a_whole() -> None:
    first, second = STORED.extra_headers
    assert changed(STORED, replace(STORED, extra_headers=(second, first))) == [FieldChange("extraHeaders", "changed")]
    after = replace(STORED, extra_headers=(replace(first, value="a-2"), ExtraHeader("X-C", "c")))
    assert changed(STORED, after) == [
        FieldChange("extraHeaders.X-A", "changed", "extraHeaders.X-A=['a-2']"),
        FieldChange("extraHeaders.X-B", "cleared"),
        FieldChange("extraHeaders.X-C", "set", "extraHeaders.X-C=['c']"),
    ]


def test_of_what_could_not_be_opened_every_field_that_is_there_counts_as_changed() -> None:
    unreadable = replace(STORED, credentials=Credentials.unreadable(("KEY", "SECOND")))
    after = replace(STORED, credentials=Credentials({"KEY": "k-1"}))
    assert changed(unreadable, after) == [
        FieldChange("customKeys.KEY", "changed", "customKeys.KEY=k-1"),
        FieldChange("customKeys.SECOND", "cleared"),
    ]
