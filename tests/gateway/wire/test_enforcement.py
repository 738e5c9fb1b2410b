"""What a model declares, held against requests of every endpoint."""

from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keyhouse.domain.errors import Code, Error
from keyhouse.domain.model import CustomModel, SupportedParameter
from keyhouse.gateway.wire.enforcement import SPELLINGS, enforced


def declared(**members) -> CustomModel:
    return CustomModel("our-model", "Our model", members.pop("mode", "chat"), **members)


def refused(*arguments, **members) -> Error:
    with pytest.raises(Error) as raised:
        enforced(*arguments, **members)
    return raised.value


@pytest.mark.parametrize("endpoint", ["chat", "responses", "messages", "count_tokens", "completions"])
def test_embedding_model_is_refused_on_chat(endpoint):
    error = refused(endpoint, {}, declared(mode="embedding"))
    assert (error.code, error.details["param"]) == (Code.WRONG_MODEL_MODE, "model")
    assert "our-model" in error.message


def test_chat_model_is_refused_on_embeddings():
    assert refused("embeddings", {"input": "Hi"}, declared()).code is Code.WRONG_MODEL_MODE
    assert enforced("embeddings", {"input": "Hi"}, declared(mode="embedding")).body == {"input": "Hi"}


@pytest.mark.parametrize("endpoint", ["speech", "transcription", "images", "moderations", "rerank"])
def test_other_endpoints_want_no_mode(endpoint):
    assert enforced(endpoint, {"input": "Hi"}, declared(mode="embedding")).body == {"input": "Hi"}


@pytest.mark.parametrize(
    ("body", "clamped", "noted"),
    [
        ({"max_tokens": 5000}, {"max_tokens": 4096}, ("max_tokens=4096",)),
        ({"max_completion_tokens": 5000}, {"max_completion_tokens": 4096}, ("max_completion_tokens=4096",)),
        ({"max_output_tokens": 5000}, {"max_output_tokens": 4096}, ("max_output_tokens=4096",)),
        (
            {"inferenceConfig": {"maxTokens": 5000, "topP": 1}},
            {"inferenceConfig": {"maxTokens": 4096, "topP": 1}},
            ("inferenceConfig.maxTokens=4096",),
        ),
        ({"max_tokens": 4096}, {"max_tokens": 4096}, ()),
        ({"max_tokens": None}, {"max_tokens": None}, ()),
        ({"max_tokens": 0}, {"max_tokens": 0}, ()),
        ({"max_tokens": -1}, {"max_tokens": 4096}, ("max_tokens=4096",)),
        ({"n_predict": 5000}, {"n_predict": 4096}, ("n_predict=4096",)),
        ({"max_tokens": 9e9}, {"max_tokens": 4096}, ("max_tokens=4096",)),
        (
            {"max_tokens": 5000, "max_completion_tokens": 6000},
            {"max_tokens": 4096, "max_completion_tokens": 4096},
            ("max_tokens=4096", "max_completion_tokens=4096"),
        ),
        ({}, {}, ()),
    ],
)
def test_limit_is_clamped_in_every_spelling(body, clamped, noted):
    result = enforced("chat", body, declared(max_tokens=4096))
    assert (result.body, result.enforced, result.dropped) == (clamped, noted, ())


@pytest.mark.parametrize("body", [{"max_tokens": "5000"}, {"max_tokens": True}, {"max_output_tokens": [1]}, {"MAX_tokens": 5000}])
def test_a_limit_that_a_lenient_server_could_read_is_refused(body):
    error = refused("chat", body, declared(max_tokens=4096))
    assert (error.code, error.details["param"]) == (Code.BAD_REQUEST, next(iter(body)).lower())
    assert enforced("chat", body, declared()).body == body


@pytest.mark.parametrize("key", ["MAX_TOKENS", "Temperature", "Reasoning_effort", "Messages", "Model", "inferenceconfig"])
@pytest.mark.parametrize("rule", [{"max_tokens": 4096}, {"supported_parameters": ("seed",)}, {"multimodal_inputs": ()}])
def test_a_key_in_other_letters_is_refused_whatever_is_declared(key, rule):
    error = refused("chat", {key: "any"}, declared(**rule))
    assert (error.code, error.details["param"]) == (Code.BAD_REQUEST, {"inferenceconfig": "inferenceConfig"}.get(key, key.lower()))


