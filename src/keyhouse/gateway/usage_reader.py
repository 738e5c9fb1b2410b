"""Reads the tokens counted from the bytes of an answer as they pass. Holds a few KiB of its beginning and its end, never the whole."""

import re
from collections import deque

import msgspec

from keyhouse.gateway.answer_facts import AnswerFacts, facts_of
from keyhouse.gateway.passing import PassedBody, Take
from keyhouse.gateway.wire.answer import Usage
from keyhouse.gateway.wire.json_text import UNREADABLE
from keyhouse.gateway.wire.usage import generated_tokens, latest

_HEAD_BYTES = 4 * 1024
_TAIL_BYTES = 8 * 1024
# Kept before it is cut to the tail, so that cutting costs little.
_MOST_BYTES = 4 * _TAIL_BYTES
# In a JSON string its quotes would be escaped: this is a key.
_KEY = b'"usage"'
# An object that holds no deeper than objects of objects of numbers: Anthropic's `iterations` do.
_VALUE = re.compile(rb'"usage"\s*+:\s*+(\{[^{}]*+(?:\{[^{}]*+(?:\{[^{}]*+\}[^{}]*+)*+\}[^{}]*+)*+\})')
_LONGEST_VALUE = 4 * 1024


class _Details(msgspec.Struct, gc=False):
    cached_tokens: int | None = None
    cache_write_tokens: int | None = None
    reasoning_tokens: int | None = None
    thinking_tokens: int | None = None


class _Counts(msgspec.Struct, gc=False):
    """The counts of all shapes; wire/usage.py names where each is described."""

    prompt_tokens: int | None = None
    prompt_tokens_details: _Details | None = None
    completion_tokens: int | None = None
    completion_tokens_details: _Details | None = None
    total_tokens: int | None = None
    input_tokens: int | None = None
    input_tokens_details: _Details | None = None
    output_tokens: int | None = None
    output_tokens_details: _Details | None = None
    cache_read_input_tokens: int | None = None
    cache_creation_input_tokens: int | None = None
    converse_input: int | None = msgspec.field(default=None, name="inputTokens")
    converse_output: int | None = msgspec.field(default=None, name="outputTokens")
    converse_cache_read: int | None = msgspec.field(default=None, name="cacheReadInputTokens")
    converse_cache_write: int | None = msgspec.field(default=None, name="cacheWriteInputTokens")


class _Counted(msgspec.Struct, gc=False):
    usage: _Counts | None = None


_decode = msgspec.json.Decoder(_Counts).decode
_decode_end = msgspec.json.Decoder(_Counted).decode
_NO_DETAILS = _Details()


def usage_of(body: bytes) -> Usage | None:
    """The usage of an answer that is there whole: see UsageReader."""
    if len(body) > _MOST_BYTES:
        reader = UsageReader()
        reader.feed(body)
        return reader.usage()
    place = body.rfind(_KEY)
    if place < 0:
        return None
    last = _counts_from(body, place) or _last_counts(body)
    return None if last is None else _parse(last, body)


class WholeRead(msgspec.Struct, frozen=True, gc=False):
    """What is read of an answer that is there whole."""

    body: bytes

    def cut(self) -> "WholeRead":
        """What the usage is read from alone: a small answer from its first one on."""
        place = self.body.find(_KEY)
        return WholeRead(self.body[place:] if place >= 0 else b"")

    def usage(self) -> Usage | None:
        """See AnswerRead."""
        return usage_of(self.body)

    def facts(self) -> AnswerFacts:
        """See AnswerRead."""
        return facts_of(self.body)

    def __repr__(self) -> str:
        return f"WholeRead({len(self.body)} bytes)"


