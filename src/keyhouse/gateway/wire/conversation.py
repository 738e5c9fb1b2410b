"""A request for a chat answer, free of any wire format: what every format is parsed into and rendered from. Values only."""

from collections.abc import Mapping
from typing import Literal

import msgspec

from keyhouse.domain.calling import OutputLimitName, Quirk, Refusable
from keyhouse.gateway.wire.fields import JsonObject

Role = Literal["system", "user", "assistant"]
Effort = Literal["minimal", "low", "medium", "high", "xhigh", "max"]
ServiceTier = Literal["standard", "priority", "flex"]
CacheLifetime = Literal["5m", "1h"]


SEARCH = "web_search"
"""What the provider's own search of the web is called."""


class CacheMarker(msgspec.Struct, frozen=True):
    """The prompt up to and including this part shall be cached; `parameter` is what asks for it."""

    lifetime: CacheLifetime | None = None
    parameter: str = "cache_control"


class Base64Source(msgspec.Struct, frozen=True):
    """Bytes that came with the request, in base64."""

    media_type: str
    data: str


class UrlSource(msgspec.Struct, frozen=True):
    """Bytes that the upstream itself shall fetch."""

    url: str


class FileSource(msgspec.Struct, frozen=True):
    """Bytes that the caller stored with the upstream, under the upstream's own id."""

    file_id: str


class TextSource(msgspec.Struct, frozen=True):
    """A document of plain text."""

    text: str


Source = Base64Source | UrlSource | FileSource | TextSource


class Citation(msgspec.Struct, frozen=True):
    """A page of the web that an answer rests on."""

    url: str
    title: str


class TextPart(msgspec.Struct, frozen=True):
    """Text; of an answer, with what it rests on."""

    text: str
    cache: CacheMarker | None = None
    citations: tuple[Citation, ...] = ()


class ImagePart(msgspec.Struct, frozen=True):
    """An image."""

    source: Source
    cache: CacheMarker | None = None


class DocumentPart(msgspec.Struct, frozen=True):
    """A file to read, with the title and context that the model is told."""

    source: Source
    title: str | None = None
    context: str | None = None
    cache: CacheMarker | None = None


class AudioPart(msgspec.Struct, frozen=True):
    """Sound in base64; `format` as in `wav` or `mp3`."""

    data: str
    format: str


class ThinkingPart(msgspec.Struct, frozen=True):
    """What a model thought. Only with its signature does the model accept it back."""

    text: str
    signature: str | None = None


class RedactedThinkingPart(msgspec.Struct, frozen=True):
    """Thinking that only the provider can read."""

    data: str


class ToolCallPart(msgspec.Struct, frozen=True):
    """A call of a tool."""

    id: str
    name: str
    arguments: JsonObject
    cache: CacheMarker | None = None


class ToolResultPart(msgspec.Struct, frozen=True):
    """What a tool answered; `content` holds text, image and document parts."""

    tool_call_id: str
    content: tuple[TextPart | ImagePart | DocumentPart, ...]
    is_error: bool = False
    cache: CacheMarker | None = None


class SearchPart(msgspec.Struct, frozen=True):
    """A search of the web that the provider made for an answer: what for, and the addresses that it found."""

    id: str
    query: str
    found: tuple[str, ...] = ()
    has_failed: bool = False


Part = TextPart | ImagePart | DocumentPart | AudioPart | ThinkingPart | RedactedThinkingPart | ToolCallPart | ToolResultPart


class Message(msgspec.Struct, frozen=True):
    """One message. A system message may stand anywhere and holds text only; `stays` where it must not move to the front."""

    role: Role
    parts: tuple[Part, ...]
    stays: bool = False


class Tool(msgspec.Struct, frozen=True):
    """A function the model may call. `schema` is a JSON schema; None for no arguments."""

    name: str
    description: str | None = None
    schema: JsonObject | None = None
    strict: bool | None = None
    cache: CacheMarker | None = None


