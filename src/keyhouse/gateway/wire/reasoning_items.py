"""What a model of OpenAI's Responses thought, on its way through a caller's own history: encrypted, and wanted back with its tool calls.

https://developers.openai.com/api/docs/guides/reasoning (2026-11-29): with `store: false` an item of type `reasoning` carries its content
encrypted. It travels as a signature of Gemini's does, in a block of redacted thinking with a mark of its own: see `call_signatures`.
"""

from keyhouse.gateway.wire.call_signatures import is_call_signature
from keyhouse.gateway.wire.conversation import Part, RedactedThinkingPart, ThinkingPart
from keyhouse.gateway.wire.fields import Fields, JsonObject, without_nones

MARK = "openai:"
"""What the data of such a block begins with."""


def parse_reasoning_item(item: Fields) -> RedactedThinkingPart | None:
    """The part that carries an item; None for one that the provider could not read again."""
    content = item.text_or_none("encrypted_content")
    return RedactedThinkingPart(f"{MARK}{item.text_or_none('id') or ''}:{content}") if content else None


def is_reasoning_item(part: Part) -> bool:
    """Whether a part carries such an item, and no thinking of a Claude model."""
    return isinstance(part, RedactedThinkingPart) and part.data.startswith(MARK)


def is_kept_by_openai(block: Fields) -> bool:
    """Whether a block of a message carries such an item."""
    return block.text("type") == "redacted_thinking" and str(block.raw.get("data")).startswith(MARK)


def is_unreadable(part: Part) -> bool:
    """Whether a part is a thought, or the signature of a call, that Claude's hosts refuse: another provider's, or without a signature."""
    return is_reasoning_item(part) or is_call_signature(part) or (isinstance(part, ThinkingPart) and not part.signature)


def render_reasoning_item(part: RedactedThinkingPart) -> JsonObject:
    """The item that a part carries."""
    item_id, _, content = part.data.removeprefix(MARK).partition(":")
    return without_nones({"type": "reasoning", "id": item_id or None, "summary": [], "encrypted_content": content})
