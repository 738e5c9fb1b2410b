"""Counts of tokens in each format: what is part of what differs."""

from msgspec.structs import replace

from keyhouse.gateway.wire.answer import Usage
from keyhouse.gateway.wire.fields import Fields, JsonObject, without_nones


def parse_openai_usage(usage: Fields) -> Usage:
    """`prompt_tokens` includes what was read from and written to a cache, `completion_tokens` the reasoning, but at xAI and Gemini: see
    `generated_tokens`."""
    return _parse_inclusive(usage, "prompt_tokens", "completion_tokens")


def parse_responses_usage(usage: Fields, searches: int = 0) -> Usage:
    """The same of Responses, under other names. `searches` are counted by items."""
    return replace(_parse_inclusive(usage, "input_tokens", "output_tokens"), searches=searches or None)


def _parse_inclusive(usage: Fields, prompt: str, generated: str) -> Usage:
    cache, output = usage.object_or_none(f"{prompt}_details"), usage.object_or_none(f"{generated}_details")
    read = cache.integer_or_none("cached_tokens") if cache else None
    written = cache.integer_or_none("cache_write_tokens") if cache else None
    counted = usage.integer_or_none(prompt) or 0
    return Usage(
        input_tokens=max(0, counted - (read or 0) - (written or 0)),
        output_tokens=generated_tokens(counted, usage.integer_or_none(generated) or 0, usage.integer_or_none("total_tokens") or 0),
        cache_read_tokens=read,
        cache_write_tokens=written,
        reasoning_tokens=output.integer_or_none("reasoning_tokens") if output else None,
    )


def generated_tokens(prompt: int, generated: int, total: int) -> int:
    """All that was generated, reasoning included. Where the sum says more than its parts, it counts reasoning that `generated` leaves out:
    https://docs.x.ai/docs/key-information/consumption-and-rate-limits, https://github.com/vercel/ai/pull/12425 (2026-11-29)."""
    return max(generated, total - prompt)


def render_openai_usage(usage: Usage) -> JsonObject:
    """The member `usage` of a chat completion."""
    prompt = without_nones({"cached_tokens": usage.cache_read_tokens, "cache_write_tokens": usage.cache_write_tokens})
    rendered: JsonObject = {
        "prompt_tokens": usage.prompt_tokens,
        "completion_tokens": usage.output_tokens,
        "total_tokens": usage.prompt_tokens + usage.output_tokens,
    }
    if prompt:
        rendered["prompt_tokens_details"] = prompt
    if usage.reasoning_tokens is not None:
        rendered["completion_tokens_details"] = {"reasoning_tokens": usage.reasoning_tokens}
    return rendered


def parse_anthropic_usage(usage: Fields, before: Usage | None = None) -> Usage:
    """`input_tokens` excludes the cache. In a stream counts are cumulative, and what is absent keeps its value `before`."""
    known = before or Usage()
    details, tools = usage.object_or_none("output_tokens_details"), usage.object_or_none("server_tool_use")
    searches = tools.integer_or_none("web_search_requests") if tools else None
    counts = {name: usage.integer_or_none(name) for name in _ANTHROPIC_COUNTS}
    thinking = details.integer_or_none("thinking_tokens") if details else None
    return Usage(
        input_tokens=latest(counts["input_tokens"], known.input_tokens) or 0,
        output_tokens=latest(counts["output_tokens"], known.output_tokens) or 0,
        cache_read_tokens=latest(counts["cache_read_input_tokens"], known.cache_read_tokens),
        cache_write_tokens=latest(counts["cache_creation_input_tokens"], known.cache_write_tokens),
        reasoning_tokens=latest(thinking, known.reasoning_tokens),
        searches=latest(searches or None, known.searches),
    )


_ANTHROPIC_COUNTS = ("input_tokens", "output_tokens", "cache_read_input_tokens", "cache_creation_input_tokens")


def latest(given: int | None, before: int | None) -> int | None:
    """A count that a later event states, else the one that stood before."""
    return before if given is None else given


def render_anthropic_usage(usage: Usage) -> JsonObject:
    """The member `usage` of a message."""
    thinking, searches, hour = usage.reasoning_tokens, usage.searches, usage.cache_write_1h_tokens
    shorter = max(0, (usage.cache_write_tokens or 0) - (hour or 0))
    return without_nones(
        {
            "input_tokens": usage.input_tokens,
            "cache_creation_input_tokens": usage.cache_write_tokens,
            "cache_read_input_tokens": usage.cache_read_tokens,
            "cache_creation": None if hour is None else {"ephemeral_1h_input_tokens": hour, "ephemeral_5m_input_tokens": shorter},
            "output_tokens": usage.output_tokens,
            "output_tokens_details": None if thinking is None else {"thinking_tokens": thinking},
            "server_tool_use": None if searches is None else {"web_search_requests": searches, "web_fetch_requests": 0},
        }
    )


def parse_converse_usage(usage: Fields) -> Usage:
    """`inputTokens` excludes the cache: https://docs.aws.amazon.com/bedrock/latest/userguide/prompt-caching.html, 23 November 2026."""
    return Usage(
        input_tokens=usage.integer_or_none("inputTokens") or 0,
        output_tokens=usage.integer_or_none("outputTokens") or 0,
        cache_read_tokens=usage.integer_or_none("cacheReadInputTokens"),
        cache_write_tokens=usage.integer_or_none("cacheWriteInputTokens"),
        cache_write_1h_tokens=_kept_for_an_hour(usage),
    )


def _kept_for_an_hour(usage: Fields) -> int | None:
    """What was written to be kept for an hour, where it is told for how long: the types of botocore (1.44.8), 30 November 2026."""
    details = tuple(usage.objects_or_none("cacheDetails"))
    return sum(detail.integer("inputTokens") for detail in details if detail.text("ttl") == "1h") if details else None
