"""Bodies that a caller could send, made from what the registry knows of a provider."""

from typing import Any

from hypothesis import strategies as st

from keyhouse.catalog.catalog import load_catalog
from keyhouse.domain.credentials import MASK
from keyhouse.domain.provider_spec import CredentialField, ProviderSpec

CATALOG = load_catalog()
SPECS = list(CATALOG.providers.values())
USABLE = [spec for spec in SPECS if not spec.deprecated]
CHOSEN = USABLE + [spec for spec in USABLE if len(spec.fields) > 2] * 4
"""What has many fields has more to go wrong."""

Body = dict[str, Any]


def valid_value(field: CredentialField, number: int = 0) -> str:
    """A value that a field takes; of another number, another value."""
    if field.format == "url":
        return f"https://n{number}.{field.host_suffix or 'example.com'}/v1"
    if field.format == "json_object":
        return f'{{"type": "service_account", "number": {number}}}'
    return f"{field.name.lower()}-{number}"


def valid_credentials(spec: ProviderSpec, number: int = 0) -> dict[str, str]:
    """Credentials that satisfy every rule of a provider, each of its own fields given."""
    return {field.name: valid_value(field, number) for field in spec.fields}


def values(field: CredentialField) -> st.SearchStrategy[object]:
    # An address that changes all the time would have most changes refused.
    numbers = st.sampled_from([0, 0, 0, 0, 1]) if field.format == "url" else st.integers(0, 2)
    valid = numbers.map(lambda number: valid_value(field, number))
    odd = st.sampled_from(["", "", " ", f" {MASK} ", f"{MASK}{MASK}", "HAS_KEY", 7, None])
    return st.integers(0, 11).flatmap(lambda choice: odd if choice == 0 else st.just(MASK) if choice < 5 else valid)


def custom_keys(spec: ProviderSpec) -> st.SearchStrategy[dict[str, object]]:
    known = {field.name: values(field) for field in spec.all_fields}
    further: dict[str, st.SearchStrategy[object]] = {
        "FOREIGN": st.sampled_from([MASK, "", "f-1", "f-2", 1, True, {"deep": [MASK, 1]}, None]),
        **{alias: st.sampled_from([MASK, "", "alias-1"]) for alias in spec.aliases},
    }
    some = st.fixed_dictionaries({}, optional={**known, **further})
    return st.one_of(some, some.map(lambda given: {**valid_credentials(spec), **given}))


def models() -> st.SearchStrategy[object]:
    ids = st.lists(st.sampled_from(["m", "org/m:1", "a.b", "\u0000"]), unique=True, max_size=3)
    described = st.fixed_dictionaries(
        {"displayName": st.sampled_from(["M", MASK]), "mode": st.sampled_from(["chat", "embedding"])},
        optional={
            "maxTokens": st.sampled_from([None, 1, 1.5, 4096.0, 2**53 - 1]),
            "supportedParameters": st.lists(st.sampled_from(["temperature", "seed"]), max_size=2),
            "multimodalInputs": st.lists(st.sampled_from(["image", "audio"]), max_size=2),
        },
    )
    return st.one_of(
        ids,
        ids.flatmap(lambda names: st.tuples(*(described.map(lambda model, n=name: {"modelId": n, **model}) for name in names)).map(list)),
    )


def headers() -> st.SearchStrategy[list[dict[str, str]]]:
    return st.lists(
        st.fixed_dictionaries(
            {"key": st.sampled_from(["X-A", "x-a", "X-B", "X-C"]), "value": st.sampled_from([MASK, MASK, "v-1", "v-2", ""])}
        ),
        max_size=4,
    )


def bodies(spec: ProviderSpec) -> st.SearchStrategy[Body]:
    """Bodies of a PUT that its schema takes; the rules may still refuse them."""
    return st.fixed_dictionaries(
        {"enabled": st.booleans()},
        optional={
            "customKeys": custom_keys(spec),
            "customModels": models(),
            "customEmbeddingsModels": models(),
            "extraHeaders": headers(),
            "defaultModel": st.sampled_from(["", "m", f"{spec.id}/m"]),
        },
    )
