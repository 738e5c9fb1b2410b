"""What a PUT does to a provider, rule by rule. Pure: no storage, no HTTP, a provider of its own."""

from dataclasses import replace
from typing import Any

import pytest

from keyhouse.domain.credentials import MASK, Credentials
from keyhouse.domain.errors import Code, Error
from keyhouse.domain.headers import ExtraHeader
from keyhouse.domain.model import CustomModel
from keyhouse.domain.model_provider import ModelProvider, ModelProviderUpdate
from keyhouse.domain.provider_spec import CredentialField, ProviderSpec

SPEC = ProviderSpec(
    id="example",
    name="Example",
    fields=(
        CredentialField("KEY"),
        CredentialField("SECOND"),
        CredentialField("URL", public=True, format="url"),
        CredentialField("NOTE", public=True),
    ),
    address_fields=("URL",),
    base_url="https://api.example.com/v1",
)
OPEN = replace(SPEC, id="open", keeps_unknown_fields=True, accepts_managed=False, aliases={"OLD_KEY": "KEY"})
STORED = ModelProvider(
    "example",
    id="provider_1",
    enabled=True,
    credentials=Credentials({"KEY": "k-1", "SECOND": "s-1", "NOTE": "n"}),
    custom_models=(CustomModel("m", "M", "chat"),),
    extra_headers=(ExtraHeader("X-A", "a-1"), ExtraHeader("X-B", "b-1")),
    version=3,
    revision=7,
)


def put(provider: ModelProvider, keys: dict[str, object] | None = None, spec: ProviderSpec = SPEC, **fields: object) -> ModelProvider:
    given = {} if keys is None else {"custom_keys": keys}
    return provider.updated(ModelProviderUpdate(enabled=True, **given, **fields), spec)  # type: ignore[arg-type]


def opened(provider: ModelProvider) -> dict[str, object]:
    return provider.credentials.opened()


def refusal(provider: ModelProvider, keys: dict[str, object] | None = None, spec: ProviderSpec = SPEC, **fields: object) -> Error:
    with pytest.raises(Error) as refused:
        put(provider, keys, spec, **fields)
    return refused.value


def test_fields_left_out_change_nothing() -> None:
    assert put(STORED) == STORED


def test_a_new_provider_begins_with_nothing() -> None:
    created = put(ModelProvider("example"))
    assert (opened(created), created.custom_models, created.extra_headers) == ({}, (), ())


def test_mask_keeps_the_stored_value() -> None:
    assert opened(put(STORED, {"KEY": MASK, "NOTE": "n"})) == opened(STORED)


@pytest.mark.parametrize("stored", [ModelProvider("example"), STORED], ids=["create", "update"])
def test_mask_of_a_field_that_is_not_stored_is_dropped(stored: ModelProvider) -> None:
    assert "URL" not in put(stored, {"KEY": "k-2", "URL": MASK, "NOTE": "n"}).credentials


def test_mask_around_which_a_trimmed_field_has_blanks_is_still_the_mask() -> None:
    spec = replace(SPEC, fields=(CredentialField("KEY"), CredentialField("PLACE", public=True, trimmed=True)), address_fields=())
    stored = put(ModelProvider("example"), {"KEY": "k", "PLACE": " here "}, spec)
    assert opened(put(stored, {"PLACE": f" {MASK}\n"}, spec))["PLACE"] == "here"
    assert "PLACE" not in put(ModelProvider("example"), {"KEY": "k", "PLACE": f" {MASK}\n"}, spec).credentials


def test_a_mask_with_blanks_around_it_is_not_a_secret_that_was_sent_again() -> None:
    spec = replace(SPEC, fields=(CredentialField("KEY", trimmed=True), *SPEC.fields[1:]))
    stored = put(ModelProvider("example"), {"KEY": " k ", "SECOND": "s"}, spec)
    error = refusal(stored, {"KEY": f" {MASK}\n", "SECOND": "s-2", "URL": "https://elsewhere.example"}, spec)
    assert (error.code, error.details["fields"]) == (Code.ENDPOINT_CHANGED, ["customKeys.KEY"])
    unreadable = replace(stored, credentials=Credentials.unreadable(("KEY",)))
    assert refusal(unreadable, {"KEY": f" {MASK}"}, spec).code is Code.CREDENTIALS_UNREADABLE


def test_any_other_value_replaces() -> None:
    assert opened(put(STORED, {"KEY": "k-2"}))["KEY"] == "k-2"


def test_empty_string_clears() -> None:
    assert "SECOND" not in put(STORED, {"SECOND": ""}).credentials


