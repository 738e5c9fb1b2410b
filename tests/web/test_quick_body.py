"""The quick way to read a PUT's body: what it takes means what it means by the schema, and what the schema refuses it never takes."""

import json

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from keyhouse.domain.model import CustomModel
from keyhouse.domain.model_provider import ABSENT, ModelProvider, ModelProviderUpdate
from keyhouse.web.control.quick_body import quick_body
from keyhouse.web.control.routing import _decoded, validated
from keyhouse.web.control.schemas import EntryEncoder, ModelProviderBody, problems, to_update
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
    return to_update(validated(ModelProviderBody, _decoded(text), problems))


def require_the_same(text: bytes) -> bool:
    """Whether the quick way took it, first as something new and then as what it has seen before."""
    updates = [quick_body(text), quick_body(text)]
    if updates == [None, None]:
        return False
    expected = by_schema(text)
    for update in updates:
        assert update == expected
        assert json.dumps(update.custom_keys, default=str) == json.dumps(expected.custom_keys, default=str)
    return True


@given(body=ODD_BODIES)
@settings(max_examples=1500)
@example({"enabled": True, "customModels": ["a", {"modelId": "b", "displayName": "B", "mode": "chat"}]})
@example({"enabled": True, "customModels": [{"modelId": "b", "displayName": "B", "mode": "chat", "maxTokens": 1.0}]})
@example({"enabled": True, "customModels": [{"modelId": "b", "displayName": "B", "mode": "chat", "maxTokens": True}]})
@example({"enabled": True, "customModels": ["a", "a"]})
def test_what_it_takes_means_the_same_by_the_schema(body: object) -> None:
    require_the_same(json.dumps(body).encode())


@pytest.mark.parametrize(
    "text",
    [
        b'{"enabled":true,"enabled":1}',
        b'{"enabled":1,"enabled":true}',
        b'{"enabled":true,"x":"\xff"}',
        b"",
        b"[]",
        b'{"enabled":true,"customModels":["\xff"],"customModels":["a"]}',
        b'{"enabled":true,"customModels":["\\ud800"],"customModels":["a"]}',
        b'{"enabled":true,"customModels":[1],"customModels":["a"]}',
        b'{"enabled":true,"customModels": [ "a" , "b"] }',
        b'{"enabled":true,"customModels":null}',
    ],
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
@settings(max_examples=100)
def test_what_every_provider_is_sent_means_the_same(data: st.DataObject, provider: str) -> None:
    require_the_same(json.dumps(data.draw(bodies(CATALOG.providers[provider]))).encode())


def test_it_prints_nothing_of_a_body() -> None:
    headers = [{"key": "X-Team", "value": "sk-planted"}]
    found = quick_body(json.dumps({"enabled": True, "customKeys": {"OPENAI_API_KEY": "sk-planted"}, "extraHeaders": headers}).encode())
    assert found is not None
    assert "sk-planted" not in repr(found) + repr(found.extra_headers)


def test_a_list_of_models_that_came_before_is_the_same_and_shown_the_same() -> None:
    models = [{"modelId": "a", "displayName": "A", "mode": "chat"}]
    encoder = EntryEncoder(CATALOG)
    shown = []
    for secret in ("sk-1", "sk-2"):
        body = {"enabled": True, "customKeys": {"OPENAI_API_KEY": secret}, "customModels": models, "customEmbeddingsModels": ["a"]}
        update = quick_body(json.dumps(body).encode())
        assert update is not None
        assert update.custom_models is not ABSENT
        shown.append((update.custom_models, encoder.encode_one(ModelProvider("openai", id="x", custom_models=update.custom_models))))
    assert shown[0][0] is shown[1][0]
    assert shown[0] == shown[1]
    assert json.loads(shown[0][1])["customModels"] == models


def test_a_list_may_mean_chat_in_one_field_and_embedding_in_the_other() -> None:
    update = quick_body(b'{"enabled":true,"customModels":["a"],"customEmbeddingsModels":["a"]}')
    assert update is not None
    assert update.custom_models == (CustomModel("a", "a", "chat"),)
    assert update.custom_embeddings_models == (CustomModel("a", "a", "embedding"),)