def test_thinking_budget_stays_below_a_clamped_limit():
    body = {"max_tokens": 20_000, "thinking": {"type": "enabled", "budget_tokens": 10_000}}
    result = enforced("messages", body, declared(max_tokens=4096))
    assert result.body == {"max_tokens": 4096, "thinking": {"type": "enabled", "budget_tokens": 4095}}
    assert result.enforced == ("max_tokens=4096", "thinking.budget_tokens=4095")
    assert enforced("messages", body, declared(max_tokens=500)).dropped == ("thinking",)
    assert enforced("messages", body, declared(max_tokens=10_001)).body["thinking"] == body["thinking"]


def test_undeclared_means_anything_goes():
    body = {"max_tokens": 10**9, "seed": 1, "messages": [{"role": "user", "content": [{"type": "image_url"}]}]}
    assert enforced("chat", body, declared()).body is body
    assert enforced("chat", body, None).body is body


def test_every_parameter_that_can_be_declared_is_looked_for():
    assert set(SPELLINGS) == set(get_args(SupportedParameter))


@pytest.mark.parametrize(
    ("parameter", "spelling"), [(parameter, spelling) for parameter, spellings in SPELLINGS.items() for spelling in spellings]
)
def test_unsupported_parameters_are_dropped_in_every_spelling(parameter, spelling):
    body: dict = {"model": "m"}
    at = body
    *outer, last = spelling.split(".")
    for name in outer:
        at = at.setdefault(name, {})
    at[last] = 1
    others = tuple(other for other in SPELLINGS if other != parameter)
    result = enforced("chat", body, declared(supported_parameters=others))
    assert (result.body, result.dropped) == ({"model": "m"}, (spelling,))
    assert enforced("chat", body, declared(supported_parameters=(parameter,))).body is body
    assert refused("chat", {**body, "drop_tuning_params": False}, declared(supported_parameters=others)).details["param"] == spelling


def test_no_parameters_declared_means_none_but_the_limit_that_messages_needs():
    body = {"max_tokens": 10, "temperature": 0.5, "messages": []}
    result = enforced("messages", body, declared(supported_parameters=()))
    assert (result.body, result.dropped) == ({"max_tokens": 10, "messages": []}, ("temperature",))
    assert enforced("chat", body, declared(supported_parameters=())).body == {"messages": []}


def test_other_members_of_an_object_stay():
    body = {"output_config": {"effort": "low", "format": {"type": "json_schema"}}}
    assert enforced("messages", body, declared(supported_parameters=())).body == {"output_config": {"format": {"type": "json_schema"}}}


def user(*parts):
    return {"messages": [{"role": "user", "content": list(parts)}]}


INPUTS = [
    ("image", user({"type": "image_url", "image_url": {"url": "u"}})),
    ("file", user({"type": "text", "text": "a"}, {"type": "file", "file": {}})),
    ("audio", user({"type": "input_audio", "input_audio": {}})),
    ("image", user({"type": "image", "source": {"type": "url", "url": "u"}})),
    ("file", user({"type": "document", "source": {"type": "url", "url": "u"}})),
    ("image", user({"type": "tool_result", "tool_use_id": "t", "content": [{"type": "image", "source": {}}]})),
    ("image", {"input": [{"role": "user", "content": [{"type": "input_image", "image_url": "u"}]}]}),
    ("file", {"input": [{"type": "message", "role": "user", "content": [{"type": "input_file", "file_id": "f"}]}]}),
    ("image", {"input": [{"type": "function_call_output", "call_id": "c", "output": [{"type": "input_image"}]}]}),
    ("image", user({"image": {"format": "png", "source": {"bytes": "aGk="}}})),
    ("file", user({"document": {"format": "pdf", "source": {"bytes": "aGk="}}})),
    ("audio", user({"audio": {"format": "wav", "source": {"bytes": "aGk="}}})),
    ("image", user({"image_url": {"url": "u"}})),
    ("audio", user({"type": "audio_url", "audio_url": {"url": "u"}})),
    ("file", user({"type": "video_url", "video_url": {"url": "u"}})),
    ("file", user({"video": {"format": "mp4", "source": {"bytes": "aGk="}}})),
    ("image", user({"type": "image_embeds", "image_embeds": "aGk="})),
    ("image", user({"toolResult": {"toolUseId": "t", "content": [{"image": {"format": "png"}}]}})),
]


