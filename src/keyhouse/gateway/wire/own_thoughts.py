"""Leaves out of a request what other models thought: Claude's hosts refuse thoughts that they did not sign, OpenAI what it did not encrypt.
So it is with what other models found on the web, which Claude's hosts encrypt as well.

https://platform.claude.com/docs/en/build-with-claude/extended-thinking (2026-11-29). A conversation that goes on after a model of another
provider holds them: see `call_signatures`, `reasoning_items`, `kept_thoughts`; thoughts of a translated message have an empty signature.
"""

from collections.abc import Mapping

from keyhouse.gateway.wire.anthropic_messages.searches import MARK as OF_SEARCHES
from keyhouse.gateway.wire.call_signatures import MARK as OF_GEMINI
from keyhouse.gateway.wire.fields import JsonObject
from keyhouse.gateway.wire.losses import Losses
from keyhouse.gateway.wire.openai_responses.kept_thoughts import MARK as OF_ITEMS
from keyhouse.gateway.wire.openai_responses.kept_thoughts import OWN_ITEMS
from keyhouse.gateway.wire.openai_responses.searches import OWN_SEARCHES
from keyhouse.gateway.wire.reasoning_items import MARK as OF_OPENAI

_THOUGHTS: Mapping[str, str] = {"messages": "messages[].content[].thinking", "input": "input[].reasoning"}
"""What thoughts are called that are left out, by the member that they stand in."""
_DROPPED_BLOCK, _DROPPED_ITEM = "messages[].content[].web_search_tool_result", "input[].web_search_call"
_EXTENSION = "thinking_blocks"
"""What translated answers of Chat Completions carry and servers refuse: https://github.com/AndyMik90/Aperant/issues/1988 (2026-03-29)."""
_MARKS = (OF_GEMINI, OF_OPENAI)
_SUSPICIOUS = (b'"signature":""', b'"signature": ""', *(b'"' + mark.encode() for mark in (*_MARKS, OF_ITEMS, OWN_ITEMS)))
"""As JSON's writers spell it. Each is found many times faster than a pattern would be."""
_SEARCHED = (b'"' + OF_SEARCHES.encode(), b'"' + OWN_SEARCHES.encode(), b'"' + _EXTENSION.encode() + b'"')


def may_hold_others(body: bytes) -> bool:
    """Whether a body is worth decoding for it."""
    thinks = b'thinking"' in body or b'"reasoning"' in body
    return (thinks and any(mark in body for mark in _SUSPICIOUS)) or any(mark in body for mark in _SEARCHED)


def with_own_thoughts(body: JsonObject, losses: Losses) -> JsonObject:
    """The body without what another provider's model thought or found, and without messages that held nothing else. It is the given one
    where there is nothing."""
    for name, thoughts in _THOUGHTS.items():
        said = body.get(name)
        if isinstance(said, list):
            kept = [_kept(each, thoughts, losses) for each in said]
            if any(own is not each for own, each in zip(kept, said, strict=True)):
                return {**body, name: [each for each in kept if each is not None]}
    return body


def _kept(message: object, thoughts: str, losses: Losses) -> object:
    """A message or an item without what is another's; None where nothing is left."""
    if not isinstance(message, dict):
        return message
    name = _DROPPED_ITEM if _is_others_call(message) else thoughts if _is_others_item(message) else None
    if name is not None:
        losses.leave_out(name)
        return None
    if _EXTENSION in message:
        losses.leave_out(f"messages[].{_EXTENSION}")
        message = {member: value for member, value in message.items() if member != _EXTENSION}
        if not (message.get("content") or message.get("tool_calls")):
            return None
    if not isinstance(message.get("content"), list):
        return message
    own = []
    for block in message["content"]:
        if _is_others_search(block):
            losses.leave_out(_DROPPED_BLOCK)
        elif _is_others_thought(block):
            losses.leave_out(thoughts)
        else:
            own.append(block)
    if len(own) == len(message["content"]):
        return message
    return {**message, "content": own} if own else None


def _is_others_call(item: JsonObject) -> bool:
    return item.get("type") == "web_search_call" and str(item.get("id")).startswith(OWN_SEARCHES)


def _is_others_item(item: JsonObject) -> bool:
    marked = str(item.get("encrypted_content")).startswith(OF_ITEMS) or str(item.get("id")).startswith(OWN_ITEMS)
    return item.get("type") == "reasoning" and marked


def _is_others_search(block: object) -> bool:
    return isinstance(block, dict) and any(str(block.get(name)).startswith(OF_SEARCHES) for name in ("id", "tool_use_id"))


def _is_others_thought(block: object) -> bool:
    if not isinstance(block, dict):
        return False
    if block.get("type") == "redacted_thinking":
        return str(block.get("data")).startswith(_MARKS)
    return block.get("type") == "thinking" and block.get("signature") == ""
