"""The signature that Gemini puts on a tool call and wants back with it, on its way through a caller's own history. Reads nothing else.

Gemini 3 refuses calls that come back without: https://ai.google.dev/gemini-api/docs/thought-signatures. On its OpenAI endpoint it stands in
`extra_content`: https://github.com/openai/openai-agents-python/issues/2137 (2026-11-29). Callers of the Messages API keep redacted thinking
and return it as it came, so it travels in a block of that kind, marked so that it reaches no other provider. Google names a word for
calls that nobody signed, as those of another model or of a client that keeps no such blocks.
"""

from keyhouse.gateway.wire.conversation import Part, RedactedThinkingPart
from keyhouse.gateway.wire.fields import Fields, JsonObject

MARK = "google:"
"""What the data of such a block begins with."""
_UNSIGNED = "skip_thought_signature_validator"


def parse_call_signature(call: Fields) -> RedactedThinkingPart | None:
    """The part that stands before a signed call; None for a call without a signature."""
    value: object = call.raw
    for name in ("extra_content", "google", "thought_signature"):
        value = value.get(name) if isinstance(value, dict) else None
    return _part(value)


def parse_item_signature(item: Fields) -> RedactedThinkingPart | None:
    """The same of an item of Responses: https://github.com/perplexityai/perplexity-py (2026-11-30), which calls Gemini too."""
    return _part(item.raw.get("thought_signature"))


def _part(value: object) -> RedactedThinkingPart | None:
    return RedactedThinkingPart(MARK + value) if isinstance(value, str) and value else None


def is_call_signature(part: Part | None) -> bool:
    """Whether a part is such a signature, and no thinking of a Claude model."""
    return isinstance(part, RedactedThinkingPart) and part.data.startswith(MARK)


def render_call_signature(part: Part | None) -> JsonObject | None:
    """The member `extra_content` of the call behind a part; None where the part signs none."""
    signature = signature_of(part)
    return None if signature is None else _signed(signature)


def signature_of(part: Part | None) -> str | None:
    """The signature that a part carries; None where it carries none."""
    return part.data.removeprefix(MARK) if isinstance(part, RedactedThinkingPart) and is_call_signature(part) else None


def render_missing_signature() -> JsonObject:
    """The member `extra_content` of a call that should be signed and is not."""
    return _signed(_UNSIGNED)


def _signed(signature: str) -> JsonObject:
    return {"google": {"thought_signature": signature}}