@pytest.mark.parametrize(("kind", "body"), INPUTS)
def test_inputs_that_are_not_declared_are_refused(kind, body):
    others = tuple(other for other in ("image", "file", "audio") if other != kind)
    error = refused("chat", body, declared(multimodal_inputs=()))
    assert error.code is Code.UNSUPPORTED_INPUT
    assert error.message == f"our-model is declared to take text only, not {kind}."
    assert refused("chat", body, declared(multimodal_inputs=others)).code is Code.UNSUPPORTED_INPUT
    assert enforced("chat", body, declared(multimodal_inputs=(kind,))).body is body


def test_image_inside_a_document_is_seen():
    body = user({"type": "document", "source": {"type": "content", "content": [{"type": "image", "source": {}}]}})
    assert refused("messages", body, declared(multimodal_inputs=("file",))).code is Code.UNSUPPORTED_INPUT


@pytest.mark.parametrize(
    "body",
    [
        {"messages": [{"role": "user", "content": "an image"}]},
        {"messages": [{"role": "tool", "content": [{"type": "text", "text": "image"}]}]},
        {"messages": [{"role": "assistant", "tool_calls": [{"type": "function", "function": {"name": "image", "arguments": "{}"}}]}]},
        {"messages": [{"role": "assistant", "content": [{"type": "tool_use", "input": {"type": "image"}}]}]},
        {"input": "text"},
        {"input": ["a", "b"]},
        {"messages": None},
    ],
)
def test_text_passes_where_nothing_else_is_declared(body):
    assert enforced("chat", body, declared(multimodal_inputs=())).body is body


@pytest.mark.parametrize(
    ("given", "sent", "noted"),
    [
        (1.5, 1, ("temperature=1",)),
        (-1, 0, ("temperature=0",)),
        (0.5, 0.5, ()),
        (1, 1, ()),
        (None, None, ()),
        ("hot", "hot", ()),
        (True, True, ()),
    ],
)
def test_temperature_is_brought_into_the_range_of_the_provider(given, sent, noted):
    result = enforced("chat", {"temperature": given}, None, (0, 1))
    assert (result.body["temperature"], result.enforced) == (sent, noted)


def test_given_body_is_never_changed():
    body = {"max_tokens": 5000, "inferenceConfig": {"maxTokens": 5000}, "temperature": 3}
    enforced("chat", body, declared(max_tokens=10, supported_parameters=("max_tokens",)), (0, 1))
    assert body == {"max_tokens": 5000, "inferenceConfig": {"maxTokens": 5000}, "temperature": 3}


names = st.sampled_from(
    ["messages", "input", "content", "type", "image", "max_tokens", "temperature", "inferenceConfig", "maxTokens", "thinking", "a"]
)
values = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False), st.sampled_from(["image", "file", "x"])),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(names, inner, max_size=4)),
    max_leaves=15,
)


@given(st.dictionaries(names, values, max_size=5), st.sampled_from([None, (), ("temperature",)]), st.sampled_from([None, (), ("image",)]))
def test_any_body_is_enforced_or_refused_by_name_and_then_stays(body, parameters, inputs):
    model = declared(max_tokens=100, supported_parameters=parameters, multimodal_inputs=inputs)
    try:
        result = enforced("chat", body, model, (0, 1))
    except Error:
        return
    again = enforced("chat", result.body, model, (0, 1))
    assert (again.body, again.enforced, again.dropped) == (result.body, (), ())
