"""States that a tool failed as a model of Converse takes it: most take no such mark, and with it Converse wants words.

https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_ToolResultBlock.html (2026-11-30), of others
https://github.com/strands-agents/harness-sdk/issues/150 (2025-05-30); the words are wanted by
https://github.com/aws-samples/sample-multi-agent-orchestration-chat-on-agentcore/issues/15 (2026-06-01).
"""

from msgspec.structs import replace

from keyhouse.gateway.wire.conversation import Message, Part, TextPart, ToolResultPart
from keyhouse.gateway.wire.losses import Losses
from keyhouse.gateway.wire.model_traits import ModelTraits
from keyhouse.gateway.wire.turns import is_blank

FAILED = "Failed."


def with_stated_failures(messages: tuple[Message, ...], model: ModelTraits, losses: Losses) -> tuple[Message, ...]:
    """The messages with the results of failed tools as the model takes them."""
    return tuple(replace(message, parts=tuple(_stated(part, model, losses) for part in message.parts)) for message in messages)


def _stated(part: Part, model: ModelTraits, losses: Losses) -> Part:
    if not (isinstance(part, ToolResultPart) and part.is_error):
        return part
    if not model.tool_status:
        losses.drop("messages[].content[].is_error", "The model takes no such mark of a result.")
        part = replace(part, is_error=False)
    return replace(part, content=(TextPart(FAILED),)) if all(map(is_blank, part.content)) else part
