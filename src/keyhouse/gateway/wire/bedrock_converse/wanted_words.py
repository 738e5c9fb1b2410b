"""Adds words that Converse wants where others want none: it refuses a conversation that the assistant began, and documents without text.

https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_ContentBlock.html; https://github.com/deepgram/deepgram-python-sdk/issues/760
(2026-08-11) and https://github.com/maximhq/bifrost/pull/5817 (2026-08-04) have the words in which it does.
"""

from collections.abc import Iterator

from msgspec.structs import replace

from keyhouse.gateway.wire.conversation import DocumentPart, Message, TextPart

BEGINNING = "Begin."
"""What the user is taken to have said where the assistant spoke first."""
BESIDE_DOCUMENTS = "Attached."


def with_wanted_words(messages: tuple[Message, ...]) -> tuple[Message, ...]:
    """The turns of a conversation, which hold no blank text, as Converse takes them; the same ones always get the same words."""
    return tuple(_spoken(messages))


def _spoken(messages: tuple[Message, ...]) -> Iterator[Message]:
    if messages and messages[0].role == "assistant":
        yield Message("user", (TextPart(BEGINNING),))
    for message in messages:
        has_words = any(isinstance(part, TextPart) for part in message.parts)
        needs_words = any(isinstance(part, DocumentPart) for part in message.parts) and not has_words
        yield replace(message, parts=(*message.parts, TextPart(BESIDE_DOCUMENTS))) if needs_words else message
