"""Has Claude leave out what it thought where that no longer fits, instead of refusing the request: it is bound to all that stood before it.

https://platform.claude.com/docs/en/build-with-claude/preserved-thinking/prefix-checks and .../fix-bound-to-a-different-conversation
(2026-11-29). Not every format holds what is bound: Chat Completions loses where a thought stood, system messages of any place move to the
front, and words may stand in for a parameter.
"""

from collections.abc import Iterable

from keyhouse.gateway.wire.conversation import Message, RedactedThinkingPart, ThinkingPart
from keyhouse.gateway.wire.fields import JsonObject
from keyhouse.gateway.wire.model_traits import ModelTraits

BETA = "thinking-binding-controls-2026-08-01"


def is_bound(messages: Iterable[Message], model: ModelTraits, thinking: JsonObject) -> bool:
    """Whether thoughts go back that the model may refuse, in a request that may say what is to become of them: one that thinks."""
    if not model.binds_thoughts or thinking.get("thinking", {"type": "adaptive"})["type"] != "adaptive":
        return False
    return any(isinstance(part, ThinkingPart | RedactedThinkingPart) for message in messages for part in message.parts)


def unbound(thinking: JsonObject) -> JsonObject:
    """The members `thinking` and `output_config` with that wish. These models think unasked: asking changes nothing else."""
    return {
        **thinking,
        "thinking": {"type": "adaptive", **thinking.get("thinking", {}), "block_binding": {"prefix_mismatch_behavior": "drop_block"}},
    }
