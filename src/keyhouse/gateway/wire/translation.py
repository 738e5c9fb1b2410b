"""Between a caller's format and an upstream's: requests one way; answers, errors and streams the other. No I/O."""

from collections.abc import Iterator, Mapping
from typing import Protocol, TypeVar

from msgspec.structs import replace

from keyhouse.domain.errors import Code, Error
from keyhouse.gateway.wire import anthropic_messages, bedrock_converse, openai_chat, openai_responses
from keyhouse.gateway.wire.answer import (
    Answer,
    AnswerDefaults,
    AnswerPart,
    ApiError,
    Failed,
    Finished,
    Started,
    Stopped,
    StopReason,
    StreamEvent,
    TextDelta,
    ToolCallStarted,
    Usage,
    UsageCounted,
)
from keyhouse.gateway.wire.conversation import SEARCH, RenderedRequest, Request, ToolCallPart, UpstreamModel
from keyhouse.gateway.wire.decoding import decoded
from keyhouse.gateway.wire.fields import Fields, JsonObject, unsupported
from keyhouse.gateway.wire.first_call import FirstCall
from keyhouse.gateway.wire.losses import Losses
from keyhouse.gateway.wire.model_traits import most_output_tokens
from keyhouse.gateway.wire.parameters import CallerFormat, UpstreamFormat, kept_parameters, losses_of
from keyhouse.gateway.wire.tool_names import LONGEST_NAMES, with_short_names
from keyhouse.gateway.wire.whole_answers import WholeAnswerParser

_SEARCHING = ("openai_responses", "anthropic_messages")
_NO_SEARCH = "This model can not search the web. Claude can, but on Bedrock; so can OpenAI's models of Responses, from gpt-5.2 on."

_Called = TypeVar("_Called", AnswerPart, StreamEvent)


class EventParser(Protocol):
    """Reads an upstream's stream."""

    def parse(self, name: str | None, data: bytes) -> Iterator[StreamEvent]:
        """The events that one event of the upstream amounts to."""


class EventRenderer(Protocol):
    """Writes a caller's stream."""

    def render(self, event: StreamEvent) -> Iterator[bytes]:
        """The bytes of one event."""

    def render_failure(self, error: ApiError) -> bytes:
        """The bytes of the error that ends a stream."""


class _Caller(Protocol):
    """What the package of a format has that callers speak."""

    def parse_request(self, body: JsonObject, losses: Losses) -> Request: ...
    def render_response(self, answer: Answer, defaults: AnswerDefaults) -> JsonObject: ...
    def render_error(self, error: ApiError) -> JsonObject: ...
    def StreamRenderer(self, defaults: AnswerDefaults) -> EventRenderer: ...  # noqa: N802 - a class


class _Upstream(Protocol):
    """What the package of a format has that upstreams speak."""

    def render_request(self, request: Request, model: UpstreamModel, losses: Losses) -> RenderedRequest: ...
    def parse_response(self, fields: Fields) -> Answer: ...
    def parse_error(self, status: int, body: bytes) -> ApiError: ...
    def StreamParser(self) -> EventParser: ...  # noqa: N802 - a class


_CALLERS: Mapping[CallerFormat, _Caller] = {
    "openai_chat": openai_chat,
    "openai_responses": openai_responses,
    "anthropic_messages": anthropic_messages,
}
_UPSTREAMS: Mapping[UpstreamFormat, _Upstream] = {
    "openai_chat": openai_chat,
    "openai_responses": openai_responses,
    "anthropic_messages": anthropic_messages,
    "bedrock_converse": bedrock_converse,
}


def render_upstream_request(body: JsonObject, caller: CallerFormat, upstream: UpstreamFormat, model: UpstreamModel) -> RenderedRequest:
    """A caller's decoded request in the upstream's format.

    Raises Error: `bad_request` where a member is not of its type, `unsupported_parameter` for what the upstream's format can not hold;
    with `drop_tuning_params: false` also for what would be dropped.
    """
    losses = losses_of(body)
    kept = kept_parameters(body, caller, upstream, losses)
    request = _CALLERS[caller].parse_request(kept, losses)
    if caller == "anthropic_messages":
        request = _within_limit(request, model, losses)
    if upstream not in _SEARCHING:
        request = _without_search(request, losses)
    shortened, names = with_short_names(request, LONGEST_NAMES[upstream], taken=_taken(request, upstream, model))
    if names:
        is_long = any(len(name) > LONGEST_NAMES[upstream] for name in names.values())
        losses.change("tools[].name", "shortened" if is_long else "rewritten")
    return replace(_UPSTREAMS[upstream].render_request(shortened, model, losses), tool_names=names, include_usage=request.include_usage)


