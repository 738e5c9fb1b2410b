"""Tells a model in words to answer with a JSON object of any shape, where its API takes schemas alone. No promise, as OpenAI's mode is one.

Without these words Claude puts such an object into a code fence: https://github.com/mem0ai/mem0/pull/4484,
https://github.com/ENTERPILOT/GoModel/pull/963 (2026-09-11).
"""

from msgspec.structs import replace

from keyhouse.gateway.wire.conversation import Message, Request, TextPart
from keyhouse.gateway.wire.losses import Losses

_WORDS = "Answer with one valid JSON object and nothing else: no words around it, and no code fence (```)."


def with_json_told(request: Request, losses: Losses) -> Request:
    """The request with its wish for any JSON in words, behind its other instructions. That they promise nothing is noted."""
    if request.any_json is None:
        return request
    losses.drop(request.any_json, "JSON without a schema can not be promised by this model; send type json_schema with a schema.")
    return replace(request, messages=(*request.messages, Message("system", (TextPart(_WORDS),))))
