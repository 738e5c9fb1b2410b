"""Has Claude leave out what it thought where that no longer fits, instead of refusing the request: it is bound to all that stood before it.

https://platform.claude.com/docs/en/build-with-claude/preserved-thinking/prefix-checks and .../fix-bound-to-a-different-conversation
(2026-11-29). Not every format holds what is bound: Chat Completions loses where a thought stood, system messages of any place move to the
front, and words may stand in for a parameter.
"""

from collections.abc import Iterable

from keyhouse.gateway.wire.conversation import Message
from keyhouse.gateway.wire.fields import JsonObject
from keyhouse.gateway.wire.losses import Losses
from keyhouse.gateway.wire.model_traits import ModelTraits
from keyhouse.gateway.wire.turns import is_thought, without_parts

BETA = "thinking-binding-controls-2026-08-01"


def is_bound(messages: Iterable[Message], model: ModelTraits, thinking: JsonObject) -> bool:
    """Whether thoughts go back that the model may refuse, in a request that may say what is to become of them: one that thinks."""
    return model.binds_thoughts and _type(thinking) == "adaptive" and _has_thoughts(messages)


def unbound(thinking: JsonObject) -> JsonObject:
    """The members `thinking` and `output_config` with that wish. These models think unasked: asking changes nothing else."""
    return {
        **thinking,
        "thinking": {"type": "adaptive", **thinking.get("thinking", {}), "block_binding": {"prefix_mismatch_behavior": "drop_block"}},
    }


def without_unusable(messages: tuple[Message, ...], model: ModelTraits, thinking: JsonObject, losses: Losses) -> tuple[Message, ...]:
    """The messages without thoughts where they can not be sent. A request that does not think may be refused for them, and has no use for
    them: https://github.com/tailcallhq/forgecode/issues/1853 (2025-11-07). One that thinks between calls of tools may not say what is to
    become of those that are bound. Models that are no Claude refuse them, signature and all."""
    unasked = model.thinking if model.thinks_unasked else ""
    kind = thinking["thinking"]["type"] if "thinking" in thinking else unasked
    if kind in ("adaptive", "enabled") or not _has_thoughts(messages):
        return messages
    if kind == "between_tools":
        losses.drop("messages[].content[].thinking", "The model may refuse it for what has changed before it, unless it thinks.")
    return without_parts(is_thought, messages)


def _type(thinking: JsonObject) -> object:
    return thinking.get("thinking", {"type": "adaptive"})["type"]


def _has_thoughts(messages: Iterable[Message]) -> bool:
    return any(is_thought(part) for message in messages for part in message.parts)
