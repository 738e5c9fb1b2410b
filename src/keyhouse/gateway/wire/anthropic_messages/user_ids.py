"""Says who the caller's user is as Messages takes it, which refuses what identifies a person: clients of OpenAI often name an address.

https://github.com/BerriAI/litellm/issues/10106 (2025-04-17) has the words in which it does; they ask for a UUID or a digest.
"""

import re

from keyhouse.gateway.wire.digests import digest_of
from keyhouse.gateway.wire.fields import JsonObject
from keyhouse.gateway.wire.losses import Losses

LONGEST = 256
_ADDRESS = re.compile(r"[^@\s]@[^@\s.]+\.[^@\s]")
_TELEPHONE = re.compile(r"\+?[\d\s().-]{7,}")


def render_metadata(user_id: str | None, losses: Losses) -> JsonObject | None:
    """The member `metadata`; None where nobody is named."""
    if not user_id:
        return None
    if len(user_id) <= LONGEST and not _ADDRESS.search(user_id) and not _TELEPHONE.fullmatch(user_id):
        return {"user_id": user_id}
    losses.change("metadata.user_id", "sha256")
    return {"user_id": digest_of(user_id)}
