"""Which headers pass the gateway, both ways, as docs/gateway.md lists them. What is on neither list stays behind."""

from collections.abc import Iterable
from urllib.parse import quote

RawHeaders = list[tuple[bytes, bytes]]

TO_UPSTREAM = frozenset(
    b"accept anthropic-beta anthropic-version content-type http-referer idempotency-key openai-beta x-client-request-id x-grok-conv-id"
    b" x-openrouter-categories x-openrouter-metadata x-openrouter-title x-session-affinity x-title".split()
)
"""Of a caller's headers. Not among them: credentials, cookies, and whatever chooses an account or project behind the stored credentials.

Names of an app: the types of the openrouter package (1.3.84). What keeps a conversation with the server that has read it before, and so
its cache: https://docs.x.ai/developers/advanced-api-usage/prompt-caching/maximizing-cache-hits, the types of fireworks-ai (1.2.30)
(2026-11-30)."""

TO_CALLER = frozenset(
    b"content-disposition content-encoding content-language content-length content-type openai-model openai-processing-ms openai-version"
    b" request-id retry-after retry-after-ms x-request-id x-should-retry".split()
)
"""Of an upstream's headers, beside those that begin like one of `PREFIXES_TO_CALLER`."""

PREFIXES_TO_CALLER = (b"x-ratelimit-", b"anthropic-ratelimit-", b"anthropic-priority-")
"""What is left of a quota, which official clients read."""


def goes_to_caller(name: bytes) -> bool:
    """Whether an upstream's header goes on. Its name is in lower case."""
    return name in TO_CALLER or name.startswith(PREFIXES_TO_CALLER)


def to_caller(headers: Iterable[tuple[bytes, bytes]]) -> RawHeaders:
    """The upstream's headers that go on. Names are in lower case."""
    # As `goes_to_caller` says, without a call for each header.
    return [pair for pair in headers if pair[0] in TO_CALLER or pair[0].startswith(PREFIXES_TO_CALLER)]


def value_of(headers: Iterable[tuple[bytes, bytes]], name: bytes) -> bytes | None:
    """The first value of a header."""
    for key, value in headers:
        if key == name:
            return value
    return None


_MOST_CHARACTERS = 1000
"""A caller may call a model what it likes, and clients read only so large a head."""


def header_text(text: str) -> bytes:
    """A text as a header's value: no more than the beginning of a long one, percent-encoded where it holds more than visible ASCII."""
    text = text[:_MOST_CHARACTERS]
    return text.encode("ascii") if text.isascii() and text.isprintable() else quote(text, safe="/:@ ").encode("ascii")


def chosen_headers(provider: str, model_id: str) -> tuple[tuple[bytes, bytes], ...]:
    """What tells the caller which provider and model its request means."""
    return (b"x-keyhouse-provider", header_text(provider)), (b"x-keyhouse-model", header_text(model_id))
