"""Parts words from calls of tools and from their results, for models that refuse both in one message: Meta's and Mistral's.

https://github.com/strands-agents/harness-sdk/issues/1223 (2025-11-21) and chat_models/test_standard.py in the tests of
https://github.com/langchain-ai/langchain-aws (2026-11-30) have the words in which they do.
"""

from collections.abc import Iterable, Iterator

from keyhouse.gateway.wire.anthropic_messages.last_words import GO_ON
from keyhouse.gateway.wire.conversation import Message, TextPart, ToolCallPart, ToolResultPart
from keyhouse.gateway.wire.model_traits import ModelTraits
from keyhouse.gateway.wire.openai_chat.message_rendering import BRIDGE


def parted(messages: tuple[Message, ...], model: ModelTraits) -> tuple[Message, ...]:
    """The turns of a conversation as the model takes them, with a word of the other side between the parts of one."""
    return messages if model.mixed_turns else tuple(_parted(messages))


def _parted(messages: Iterable[Message]) -> Iterator[Message]:
    for message in messages:
        of_tools = tuple(part for part in message.parts if isinstance(part, ToolCallPart | ToolResultPart))
        others = tuple(part for part in message.parts if not isinstance(part, ToolCallPart | ToolResultPart))
        if not (of_tools and others):
            yield message
        elif message.role == "assistant":
            yield from (Message("assistant", others), Message("user", (TextPart(GO_ON),)), Message("assistant", of_tools))
        else:
            yield from (Message("user", of_tools), Message("assistant", (TextPart(BRIDGE),)), Message("user", others))
