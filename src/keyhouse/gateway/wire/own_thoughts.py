"""Leaves out of a Messages request what other models thought: Claude's hosts refuse thoughts that they did not sign.

https://platform.claude.com/docs/en/build-with-claude/extended-thinking (2026-11-29). A conversation that goes on with a Claude model after
one of another provider holds them: see `call_signatures`, `reasoning_items`; thoughts of a translated answer have an empty signature.
"""

import re

from keyhouse.gateway.wire.call_signatures import MARK as OF_GEMINI
from keyhouse.gateway.wire.fields import JsonObject
from keyhouse.gateway.wire.reasoning_items import MARK as OF_OPENAI

DROPPED = "messages[].content[].thinking"
_MARKS = (OF_GEMINI, OF_OPENAI)
_SUSPICIOUS = re.compile(rb'"signature"\s*:\s*""|"(?:%b)' % "|".join(_MARKS).encode())


def may_hold_others(body: bytes) -> bool:
    """Whether a body is worth decoding for it."""
    return b'thinking"' in body and _SUSPICIOUS.search(body) is not None


def with_own_thoughts(body: JsonObject) -> JsonObject:
    """The body without blocks that another provider's model thought, and without messages that held nothing else; the given one where there
    are none."""
    messages = body.get("messages")
    if not isinstance(messages, list):
        return body
    kept = [_kept(message) for message in messages]
    return body if kept == messages else {**body, "messages": [message for message in kept if message is not None]}


def _kept(message: object) -> object:
    if not isinstance(message, dict) or not isinstance(message.get("content"), list):
        return message
    own = [block for block in message["content"] if not _is_others(block)]
    if len(own) == len(message["content"]):
        return message
    return {**message, "content": own} if own else None


def _is_others(block: object) -> bool:
    if not isinstance(block, dict):
        return False
    if block.get("type") == "redacted_thinking":
        return str(block.get("data")).startswith(_MARKS)
    return block.get("type") == "thinking" and block.get("signature") == ""