def _within_limit(request: Request, model: UpstreamModel, losses: Losses) -> Request:
    """The request with a limit that the model takes: who has to state one states Claude's, as Claude Code does of models that it does not
    know (https://github.com/BerriAI/litellm/pull/23198, 2026-03-09)."""
    most = model.max_output_tokens or most_output_tokens(model.id)
    if most is None or request.max_tokens is None or request.max_tokens <= most:
        return request
    losses.change("max_tokens", most)
    return replace(request, max_tokens=most)


def _taken(request: Request, upstream: UpstreamFormat, model: UpstreamModel) -> frozenset[str]:
    """The names that no function may have: Claude's search has one, and takes no other tool of it beside itself
    (https://github.com/danny-avila/LibreChat/issues/13162, 2026-05-17); other servers have tools of their own."""
    if "bare_responses" in model.quirks:
        return openai_responses.TAKEN_NAMES
    return frozenset((SEARCH,)) if upstream == "anthropic_messages" and request.search is not None else frozenset()


def _without_search(request: Request, losses: Losses) -> Request:
    search = request.search
    if search is None:
        return request
    if not search.can_be_missing or (request.tool_choice is not None and request.tool_choice.mode == "search"):
        raise unsupported(search.parameter, _NO_SEARCH)
    losses.drop("tools[].web_search", _NO_SEARCH)
    return replace(request, search=None)


def render_caller_response(body: bytes, caller: CallerFormat, upstream: UpstreamFormat, defaults: AnswerDefaults) -> JsonObject:
    """An upstream's whole answer in the caller's format. Raises Error (`upstream_invalid_answer`)."""
    answer = _UPSTREAMS[upstream].parse_response(decoded(body))
    if defaults.one_call:
        answer = replace(answer, parts=tuple(FirstCall().parts(answer.parts)))
    if defaults.tool_names:
        answer = replace(answer, parts=tuple(_named(part, defaults.tool_names) for part in answer.parts))
    return _CALLERS[caller].render_response(answer, defaults)


def _named(part: _Called, names: Mapping[str, str]) -> _Called:
    """A part of an answer, or an event of its stream, with the name of a tool as the caller knows it."""
    return replace(part, name=names.get(part.name, part.name)) if isinstance(part, ToolCallPart | ToolCallStarted) else part


def render_caller_error(
    status: int, body: bytes, caller: CallerFormat, upstream: UpstreamFormat, error_type: str | None = None
) -> JsonObject:
    """An upstream's error in the caller's format; the status is to be kept, so that official clients raise what they would have raised.

    `error_type` is the header `x-amzn-errortype`, which says what Converse's body does not.
    """
    if upstream == "bedrock_converse":
        error = bedrock_converse.parse_error(status, body, error_type)
    else:
        error = _UPSTREAMS[upstream].parse_error(status, body)
    return _CALLERS[caller].render_error(error)


class StreamTranslation:
    """One stream on its way from the upstream to the caller. Every method answers with bytes for the caller, often none.

    Whatever happens, the caller's stream ends in its final event or in an error event, once. `is_whole`: the upstream's is one event.
    """

    def __init__(self, caller: CallerFormat, upstream: UpstreamFormat, defaults: AnswerDefaults, *, is_whole: bool = False) -> None:
        self._parser = WholeAnswerParser() if is_whole else _UPSTREAMS[upstream].StreamParser()
        self._renderer = _CALLERS[caller].StreamRenderer(defaults)
        self._tool_names = defaults.tool_names
        self._first_call = FirstCall() if defaults.one_call else None
        self.has_ended = False
        self.error: ApiError | None = None
        self.usage: Usage | None = None
        self.started: Started | None = None
        self.stop: StopReason | None = None

    def feed(self, name: str | None, data: bytes) -> bytes:
        """One event of the upstream: a server-sent event's name, or the event type of an AWS event stream; and its data."""
        if self.has_ended:
            return b""
        rendered = bytearray()
        try:
            events = self._parser.parse(name, data)
            for event in events if self._first_call is None else self._first_call.events(events):
                told = _named(event, self._tool_names) if self._tool_names else event
                rendered += b"".join(self._renderer.render(told))
                self._note(event)
        except Error as error:
            rendered += self.fail(error.message, error.code)
        return bytes(rendered)

    def end(self) -> bytes:
        """The upstream's body has ended."""
        return self.fail("The upstream's stream ended before its final event.", Code.UPSTREAM_STREAM_INCOMPLETE)

    def fail(self, message: str, code: str, status: int = 502) -> bytes:
        """Something broke on the way; nothing once the stream has ended."""
        if self.has_ended:
            return b""
        self.has_ended = True
        self.error = ApiError(status=status, message=message, code=str(code))
        return self._renderer.render_failure(self.error)

    def _note(self, event: StreamEvent) -> None:
        match event:
            case TextDelta():
                # By far the most.
                pass
            case UsageCounted(usage=usage):
                self.usage = usage
            case Started():
                self.started = event
            case Stopped(stop=stop):
                self.stop = stop
            case Failed(error=error):
                self.has_ended, self.error = True, error
            case Finished():
                self.has_ended = True
