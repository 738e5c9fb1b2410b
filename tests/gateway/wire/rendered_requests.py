"""Requests as callers write them, rendered for an upstream and held against the schemas of its SDK."""

import pytest
from anthropic.types import message_create_params
from openai.types.chat import completion_create_params
from pydantic import TypeAdapter

from keyhouse.domain.errors import Error
from keyhouse.gateway.wire.conversation import UpstreamModel
from keyhouse.gateway.wire.translation import render_upstream_request

MESSAGES = TypeAdapter(message_create_params.MessageCreateParams)
COMPLETION = TypeAdapter(completion_create_params.CompletionCreateParams)
PNG = "data:image/png;base64,aGk="
CURRENT, OLDER = "claude-opus-5-5", "claude-sonnet-4-5"
CAN_BE_FORCED = "claude-opus-5"
"""Takes a `tool_choice` that forces a tool, as those after it do not."""


def chat(messages=None, **members):
    return {"model": "m", "messages": messages or [{"role": "user", "content": "Hi"}], **members}


def to_messages(body, model=CURRENT, **known):
    result = render_upstream_request(body, "openai_chat", "anthropic_messages", UpstreamModel(model, **known))
    MESSAGES.validate_python({name: value for name, value in result.body.items() if name not in ("temperature", "top_p", "top_k")})
    return result


def to_converse(body, model="anthropic.claude-sonnet-4-5-20250929-v1:0", caller="openai_chat"):
    return render_upstream_request(body, caller, "bedrock_converse", UpstreamModel(model))


def to_chat(body, **known):
    result = render_upstream_request(
        {"max_tokens": 10, **body}, "anthropic_messages", "openai_chat", UpstreamModel(**{"id": "gpt-5.2", **known})
    )
    COMPLETION.validate_python(result.body)
    return result


def tool(name="f", **members):
    return {"type": "function", "function": {"name": name, **members}}


def call(tool_call_id="c1", name="f", arguments="{}"):
    return {"id": tool_call_id, "type": "function", "function": {"name": name, "arguments": arguments}}


def refusal(render, *arguments, **members):
    with pytest.raises(Error) as raised:
        render(*arguments, **members)
    return raised.value


TOOL_LOOP = [
    {"role": "user", "content": "Weather in Paris and Rome?"},
    {
        "role": "assistant",
        "content": "I will look.",
        "tool_calls": [call("c1", "w", '{"city": "Paris"}'), call("c2", "w", '{"city": "Rome"}')],
    },
    {"role": "tool", "tool_call_id": "c1", "content": "sun"},
    {"role": "tool", "tool_call_id": "c2", "content": [{"type": "text", "text": "rain"}]},
    {"role": "user", "content": "And?"},
]
