"""The quick way to read a PUT's body: what it takes means what it means by the schema, and what the schema refuses it never takes."""

import json
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from keyhouse.domain.errors import Error
from keyhouse.domain.model_provider import ModelProviderUpdate
from keyhouse.web.control.quick_body import quick_body
from keyhouse.web.control.routing import _decoded, validated
from keyhouse.web.control.schemas import ModelProviderBody, problems, to_update
from tests.laws.examples import CATALOG, bodies

# Every value that any field may have, in any field's place.
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-1, 3)
    | st.sampled_from([2**53 - 1, 2**53, 2**64, 2**100, 0.5, 1.0, 1e308, -0.0])
    | st.sampled_from(["", "a", "chat", "embedding", "image", "top_p", "\ud800", "\0", "é", "HAS_KEY" + "\u2022" * 24]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["modelId", "displayName", "mode", "key", "value"]), inner),
    max_leaves=6,
)
MODELS = st.lists(
    st.sampled_from(["", "a", "b"])
    | st.fixed_dictionaries(
        {
            "modelId": st.sampled_from(["a", "b", ""]),
            "displayName": st.sampled_from(["A", ""]),
            "mode": st.sampled_from(["chat", "embedding"]),
        },
        optional={"maxTokens": VALUES, "supportedParameters": VALUES, "multimodalInputs": VALUES, "more": VALUES},
    ),
    max_size=3,
)
FIELDS = {
    "customKeys": st.dictionaries(st.sampled_from(["OPENAI_API_KEY", "x"]), VALUES, max_size=2) | VALUES,
    "customModels": MODELS | VALUES,
    "customEmbeddingsModels": MODELS | VALUES,
    "extraHeaders": st.lists(st.fixed_dictionaries({"key": VALUES, "value": VALUES}, optional={"more": VALUES}), max_size=2) | VALUES,
    "defaultModel": VALUES,
    "more": VALUES,
}
ODD_BODIES = st.fixed_dictionaries({"enabled": st.booleans() | VALUES}, optional=FIELDS) | VALUES


def by_schema(text: bytes) -> ModelProviderUpdate:
    return to_update(validated(ModelProviderBody, problems, _decoded(text)))


def require_the_same(text: bytes) -> bool:
    """Whether the quick way took it."""
    quick: Any = quick_body(text)
    if quick is None:
        return False
    try:
        expected = by_schema(text)
    except Error:
        assert problems(quick)
        return True
    assert not problems(quick)
    update = to_update(quick)
    assert update == expected
    assert json.dumps(update.custom_keys, default=str) == json.dumps(expected.custom_keys, default=str)
    return True


@given(body=ODD_BODIES)
@settings(max_examples=1500, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@example({"enabled": True, "customModels": ["a", {"modelId": "b", "displayName": "B", "mode": "chat"}]})
@example({"enabled": True, "customModels": [{"modelId": "b", "displayName": "B", "mode": "chat", "maxTokens": 1.0}]})
@example({"enabled": True, "customModels": [{"modelId": "b", "displayName": "B", "mode": "chat", "maxTokens": True}]})
@example({"enabled": True, "customModels": ["a", "a"]})
def test_what_it_takes_means_the_same_by_the_schema(body: object) -> None:
    require_the_same(json.dumps(body).encode())


@pytest.mark.parametrize(
    "text", [b'{"enabled":true,"enabled":1}', b'{"enabled":1,"enabled":true}', b'{"enabled":true,"x":"\xff"}', b"", b"[]"]
)
def test_text_that_is_odd_by_itself(text: bytes) -> None:
    require_the_same(text)


def test_it_takes_what_callers_send() -> None:
    model = {"modelId": "a", "displayName": "A", "mode": "chat", "maxTokens": 4096, "multimodalInputs": ["image"]}
    lists = {"customModels": [model], "customEmbeddingsModels": ["b", "c"], "extraHeaders": [{"key": "X-Team", "value": "a"}]}
    body = {"enabled": True, "customKeys": {"OPENAI_API_KEY": "sk-1"}, **lists, "defaultModel": "a"}
    for left_out in body.keys() - {"enabled"}:
        assert require_the_same(json.dumps({name: value for name, value in body.items() if name != left_out}).encode())


@given(data=st.data(), provider=st.sampled_from(sorted(CATALOG.providers)))
@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_what_every_provider_is_sent_means_the_same(data: st.DataObject, provider: str) -> None:
    require_the_same(json.dumps(data.draw(bodies(CATALOG.providers[provider]))).encode())


def test_it_prints_nothing_of_a_body() -> None:
    headers = [{"key": "X-Team", "value": "sk-planted"}]
    found: Any = quick_body(json.dumps({"enabled": True, "customKeys": {"OPENAI_API_KEY": "sk-planted"}, "extraHeaders": headers}).encode())
    assert "sk-planted" not in repr(found) + repr(found.extraHeaders)
