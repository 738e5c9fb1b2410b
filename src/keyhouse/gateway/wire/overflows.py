"""Knows the error that says a conversation is too long for its model, and the words by which clients shorten it and go on.

Claude Code acts upon https://code.claude.com/docs/en/llm-gateway-protocol#automatic-retry-and-error-forwarding (2026-11-30), clients of
OpenAI's formats upon its code, as `is_context_window_error` in codex-rs of https://github.com/openai/codex does. What providers say stands
in overflow.ts of https://github.com/earendil-works/pi (2026-11-30).
"""

import re

from keyhouse.gateway.wire.answer import ApiError

CODE = "context_length_exceeded"
_STATUSES = (400, 413)
_MOST_CHARACTERS = 2000
"""Of an error's words that are looked at."""
_ANTHROPICS_WORDS = "prompt is too long"
_TOKEN = "capability_rejected: prompt_too_long"  # noqa: S105 - a word, no secret
_WORDS = re.compile(
    r"(prompt|input) (is )?too long|maximum (context|model|prompt) length|(exceed|longer than|greater than).*context (window|length|size)"
    r"|context (window|length|size).*exceed|input token count.*exceeds|too large for model with|reduce the length of the (messages|input)",
    re.IGNORECASE | re.DOTALL,
)


def is_overflow(error: ApiError) -> bool:
    """Whether an error says so, whatever the provider calls it."""
    return error.code == CODE or (error.status in _STATUSES and _WORDS.search(error.message[:_MOST_CHARACTERS]) is not None)


def told_to_claude_code(error: ApiError) -> str:
    """The error's words, and with them those that clients of the Messages API look for."""
    if not is_overflow(error):
        return error.message
    words = error.message if _ANTHROPICS_WORDS in error.message.lower() else f"{_ANTHROPICS_WORDS}: {error.message}"
    return words if _TOKEN in words else f"{words} ({_TOKEN})"