def test_secret_that_is_not_named_is_kept_and_public_field_is_dropped() -> None:
    assert opened(put(STORED, {"KEY": "k-2"})) == {"KEY": "k-2", "SECOND": "s-1"}


def test_rules_hold_for_the_result_of_the_merge() -> None:
    spec = replace(SPEC, fields=(CredentialField("KEY", required=True), CredentialField("NOTE", public=True)), address_fields=())
    assert opened(put(STORED, {"NOTE": "new"}, spec))["KEY"] == "k-1"
    assert refusal(ModelProvider("example"), {"NOTE": "new"}, spec).code is Code.INVALID_API_KEY_CONFIGURATION
    assert refusal(STORED, {"KEY": ""}, spec).details["fields"] == ["customKeys.KEY"]


def test_unknown_fields_are_dropped() -> None:
    assert "FOREIGN" not in put(STORED, {"KEY": "k-2", "FOREIGN": "x"}).credentials


def test_unknown_fields_are_kept_where_the_provider_keeps_them() -> None:
    stored = put(ModelProvider("open"), {"KEY": "k", "FOREIGN": {"deep": [1, None]}, "NOTHING": None}, OPEN)
    assert opened(stored) == {"KEY": "k", "FOREIGN": {"deep": [1, None]}}


def test_alias_is_stored_under_the_providers_own_name() -> None:
    assert opened(put(ModelProvider("open"), {"OLD_KEY": "k"}, OPEN)) == {"KEY": "k"}
    assert opened(put(ModelProvider("open"), {"OLD_KEY": "k", "KEY": "wins"}, OPEN)) == {"KEY": "wins"}


def test_dropped_null_does_not_take_the_alias_with_it() -> None:
    assert opened(put(ModelProvider("open"), {"KEY": None, "OLD_KEY": "k"}, OPEN)) == {"KEY": "k"}


@pytest.mark.parametrize(("before", "after"), [(1, True), (True, 1), (0, False), (1, 1.0), ([1], [True]), ({"a": 0}, {"a": False})])
def test_json_values_of_another_type_replace(before: object, after: object) -> None:
    stored = put(ModelProvider("open"), {"KEY": "k", "FOREIGN": before}, OPEN)
    changed = put(stored, {"FOREIGN": after}, OPEN)
    assert repr(opened(changed)["FOREIGN"]) == repr(after)
    assert changed.credentials != stored.credentials


@pytest.mark.parametrize("keys", [{}, {"FOREIGN": "x"}])
def test_keys_that_name_no_field_would_lose_what_is_stored(keys: dict[str, object]) -> None:
    assert refusal(STORED, keys).code is Code.CREDENTIALS_WOULD_BE_LOST
    assert opened(put(ModelProvider("example"), keys)) == {}


UNREADABLE = replace(STORED, credentials=Credentials.unreadable(("KEY", "NOTE")))


@pytest.mark.parametrize("keys", [{"KEY": MASK}, {"KEY": " "}, {"KEY": ""}, {"NOTE": "new"}, {"KEY": MASK, "NOTE": "new"}])
def test_unreadable_keys_are_not_overwritten_by_accident(keys: dict[str, object]) -> None:
    assert refusal(UNREADABLE, keys).code is Code.CREDENTIALS_UNREADABLE


def test_unreadable_keys_stay_while_nothing_is_said_of_them() -> None:
    assert put(UNREADABLE).credentials == UNREADABLE.credentials


def test_a_real_secret_replaces_unreadable_keys() -> None:
    alone = replace(UNREADABLE, extra_headers=())
    assert opened(put(alone, {"KEY": "k-2"})) == {"KEY": "k-2"}


def test_unreadable_keys_are_not_those_that_were_there() -> None:
    unreadable, readable = Credentials.unreadable(("KEY",)), Credentials({"KEY": "k"})
    assert unreadable != readable
    assert readable != unreadable


def test_where_the_address_is_fixed_unreadable_keys_are_replaced_without_the_headers() -> None:
    fixed = replace(SPEC, fields=SPEC.fields[:2], address_fields=())
    after = put(UNREADABLE, {"KEY": "k-2"}, fixed, extra_headers=header_list(("X-A", MASK), ("X-B", MASK)))
    assert (opened(after), after.extra_headers) == ({"KEY": "k-2"}, UNREADABLE.extra_headers)
    assert refusal(UNREADABLE, {"KEY": "k-2"}).details["fields"] == ["extraHeaders.0.value", "extraHeaders.1.value"]


