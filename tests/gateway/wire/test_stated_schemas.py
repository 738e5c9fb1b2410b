"""Parameters of tools as OpenAI's servers want them stated: Claude takes them shorter."""

import pytest

from keyhouse.gateway.wire.conversation import UpstreamModel
from keyhouse.gateway.wire.translation import render_upstream_request

EMPTY = {"type": "object", "properties": {}}


def parameters(upstream, schema):
    tool = {"name": "f", "input_schema": schema}
    body = {"model": "m", "max_tokens": 99, "messages": [{"role": "user", "content": "Hi"}], "tools": [tool]}
    [sent] = render_upstream_request(body, "anthropic_messages", upstream, UpstreamModel("gpt-6-sol")).body["tools"]
    return sent.get("function", sent)["parameters"]


@pytest.mark.parametrize("upstream", ["openai_chat", "openai_responses"])
@pytest.mark.parametrize(
    ("given", "sent"),
    [
        ({"type": "object"}, EMPTY),
        ({}, EMPTY),
        ({"properties": {"a": {"type": "string"}}}, {"type": "object", "properties": {"a": {"type": "string"}}}),
        ({"type": "object", "additionalProperties": False}, {**EMPTY, "additionalProperties": False}),
        (
            {"type": "object", "properties": {"a": {"type": "array"}, "b": {"type": ["array", "null"], "description": "d"}}},
            {
                "type": "object",
                "properties": {"a": {"type": "array", "items": {}}, "b": {"type": ["array", "null"], "description": "d", "items": {}}},
            },
        ),
        (
            {"type": "object", "properties": {"a": {"anyOf": [{"type": "array"}, {"type": "object"}]}}, "$defs": {"x": {"type": "array"}}},
            {
                "type": "object",
                "properties": {"a": {"anyOf": [{"type": "array", "items": {}}, {"type": "object"}]}},
                "$defs": {"x": {"type": "array", "items": {}}},
            },
        ),
    ],
)
def test_what_is_left_unsaid_is_stated(upstream, given, sent):
    assert parameters(upstream, given) == sent


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "object", "properties": {"type": {"type": "string"}, "items": {"type": "array", "items": {"type": "integer"}}}},
        {"type": "object", "properties": {"a": {"type": "array", "prefixItems": [{"type": "string"}]}}},
        {"type": "object", "properties": {"a": {"type": "object"}, "b": True}},
        {"anyOf": [{"type": "object", "properties": {}}]},
    ],
)
def test_all_else_stays(schema):
    assert parameters("openai_chat", schema) == schema


@pytest.mark.parametrize("upstream", ["openai_chat", "openai_responses"])
def test_what_a_schema_says_of_itself_is_left_out(upstream):
    told = {"$schema": "http://json-schema.org/draft-07/schema#", "$id": "https://example.com/f", **EMPTY}
    assert parameters(upstream, told) == EMPTY
    named = {"type": "object", "properties": {"$schema": {"type": "string"}, "$id": {"type": "string"}}}
    assert parameters(upstream, named) == named
