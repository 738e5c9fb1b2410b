"""The table of parameters, row by row, against what the translation really does."""

import msgspec
import pytest

from keyhouse.domain.errors import Code, Error
from keyhouse.gateway.wire.conversation import UpstreamModel
from keyhouse.gateway.wire.parameters import TABLE
from keyhouse.gateway.wire.translation import render_upstream_request

MODELS = {
    "anthropic_messages": "claude-sonnet-4-5",
    "bedrock_converse": "anthropic.claude-opus-4-5-20251101-v1:0",
    "openai_chat": "gpt-5.2",
    "openai_responses": "gpt-5.4",
}
QUIRKS = {("openai_chat", "openai_responses"): ("bare_responses",)}
"""Of the servers that a pair of formats is translated for, where not all are."""
MINIMAL = {
    "openai_chat": {"model": "m", "messages": [{"role": "user", "content": "Hi"}]},
    "openai_responses": {"model": "m", "input": "Hi"},
    "anthropic_messages": {"model": "m", "max_tokens": 10, "messages": [{"role": "user", "content": "Hi"}]},
}
CASES = [
    pytest.param(caller, upstream, row, id=f"{caller}-{upstream}-{row.name}")
    for caller, rows in TABLE.items()
    for row in rows
    for upstream in row.actions
]


def rendered(caller, upstream, body):
    return render_upstream_request(body, caller, upstream, UpstreamModel(MODELS[upstream], quirks=QUIRKS.get((caller, upstream), ())))


def at(body, place):
    for name in place.split("."):
        body = body[int(name)] if isinstance(body, list) else body[name]
    return body


def without(body, name):
    return {key: value for key, value in body.items() if key != name}


@pytest.mark.parametrize(("caller", "upstream", "row"), CASES)
def test_row_says_what_happens(caller, upstream, row):
    body = {**MINIMAL[caller], **msgspec.json.decode(row.example)}
    action = row.actions[upstream]
    if action == "refused":
        with pytest.raises(Error) as raised:
            rendered(caller, upstream, body)
        assert raised.value.code is Code.UNSUPPORTED_PARAMETER
        return
    result = rendered(caller, upstream, body)
    assert result.dropped == ((row.name,) if action == "dropped" else ())
    if action == "mapped":
        assert at(result.body, row.places[upstream]) is not None
    elif row.is_top_level and row.name not in MINIMAL[caller]:
        assert result.body == rendered(caller, upstream, without(body, row.name)).body


@pytest.mark.parametrize(("caller", "upstream", "row"), [case for case in CASES if case.values[2].actions[case.values[1]] == "dropped"])
def test_drops_are_refused_when_the_caller_wants_none(caller, upstream, row):
    body = {**MINIMAL[caller], **msgspec.json.decode(row.example), "drop_tuning_params": False}
    with pytest.raises(Error) as raised:
        rendered(caller, upstream, body)
    assert (raised.value.code, raised.value.details["param"]) == (Code.UNSUPPORTED_PARAMETER, row.name)


@pytest.mark.parametrize(("caller", "upstream", "row"), [case for case in CASES if case.values[2].neutral])
def test_neutral_values_are_as_good_as_absent(caller, upstream, row):
    for value in (*row.neutral, None):
        result = rendered(caller, upstream, {**MINIMAL[caller], row.name: value})
        assert result == rendered(caller, upstream, MINIMAL[caller])


@pytest.mark.parametrize(("caller", "upstream"), sorted({case.values[:2] for case in CASES}))
def test_unknown_parameters_are_refused(caller, upstream):
    with pytest.raises(Error) as raised:
        rendered(caller, upstream, {**MINIMAL[caller], "magic": 1})
    assert (raised.value.code, raised.value.details["param"]) == (Code.UNSUPPORTED_PARAMETER, "magic")


@pytest.mark.parametrize("value", ["yes", 0, []])
def test_drop_tuning_params_must_be_a_boolean(value):
    with pytest.raises(Error, match="drop_tuning_params"):
        rendered("openai_chat", "anthropic_messages", {**MINIMAL["openai_chat"], "drop_tuning_params": value})


def test_every_row_speaks_of_every_other_format():
    assert {frozenset(row.actions) for row in TABLE["openai_chat"]} == {
        frozenset({"openai_responses", "anthropic_messages", "bedrock_converse"})
    }
    assert {frozenset(row.actions) for row in TABLE["openai_responses"]} == {
        frozenset({"openai_chat", "anthropic_messages", "bedrock_converse"})
    }
    assert {frozenset(row.actions) for row in TABLE["anthropic_messages"]} == {
        frozenset({"openai_chat", "openai_responses", "bedrock_converse"})
    }


def test_every_parameter_of_the_official_package_is_in_the_table():
    from anthropic.types.beta import message_create_params as anthropic_params
    from openai.types.chat import completion_create_params as openai_params
    from openai.types.responses import response_create_params as response_params

    openai = openai_params.CompletionCreateParamsBase.__annotations__
    responses = {*response_params.ResponseCreateParamsBase.__annotations__, "stream"}
    assert responses - {row.name for row in TABLE["openai_responses"]} == set()
    assert set(openai) - {row.name for row in TABLE["openai_chat"]} == set()
    anthropic = anthropic_params.MessageCreateParamsBase.__annotations__
    sent_as_headers = {"betas", "workspace_id"}
    assert set(anthropic) - sent_as_headers - {row.name for row in TABLE["anthropic_messages"]} == set()