def test_new_origin_asks_for_each_stored_secret_and_header_again() -> None:
    error = refusal(STORED, {"URL": "https://elsewhere.example/v1"})
    assert error.code is Code.ENDPOINT_CHANGED
    assert error.details["fields"] == ["customKeys.KEY", "customKeys.SECOND", "extraHeaders.0.value", "extraHeaders.1.value"]


def test_headers_to_send_again_are_named_by_their_place_in_the_request() -> None:
    unknown, sent, masked = ("X-C", MASK), ("X-D", "d"), ("X-B", MASK)
    given = header_list(("X-A", ""), unknown, sent, masked)
    error = refusal(STORED, {"URL": "https://elsewhere.example", "KEY": "k-2", "SECOND": ""}, extra_headers=given)
    assert error.details["fields"] == ["extraHeaders.3.value"]


def test_new_origin_is_taken_with_everything_sent_again_or_cleared() -> None:
    headers = (ExtraHeader("X-A", "a-2"),)
    after = put(STORED, {"URL": "https://elsewhere.example", "KEY": "k-2", "SECOND": ""}, extra_headers=headers)
    assert (opened(after), after.extra_headers) == ({"KEY": "k-2", "URL": "https://elsewhere.example"}, headers)


@pytest.mark.parametrize("url", ["https://API.example.com:443/v2", "https://api.example.com./v1"])
def test_same_origin_spelt_otherwise_is_no_change(url: str) -> None:
    assert opened(put(STORED, {"URL": url}))["KEY"] == "k-1"


@pytest.mark.parametrize("url", ["http://api.example.com/v1", "https://api.example.com:8443/v1", "https://api.example.com.evil.example/"])
def test_scheme_port_and_host_are_the_origin(url: str) -> None:
    assert refusal(STORED, {"URL": url}).code is Code.ENDPOINT_CHANGED


def test_first_address_counts_as_a_change_when_secrets_are_stored() -> None:
    nowhere = replace(SPEC, base_url=None)
    assert refusal(STORED, {"URL": "https://elsewhere.example"}, nowhere).code is Code.ENDPOINT_CHANGED
    assert opened(put(ModelProvider("example"), {"URL": "https://elsewhere.example", "KEY": "k"}, nowhere))["KEY"] == "k"


def test_clearing_the_address_sends_nothing_anywhere_else() -> None:
    elsewhere = replace(STORED, credentials=Credentials({"KEY": "k-1", "URL": "https://elsewhere.example"}), extra_headers=())
    assert refusal(elsewhere, {"KEY": MASK}).code is Code.ENDPOINT_CHANGED
    assert opened(put(elsewhere, {"KEY": MASK}, replace(SPEC, base_url=None))) == {"KEY": "k-1"}


def test_the_setting_lets_secrets_go_along() -> None:
    update = ModelProviderUpdate(enabled=True, custom_keys={"URL": "https://elsewhere.example"})
    assert STORED.updated(update, SPEC, keep_secrets_on_endpoint_change=True).credentials.get("KEY") == "k-1"


def test_header_values_belong_to_the_address_they_were_given_for() -> None:
    headers = header_list(("X-A", "a-1"))
    own = put(ModelProvider("example"), {"KEY": "k"}, extra_headers=headers)
    assert own.headers_for == ""
    spelt = put(own, {"KEY": MASK, "URL": "https://API.example.com.:443/v2"})
    assert spelt.headers_for == "https://api.example.com:443"
    assert put(spelt, {"KEY": MASK}).headers_for == ""
    moved = put(own, {"KEY": "k", "URL": "http://elsewhere.example/v1"}, extra_headers=headers)
    assert moved.headers_for == "http://elsewhere.example:80"
    assert put(moved).headers_for == put(moved, extra_headers=header_list(("X-A", MASK), ("X-B", "b"))).headers_for == moved.headers_for
    update = ModelProviderUpdate(enabled=True, custom_keys={"URL": "https://third.example"})
    assert moved.updated(update, SPEC, keep_secrets_on_endpoint_change=True).headers_for == "https://third.example:443"