class Search(msgspec.Struct, frozen=True):
    """The provider itself may search the web: at most `most` times, in these domains alone or in all but those, as from `location`
    (`{"type": "approximate", "country"?, ...}`). `parameter` is where the caller asked for it; `can_be_missing` where it asks that of
    every model."""

    parameter: str
    can_be_missing: bool = False
    most: int | None = None
    allowed_domains: tuple[str, ...] = ()
    blocked_domains: tuple[str, ...] = ()
    location: JsonObject | None = None


class ToolChoice(msgspec.Struct, frozen=True):
    """Whether tools must, may or must not be called; `name` for `named`. `search`: the provider must search the web itself."""

    mode: Literal["auto", "none", "required", "named", "search"]
    name: str | None = None


class Reasoning(msgspec.Struct, frozen=True):
    """How much to think. `mode` None leaves the model's default and states an effort only; `budget_tokens` bounds what is thought."""

    mode: Literal["off", "on", "between_tools"] | None = None
    effort: Effort | None = None
    budget_tokens: int | None = None
    display: str | None = None
    parameter: str = "reasoning_effort"
    """What the caller called it."""


class OutputSchema(msgspec.Struct, frozen=True):
    """The JSON schema that the answer's text must follow."""

    schema: JsonObject
    name: str | None = None
    description: str | None = None
    strict: bool | None = None

    @property
    def told(self) -> JsonObject:
        """The schema with what is said of it inside, where a format has no other place for that."""
        is_told = self.description is None or "description" in self.schema
        return self.schema if is_told else {**self.schema, "description": self.description}


class Request(msgspec.Struct, frozen=True):
    """A whole request. What is None was not asked for. `any_json` is what the caller called a wish for JSON without a schema;
    `begins_answer`: a last message of the assistant is the beginning of the answer."""

    messages: tuple[Message, ...]
    tools: tuple[Tool, ...] = ()
    search: Search | None = None
    tool_choice: ToolChoice | None = None
    parallel_tool_calls: bool | None = None
    max_tokens: int | None = None
    temperature: int | float | None = None
    top_p: int | float | None = None
    top_k: int | None = None
    stop: tuple[str, ...] = ()
    reasoning: Reasoning | None = None
    output_schema: OutputSchema | None = None
    any_json: str | None = None
    stream: bool = False
    include_usage: bool = False
    user_id: str | None = None
    service_tier: ServiceTier | None = None
    cache: CacheMarker | None = None
    begins_answer: bool = False


class UpstreamModel(msgspec.Struct, frozen=True):
    """What is known of the model that a request is rendered for.

    `id` is the model as the upstream names it. `max_output_tokens` stands in where a format wants a limit and the caller gave none.
    `takes_betas`: the header `anthropic-beta` can be added to. The rest is for OpenAI-shaped upstreams, which differ: the name of the
    limit, which parameters are refused, and what else they want.
    """

    id: str
    max_output_tokens: int | None = None
    output_limit_name: OutputLimitName = "max_completion_tokens"
    refuses: tuple[Refusable, ...] = ()
    quirks: tuple[Quirk, ...] = ()
    takes_betas: bool = True


class RenderedRequest(msgspec.Struct, frozen=True):
    """A request in the upstream's format.

    `dropped` names the caller's parameters that have no equivalent, `enforced` what was changed, as `temperature=1`. `tool_names` are the
    caller's names of tools by those that stand in the body instead, `betas` what the header `anthropic-beta` must name for it;
    `include_usage` is as in `Request`. `is_whole`: the answer comes whole, whether the caller streams or not. `one_call` is as in
    `AnswerDefaults`.
    """

    body: JsonObject
    dropped: tuple[str, ...] = ()
    enforced: tuple[str, ...] = ()
    tool_names: Mapping[str, str] = msgspec.field(default_factory=dict)
    betas: tuple[str, ...] = ()
    include_usage: bool = False
    is_whole: bool = False
    one_call: bool = False
