"""Items of Responses that change how the model answers from there on: the last one of each kind counts, for whichever model answers."""

import pytest

from keyhouse.domain.errors import Code
from keyhouse.gateway.wire.conversation import UpstreamModel
from keyhouse.gateway.wire.translation import render_upstream_request
from tests.gateway.wire.rendered_requests import refusal

UPSTREAMS = {"openai_chat": "gpt-5.2", "anthropic_messages": "claude-opus-5-5", "bedrock_converse": "global.anthropic.claude-opus-5-5"}
ASKED, SAID = {"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello"}
SCHEMA = {"type": "json_schema", "name": "n", "schema": {"type": "object", "properties": {}, "additionalProperties": False}}


def update(**members):
    return {"type": "configuration_update", "id": "cu_1", **members}


def sent(upstream, *items, **members):
    body = {"model": "m", "input": [*items], "max_output_tokens": 4000, **members}
    return render_upstream_request(body, "openai_responses", upstream, UpstreamModel(UPSTREAMS[upstream]))


@pytest.mark.parametrize("upstream", UPSTREAMS)
def test_an_update_is_as_good_as_the_parameter(upstream):
    updates = (update(reasoning={"effort": "high"}), update(text={"format": SCHEMA}), update(reasoning={"effort": "low"}))

    result = sent(upstream, ASKED, updates[0], SAID, updates[1], ASKED, updates[2], reasoning={"effort": "medium", "summary": "auto"})

    wanted = {"reasoning": {"effort": "low", "summary": "auto"}, "text": {"format": SCHEMA}}
    assert result == sent(upstream, ASKED, SAID, ASKED, **wanted)
    assert result != sent(upstream, ASKED, SAID, ASKED, reasoning=wanted["reasoning"])


@pytest.mark.parametrize("upstream", UPSTREAMS)
def test_an_update_goes_back_to_plain_text(upstream):
    result = sent(upstream, ASKED, update(text={"format": {"type": "text"}}), text={"format": SCHEMA, "verbosity": "low"})
    assert result == sent(upstream, ASKED, text={"verbosity": "low"})


@pytest.mark.parametrize("members", [{}, {"reasoning": {}}, {"reasoning": {"effort": None}}, {"text": None}])
def test_an_update_of_nothing_changes_nothing(members):
    assert sent("openai_chat", ASKED, update(**members)) == sent("openai_chat", ASKED)


@pytest.mark.parametrize(
    ("odd", "code", "where"),
    [
        (update(tools=[]), Code.UNSUPPORTED_PARAMETER, "input.1.tools"),
        (update(reasoning={"mode": "pro"}), Code.UNSUPPORTED_PARAMETER, "input.1.reasoning.mode"),
        (update(text={"verbosity": "low"}), Code.UNSUPPORTED_PARAMETER, "input.1.text.verbosity"),
        (update(reasoning="low"), Code.BAD_REQUEST, "input.1.reasoning"),
    ],
)
def test_what_an_update_can_not_change_is_named_where_it_stands(odd, code, where):
    error = refusal(sent, "anthropic_messages", ASKED, odd)
    assert (error.code, error.details["param"]) == (code, where)
