"""Leaves out of a request what other models thought: Claude's hosts refuse thoughts that they did not sign, OpenAI what it did not encrypt.

https://platform.claude.com/docs/en/build-with-claude/extended-thinking (2026-11-29). A conversation that goes on after a model of another
provider holds them: see `call_signatures`, `reasoning_items`, `kept_thoughts`; thoughts of a translated message have an empty signature.
"""

from collections.abc import Mapping

from keyhouse.gateway.wire.call_signatures import MARK as OF_GEMINI
from keyhouse.gateway.wire.fields import JsonObject
from keyhouse.gateway.wire.openai_responses.kept_thoughts import MARK as OF_ITEMS
from keyhouse.gateway.wire.openai_responses.kept_thoughts import OWN_ITEMS
from keyhouse.gateway.wire.reasoning_items import MARK as OF_OPENAI

DROPPED: Mapping[str, str] = {"messages": "messages[].content[].thinking", "input": "input[].reasoning"}
"""What it is called that is left out, by the member that it stands in."""
_MARKS = (OF_GEMINI, OF_OPENAI)
_SUSPICIOUS = (b'"signature":""', b'"signature": ""', *(b'"' + mark.encode() for mark in (*_MARKS, OF_ITEMS, OWN_ITEMS)))
"""As JSON's writers spell it. Each is found many times faster than a pattern would be."""


def may_hold_others(body: bytes) -> bool:
    """Whether a body is worth decoding for it."""
    return (b'thinking"' in body or b'"reasoning"' in body) and any(mark in body for mark in _SUSPICIOUS)


def with_own_thoughts(body: JsonObject) -> tuple[JsonObject, tuple[str, ...]]:
    """The body without what another provider's model thought, and without messages that held nothing else; and what was left out. It is the
    given one where there is nothing."""
    for name, dropped in DROPPED.items():
        said = body.get(name)
        if isinstance(said, list):
            kept = [_kept(each) for each in said]
            if kept != said:
                return {**body, name: [each for each in kept if each is not None]}, (dropped,)
    return body, ()


def _kept(message: object) -> object:
    """A message or an item without what is another's; None where nothing is left."""
    if not isinstance(message, dict):
        return message
    if message.get("type") == "reasoning":
        marked = str(message.get("encrypted_content")).startswith(OF_ITEMS) or str(message.get("id")).startswith(OWN_ITEMS)
        return None if marked else message
    if not isinstance(message.get("content"), list):
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