def test_header_values_stay_with_a_stored_address_whatever_a_later_release_calls_the_providers_own() -> None:
    """The provider's own address is stored by whoever types it, and may be another one in the next release's data file."""
    headers = header_list(("X-A", "a-1"))
    typed = {"KEY": "k", "URL": "https://api.example.com/v1"}
    later = replace(SPEC, base_url="https://new.example.com/v1")
    for before, after in ((SPEC, later), (later, SPEC)):
        stored = put(ModelProvider("example", id="provider_1"), typed, before, extra_headers=headers)
        stored.require_readable(after)
        masked = header_list(("X-A", MASK))
        assert put(stored, {**typed, "KEY": MASK}, after, extra_headers=masked).extra_headers == headers
        put(stored, extra_headers=header_list(("X-B", "b"), ("X-A", MASK)), spec=after).require_readable(after)
    own = put(ModelProvider("example", id="provider_1"), {"KEY": "k"}, extra_headers=headers)
    own.require_readable(later)
    assert put(own, {"KEY": MASK}, later, extra_headers=header_list(("X-A", MASK))) == own


def test_header_values_whose_address_is_cleared_belong_to_it_still() -> None:
    nowhere = replace(SPEC, base_url=None)
    headers, address = header_list(("X-A", "a-1")), {"KEY": "k", "URL": "https://a.example"}
    stored = put(ModelProvider("example"), address, nowhere, extra_headers=headers)
    cleared = put(stored, {"KEY": MASK}, nowhere)
    assert (cleared.headers_for, cleared.extra_headers) == ("https://a.example:443", headers)
    cleared.require_readable(nowhere)
    assert refusal(cleared, address, nowhere).details["fields"] == ["extraHeaders.0.value"]
    assert put(cleared, address, nowhere, extra_headers=headers).headers_for == "https://a.example:443"


@pytest.mark.parametrize("url", ["https://user@elsewhere.example", "https://a\\b", "https://a b", "//a", "ftp://a", "https://a\x00b"])
def test_addresses_that_can_be_read_in_two_ways_are_refused(url: str) -> None:
    error = refusal(ModelProvider("example"), {"KEY": "k", "URL": url})
    assert (error.code, error.details["fields"]) == (Code.INVALID_API_KEY_CONFIGURATION, ["customKeys.URL"])
    assert url not in str(error.details) + error.message


def test_in_use_is_the_first_stored_address() -> None:
    spec = replace(SPEC, fields=(*SPEC.fields, CredentialField("GATEWAY", public=True, format="url")), address_fields=("GATEWAY", "URL"))
    stored = put(ModelProvider("example"), {"KEY": "k", "URL": "https://a.example"}, spec)
    assert refusal(stored, {"URL": "https://a.example", "GATEWAY": "https://b.example"}, spec).code is Code.ENDPOINT_CHANGED
    gateway = put(stored, {"URL": "https://a.example", "GATEWAY": "https://b.example", "KEY": "k"}, spec)
    assert put(gateway, {"URL": "https://c.example", "GATEWAY": "https://b.example"}, spec).credentials.get("KEY") == "k"


def header_list(*pairs: tuple[str, str]) -> tuple[ExtraHeader, ...]:
    return tuple(ExtraHeader(name, value) for name, value in pairs)


@pytest.mark.parametrize(
    ("stored", "given", "after"),
    [
        ([("A", "1"), ("B", "2")], [("b", MASK), ("a", MASK)], [("b", "2"), ("a", "1")]),
        ([("A", "1"), ("A", "2")], [("a", MASK), ("a", MASK), ("a", MASK)], [("a", "1"), ("a", "2")]),
        ([("A", "1"), ("A", "2")], [("A", "new"), ("A", MASK)], [("A", "new"), ("A", "2")]),
        ([("A", "1"), ("B", "2")], [("Renamed", MASK), ("B", MASK)], [("Renamed", "1"), ("B", "2")]),
        ([("A", "1"), ("B", "2")], [("B", MASK), ("New", MASK)], [("B", "2")]),
        ([("A", "1")], [], []),
        ([], [("A", MASK)], []),
    ],
    ids=["name without case", "k-th of a name", "literal counts", "rename", "neighbour in the request", "removed", "nothing stored"],
)
def test_masked_header_values_come_back_by_the_rule(
    stored: list[tuple[str, str]], given: list[tuple[str, str]], after: list[tuple[str, str]]
) -> None:
    before = replace(STORED, extra_headers=header_list(*stored))
    assert put(before, extra_headers=header_list(*given)).extra_headers == header_list(*after)


@pytest.mark.parametrize(
    "fields",
    [
        {"custom_keys": {"KEY": "k"}},
        {"custom_models": STORED.custom_models},
        {"custom_embeddings_models": STORED.custom_models},
        {"extra_headers": STORED.extra_headers},
    ],
    ids=lambda fields: next(iter(fields)),
)
def test_what_is_switched_off_and_holds_something_says_something(fields: dict[str, Any]) -> None:
    assert ModelProvider("example").updated(ModelProviderUpdate(enabled=False), SPEC).says_nothing
    assert not ModelProvider("example").updated(ModelProviderUpdate(enabled=False, **fields), SPEC).says_nothing