class UsageReader:
    """The usage of one answer, plain JSON or server-sent events, in the shapes of OpenAI, Anthropic, Responses and Converse.

    The last `usage` that is an object counts, wherever it stands. In a stream of Anthropic's the counts of the prompt stand in the first
    event and are completed by the last. What a model wrote into a tool's arguments can at worst be taken for it in a broken-off answer.
    """

    __slots__ = ("_chunks", "_head", "_size")

    def __init__(self) -> None:
        self._head = b""
        self._chunks: deque[bytes] = deque()
        self._size = 0

    def feed(self, chunk: bytes) -> None:
        """Note what passes."""
        self._chunks.append(chunk)
        self._size += len(chunk)
        if self._size > _MOST_BYTES:
            self._cut()

    def usage(self) -> Usage | None:
        """What was counted, as far as it has come; None where no count did."""
        kept = self._chunks[0] if len(self._chunks) == 1 else b"".join(self._chunks)
        last = _last_counts(kept)
        if self._head and last is None:
            last = _last_counts(self._head)
        return None if last is None else _parse(last, self._head or kept)

    def facts(self) -> AnswerFacts:
        """See AnswerRead."""
        kept = b"".join(self._chunks)
        return facts_of(self._head, kept) if self._head else facts_of(kept)

    def _cut(self) -> None:
        if not self._head:
            self._head = b"".join(self._chunks)[:_HEAD_BYTES]
        chunks = self._chunks
        while len(chunks) > 1 and self._size - len(chunks[0]) >= _TAIL_BYTES:
            self._size -= len(chunks.popleft())
        if len(chunks) == 1 and self._size > _MOST_BYTES:
            # A slice of its own: the rest of a large read is let go.
            chunks[0] = chunks[0][-_TAIL_BYTES:]
            self._size = _TAIL_BYTES


class CountedBody:
    """Passes a body on, and shows the reader what passes."""

    __slots__ = ("_body", "_feed", "_take")

    def __init__(self, body: PassedBody, reader: UsageReader) -> None:
        self._body = body
        self._feed = reader.feed
        self._take: Take

    async def pass_to(self, take: Take) -> bool:
        """See PassedBody."""
        self._take = take
        return await self._body.pass_to(self._pass)

    def _pass(self, data: bytes) -> bool:
        self._feed(data)
        return self._take(data)


def _counts_from(body: bytes, place: int) -> _Counts | None:
    """The counts where the key is one of the answer itself: from there on it is an object but for its brace, which is read sooner."""
    try:
        return _decode_end(b"{" + body[place:]).usage
    except UNREADABLE:
        return None


def _last_counts(kept: bytes) -> _Counts | None:
    place = kept.rfind(_KEY)
    while place >= 0:
        found = _counts_at(kept, place)
        if found is not None:
            return found
        place = kept.rfind(_KEY, 0, place)
    return None


def _counts_at(kept: bytes, place: int) -> _Counts | None:
    value = _VALUE.match(kept, place, place + _LONGEST_VALUE)
    if value is None:
        return None
    try:
        return _decode(value[1])
    except UNREADABLE:
        return None


def _parse(last: _Counts, head: bytes) -> Usage | None:
    if last.prompt_tokens is not None:
        generated = generated_tokens(last.prompt_tokens, last.completion_tokens or 0, last.total_tokens or 0)
        return _inclusive(last.prompt_tokens, generated, last.prompt_tokens_details, last.completion_tokens_details)
    if last.converse_input is not None:
        return Usage(last.converse_input, last.converse_output or 0, last.converse_cache_read, last.converse_cache_write)
    if last.total_tokens is not None:
        # Alone it counts a prompt that nothing was generated for: embeddings, a rerank.
        prompt = last.total_tokens if last.input_tokens is None else last.input_tokens
        return _inclusive(prompt, last.output_tokens, last.input_tokens_details, last.output_tokens_details)
    if last.output_tokens is None:
        return None
    place = head.find(_KEY)
    first = (_counts_at(head, place) if place >= 0 else None) or last
    return Usage(
        latest(last.input_tokens, first.input_tokens) or 0,
        last.output_tokens,
        latest(last.cache_read_input_tokens, first.cache_read_input_tokens),
        latest(last.cache_creation_input_tokens, first.cache_creation_input_tokens),
        (last.output_tokens_details or _NO_DETAILS).thinking_tokens,
    )


def _inclusive(prompt: int, generated: int | None, prompt_details: _Details | None, details: _Details | None) -> Usage:
    """Where the prompt's count includes what a cache served."""
    cache = prompt_details or _NO_DETAILS
    cached = (cache.cached_tokens or 0) + (cache.cache_write_tokens or 0)
    reasoning = (details or _NO_DETAILS).reasoning_tokens
    return Usage(max(0, prompt - cached), generated or 0, cache.cached_tokens, cache.cache_write_tokens, reasoning)
