"""Lets the user speak last where a Claude model wants it: from 4.6 on they do not go on with words of their own, older ones not while they
think. What OpenAI's models do with a conversation that the assistant ended is to speak again.

https://openrouter.ai/docs/cookbook/evaluate-and-optimize/model-migrations/claude-5-5 (2026-11-30); which models refuse it stands in
`supports_assistant_prefill` of litellm's list (1.110.2).
"""

from keyhouse.gateway.wire.conversation import Message, TextPart, ToolCallPart
from keyhouse.gateway.wire.fields import JsonObject
from keyhouse.gateway.wire.model_traits import ModelTraits

GO_ON = "Go on."
"""What the user is taken to have said."""


def ended_by_user(messages: tuple[Message, ...], model: ModelTraits, thinking: JsonObject) -> tuple[Message, ...]:
    """The turns of a conversation, with a word of the user behind the assistant's. Calls are left as they are: they want results."""
    is_taken = model.takes_beginnings and thinking.get("thinking", {}).get("type") != "enabled"
    if is_taken or not messages or messages[-1].role != "assistant" or isinstance(messages[-1].parts[-1], ToolCallPart):
        return messages
    return (*messages, Message("user", (TextPart(GO_ON),)))
