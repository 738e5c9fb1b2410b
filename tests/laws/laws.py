"""What must hold of a provider before and after a PUT, whoever carries it out."""

from typing import Any

from keyhouse.domain.credentials import MASK
from keyhouse.domain.model_provider import ModelProvider
from keyhouse.domain.provider_spec import ProviderSpec
from tests.laws.examples import Body


def content(provider: ModelProvider) -> dict[str, Any]:
    """What a provider holds, by the names of the PUT's fields; nothing of its numbers."""
    return {
        "enabled": provider.enabled,
        "customKeys": provider.credentials.opened(),
        "customModels": provider.custom_models,
        "customEmbeddingsModels": provider.custom_embeddings_models,
        "extraHeaders": [(header.name, header.value) for header in provider.extra_headers],
    }


def without_nulls(entry: Body) -> Body:
    """What a caller sends back of what it was shown."""
    return {name: value for name, value in entry.items() if value is not None}


def require_lawful(spec: ProviderSpec, body: Body, before: ModelProvider, after: ModelProvider) -> None:
    """Raise AssertionError where a PUT that went through broke a law."""
    old, new = content(before), content(after)
    assert {name: new[name] for name in new if name not in body} == {name: old[name] for name in old if name not in body}
    given = named_fields(body, spec)
    for name, value in before.credentials.opened().items():
        if not spec.is_public(name) and given.get(name, MASK) == MASK:
            assert after.credentials.get(name) == value
    for name, value in given.items():
        assert repr(after.credentials.get(name)) == repr(as_named(name, value, before, spec))
    if "extraHeaders" in body:
        assert new["extraHeaders"] == restored(body["extraHeaders"], old["extraHeaders"])
    require_no_mask(after)


def require_no_mask(provider: ModelProvider) -> None:
    """Raise AssertionError where a mask was taken for a value."""
    assert MASK not in provider.credentials.opened().values()
    assert MASK not in [header.value for header in provider.extra_headers]


def named_fields(body: Body, spec: ProviderSpec) -> dict[str, object]:
    """What a body says of each field, under the provider's own name; a null says nothing."""
    given = {name: value for name, value in body.get("customKeys", {}).items() if value is not None}
    return {name: given.pop(alias) for alias, name in spec.aliases.items() if alias in given} | given


def as_named(name: str, value: object, before: ModelProvider, spec: ProviderSpec) -> object:
    """What a field holds after an edit that named it."""
    field = spec.field_named(name)
    text = str(value).strip() if field is not None and field.trimmed else value
    if text == MASK:
        return before.credentials.get(name)
    if not spec.is_known(name) or (text == "" and not (field and field.may_be_blank)):
        return None
    return text


def restored(given: list[dict[str, str]], stored: list[tuple[str, str]]) -> list[tuple[str, str]]:
    """The contract's rule for masked headers, once more and straight."""
    after = []
    for position, header in enumerate(given):
        name = header["key"]
        nth = [other["key"].lower() for other in given[:position]].count(name.lower())
        same = [value for stored_name, value in stored if stored_name.lower() == name.lower()]
        renamed = position < len(stored) and stored[position][0].lower() not in [other["key"].lower() for other in given]
        if header["value"] != MASK:
            after.append((name, header["value"]))
        elif nth < len(same):
            after.append((name, same[nth]))
        elif renamed:
            after.append((name, stored[position][1]))
    return after
