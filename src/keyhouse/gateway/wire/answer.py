"""A chat answer, whole and as a stream of events, free of any wire format. Values only."""

from collections.abc import Mapping
from typing import Any, Literal

import msgspec

from keyhouse.gateway.wire.conversation import Citation, RedactedThinkingPart, SearchPart, TextPart, ThinkingPart, ToolCallPart

StopReason = Literal["end", "max_tokens", "context_window", "stop_sequence", "tool_calls", "refusal"]


class Usage(msgspec.Struct, frozen=True, gc=False):
    """Tokens counted. `input_tokens` excludes what was read from and written to a cache; `output_tokens` includes the reasoning.
    `cache_write_1h_tokens` are those of the written ones that are kept for an hour. `searches` of the web are paid for beside them."""

    input_tokens: int = 0
    output_tokens: int = 0
    cache_read_tokens: int | None = None
    cache_write_tokens: int | None = None
    reasoning_tokens: int | None = None
    searches: int | None = None
    cache_write_1h_tokens: int | None = None

    @property
    def prompt_tokens(self) -> int:
        """All tokens of the prompt, cached or not."""
        return self.input_tokens + (self.cache_read_tokens or 0) + (self.cache_write_tokens or 0)


class AnswerDefaults(msgspec.Struct, frozen=True):
    """What an answer says where the upstream's format has no such field. `created` in seconds since 1970; `tool_names` are the caller's own
    names of tools by those that the upstream was told instead; `request` is what an answer repeats of the request; `include_usage`: a
    stream of Chat Completions ends with it; `one_call`: of calls of tools at once the first alone is told."""

    id: str
    model: str
    created: int
    tool_names: Mapping[str, str] = msgspec.field(default_factory=dict)
    request: Mapping[str, Any] = msgspec.field(default_factory=dict)
    include_usage: bool = False
    one_call: bool = False


AnswerPart = TextPart | ThinkingPart | RedactedThinkingPart | ToolCallPart | SearchPart


class Answer(msgspec.Struct, frozen=True):
    """A whole answer. `refusal` is the model's or provider's own explanation, where one was given."""

    parts: tuple[AnswerPart, ...]
    stop: StopReason
    id: str | None = None
    model: str | None = None
    created: int | None = None
    stop_sequence: str | None = None
    refusal: str | None = None
    usage: Usage | None = None


class ApiError(msgspec.Struct, frozen=True):
    """An error as an upstream stated it. `type` is the upstream's own word, where it gave one; `error_code` is a word that clients of the
    Messages API act upon."""

    status: int
    message: str
    type: str | None = None
    code: str | None = None
    param: str | None = None
    request_id: str | None = None
    error_code: str | None = None


class Started(msgspec.Struct, frozen=True):
    """The answer began. `usage` as far as it is known."""

    id: str | None = None
    model: str | None = None
    created: int | None = None
    usage: Usage | None = None


class TextStarted(msgspec.Struct, frozen=True):
    """A part of text begins, or of the words by which the model refuses. Parts follow each other and never overlap."""

    is_refusal: bool = False


class ThinkingStarted(msgspec.Struct, frozen=True):
    """A part of thinking begins."""


class RedactedThinking(msgspec.Struct, frozen=True):
    """A whole part of redacted thinking; it begins and ends here."""

    data: str


class Searched(msgspec.Struct, frozen=True):
    """A whole search of the web; it begins and ends here."""

    search: SearchPart


class ToolCallStarted(msgspec.Struct, frozen=True):
    """A call of a tool begins."""

    id: str
    name: str


class TextDelta(msgspec.Struct, frozen=True):
    """More text."""

    text: str


class Cited(msgspec.Struct, frozen=True):
    """The text that is open rests on this."""

    citation: Citation


class ThinkingDelta(msgspec.Struct, frozen=True):
    """More thinking."""

    text: str


class SignatureDelta(msgspec.Struct, frozen=True):
    """The signature of the thinking."""

    signature: str


class ArgumentsDelta(msgspec.Struct, frozen=True):
    """More of the JSON text of a tool call's arguments."""

    json_text: str


class PartEnded(msgspec.Struct, frozen=True):
    """The part that began last has ended."""


class Stopped(msgspec.Struct, frozen=True):
    """The model stopped. Only usage may follow."""

    stop: StopReason
    stop_sequence: str | None = None
    refusal: str | None = None


class UsageCounted(msgspec.Struct, frozen=True):
    """The usage, whole; the last one counts."""

    usage: Usage


class Ping(msgspec.Struct, frozen=True):
    """A sign of life."""


class Finished(msgspec.Struct, frozen=True):
    """The upstream's final event came."""


class Failed(msgspec.Struct, frozen=True):
    """The upstream reported an error instead of going on."""

    error: ApiError


StreamEvent = (
    Started
    | TextStarted
    | ThinkingStarted
    | RedactedThinking
    | Searched
    | ToolCallStarted
    | TextDelta
    | Cited
    | ThinkingDelta
    | SignatureDelta
    | ArgumentsDelta
    | PartEnded
    | Stopped
    | UsageCounted
    | Ping
    | Finished
    | Failed
)
