"""What a model thought, as `encrypted_content` of an item of Responses: callers send it back as it came. Encrypts nothing itself."""

import base64
import binascii

import msgspec

from keyhouse.domain.errors import Error
from keyhouse.gateway.wire.conversation import RedactedThinkingPart, ThinkingPart
from keyhouse.gateway.wire.fields import Fields
from keyhouse.gateway.wire.markers import parse_thinking_block, render_thinking_block

MARK = "keyhouse:"
"""What such a text begins with."""
OWN_ITEMS = "rs_kh_"
"""What the ids of items begin with that tell thoughts of a translated answer: no provider knows them."""


def render_kept_thought(part: ThinkingPart | RedactedThinkingPart) -> str | None:
    """The text that carries a thought which its model takes back; None for one without a signature."""
    if isinstance(part, ThinkingPart) and not part.signature:
        return None
    return MARK + base64.urlsafe_b64encode(msgspec.json.encode(render_thinking_block(part))).decode("ascii")


def parse_kept_thought(text: str | None) -> ThinkingPart | RedactedThinkingPart | None:
    """The thought that a text carries; None for a text of another's, which no model here could read."""
    if text is None or not text.startswith(MARK):
        return None
    try:
        block = msgspec.json.decode(base64.urlsafe_b64decode(text.removeprefix(MARK)))
        return parse_thinking_block(Fields(block))
    except (binascii.Error, ValueError, msgspec.DecodeError, RecursionError, Error):
        return None