def test_unreadable_headers_are_not_overwritten_by_accident() -> None:
    unreadable = replace(STORED, extra_headers=(ExtraHeader("X-A", None), ExtraHeader("X-B", None)))
    assert put(unreadable, extra_headers=header_list(("X-A", MASK), ("X-B", MASK))) == unreadable
    assert refusal(unreadable, extra_headers=header_list(("X-A", MASK))).code is Code.CREDENTIALS_UNREADABLE
    assert put(unreadable, extra_headers=header_list(("X-A", "new"))).extra_headers == header_list(("X-A", "new"))


def test_lists_replace_and_an_empty_one_clears() -> None:
    assert put(STORED, custom_models=()).custom_models == ()
    assert put(STORED, custom_models=(CustomModel("n", "N", "chat"),)).custom_models == (CustomModel("n", "N", "chat"),)


def test_values_of_known_fields_are_strings() -> None:
    error = refusal(ModelProvider("example"), {"KEY": 7, "SECOND": None})
    assert (error.code, error.details["fields"]) == (Code.INVALID_API_KEY_CONFIGURATION, ["customKeys.KEY", "customKeys.SECOND"])


def test_a_hundred_fields_are_kept_and_one_more_is_refused() -> None:
    fields: dict[str, object] = {f"F{number:03}": "v" for number in range(100)}
    assert len(opened(put(ModelProvider("open"), fields, OPEN))) == 100
    assert refusal(ModelProvider("open"), fields | {"F100": "v"}, OPEN).details["fields"] == ["customKeys.F100"]


def test_an_address_below_a_fixed_host_is_https_and_really_below_it() -> None:
    field = CredentialField("URL", public=True, format="url", host_suffix="example.com")
    spec = replace(SPEC, fields=(field,), base_url=None)
    for url in ("https://example.com", "https://eu.example.com/v1"):
        assert opened(put(ModelProvider("example"), {"URL": url}, spec)) == {"URL": url}
    for url in ("https://notexample.com", "https://example.com.evil.example", "http://eu.example.com"):
        assert refusal(ModelProvider("example"), {"URL": url}, spec).details["fields"] == ["customKeys.URL"]


@pytest.mark.parametrize("text", ["{", "[]", "[" * 100_000])
def test_a_key_file_that_is_none_is_refused(text: str) -> None:
    spec = replace(SPEC, fields=(CredentialField("FILE", format="json_object"),), address_fields=())
    assert refusal(ModelProvider("example"), {"FILE": text}, spec).details["fields"] == ["customKeys.FILE"]
    assert opened(put(ModelProvider("example"), {"FILE": "{}"}, spec)) == {"FILE": "{}"}


def test_managed_alone_satisfies_the_rules() -> None:
    spec = replace(SPEC, fields=(CredentialField("KEY", required=True),), at_least_one=("KEY",), address_fields=())
    assert opened(put(ModelProvider("example"), {"MANAGED": "yes"}, spec)) == {"MANAGED": "yes"}
    keeper = replace(spec, accepts_managed=False, keeps_unknown_fields=True)
    assert refusal(ModelProvider("example"), {"MANAGED": "yes"}, keeper).code is Code.INVALID_API_KEY_CONFIGURATION
    assert refusal(ModelProvider("example"), {"MANAGED": " "}, spec).code is Code.INVALID_API_KEY_CONFIGURATION


def test_deprecated_provider_can_be_edited_but_not_added() -> None:
    spec = replace(SPEC, deprecated=True)
    assert refusal(ModelProvider("example"), spec=spec).code is Code.PROVIDER_DEPRECATED
    assert put(STORED, spec=spec) == STORED


def test_nothing_of_an_update_is_printed() -> None:
    update = ModelProviderUpdate(enabled=True, custom_keys={"KEY": "s3cret"}, extra_headers=header_list(("A", "s3cret")))
    assert "s3cret" not in repr(update) + repr(update.extra_headers) + repr(STORED) + f"{Credentials({'KEY': 's3cret'})}"


def test_blank_values_read_back_as_absent() -> None:
    spec = replace(SPEC, fields=(CredentialField("KEY"), CredentialField("PLAN", may_be_blank=True)), address_fields=())
    stored = put(ModelProvider("example"), {"KEY": "k", "PLAN": ""}, spec)
    assert opened(stored) == {"KEY": "k", "PLAN": ""}
    assert stored.credentials.masked(spec) == {"KEY": MASK}
