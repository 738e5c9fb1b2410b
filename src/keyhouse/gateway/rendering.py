"""From a caller's body to the one that goes out: held to what is declared, its model renamed, translated where the formats differ."""

import time
from collections.abc import Iterable, Mapping

import msgspec

from keyhouse.domain.calling import EndpointName, Wire
from keyhouse.domain.errors import Code, Error
from keyhouse.domain.target import Target
from keyhouse.gateway.call import Call
from keyhouse.gateway.other_rendering import OTHER_TRANSLATIONS
from keyhouse.gateway.prepared import Prepared
from keyhouse.gateway.rendered import BETA, Render, Rendered, decoded_body, held_body, passed_on, with_betas
from keyhouse.gateway.translated import ChatTranslation
from keyhouse.gateway.wire.answer import AnswerDefaults
from keyhouse.gateway.wire.anthropic_messages import render_vertex_request
from keyhouse.gateway.wire.cache_scopes import may_hold_scopes, without_scopes
from keyhouse.gateway.wire.conversation import UpstreamModel
from keyhouse.gateway.wire.dialect import in_dialect
from keyhouse.gateway.wire.enforcement import enforced
from keyhouse.gateway.wire.fields import JsonObject
from keyhouse.gateway.wire.native_messages import may_be_unwanted, with_wanted_messages
from keyhouse.gateway.wire.openai_responses import ECHOED
from keyhouse.gateway.wire.own_thoughts import may_hold_others, with_own_thoughts
from keyhouse.gateway.wire.parameters import CallerFormat, UpstreamFormat, losses_of, without_switch
from keyhouse.gateway.wire.splice import with_model
from keyhouse.gateway.wire.translation import render_upstream_request


def rendered(call: Call, prepared: Prepared) -> Rendered:
    """What goes out for a call. Raises Error: what the body says that it must not."""
    render = _TRANSLATED.get((call.endpoint, call.target.wire), _native)
    try:
        return render(call, prepared)
    except RecursionError:
        # It was read just so: what goes out is a little deeper.
        raise Error(Code.MALFORMED_REQUEST, "The body is nested too deep to be translated.") from None


def takes_long(call: Call, prepared: Prepared) -> bool:
    """Whether rendering a large body takes long: it is decoded. What else is done is copying it once."""
    return is_translated(call.endpoint, call.target.wire) or (call.form is None and looks_into(call.body, call.target, prepared))


def is_translated(endpoint: EndpointName, wire: Wire) -> bool:
    """Whether calls of an endpoint change their format on the way to an upstream of this one."""
    return (endpoint, wire) in _TRANSLATED


def looks_into(body: bytes, target: Target, prepared: Prepared) -> bool:
    """Whether a JSON body that passes in its own format has to be decoded, as more than its model may have to change."""
    if prepared.declares or (prepared.has_range and b"temperature" in body) or _may_hold_others(body, target):
        return True
    if may_be_unwanted(body, target.dialect.quirks):
        return True
    return bool(prepared.foreign) and any(key in body for key in prepared.foreign)


def _may_hold_others(body: bytes, target: Target) -> bool:
    """Whether there may be thoughts that the upstream refuses for being another's."""
    return "own_thoughts" in target.dialect.quirks and may_hold_others(body)


def _native(call: Call, prepared: Prepared) -> Rendered:
    body, head, target = call.body, call.head, call.target
    if call.form is not None:
        return Rendered(call.form.with_value("model", target.upstream_model), head.stream)
    if looks_into(body, target, prepared):
        decoded = decoded_body(body)
        held = enforced(call.endpoint, decoded, target.declared, target.temperature_range)
        losses = losses_of(decoded)
        understood = in_dialect(held.body, target.dialect, losses)
        own = with_own_thoughts(understood, losses) if _may_hold_others(body, target) else understood
        wanted = with_wanted_messages(own, target.upstream_model, target.dialect.quirks, losses)
        if wanted is not decoded:
            dropped = (*held.dropped, *losses.dropped)
            return Rendered(_encoded(wanted, target.upstream_model), head.stream, dropped, held.enforced, query=call.query)
    return Rendered(with_model(body, head, target.upstream_model), head.stream, query=call.query)


def _encoded(body: JsonObject, model: str) -> bytes:
    return msgspec.json.encode({**without_switch(body), "model": model})


def _chat(caller: CallerFormat, upstream: UpstreamFormat, *, on_vertex: bool = False) -> Render:
    """Renders a chat request of one format in another."""

    def render(call: Call, prepared: Prepared) -> Rendered:
        held, target = held_body(call), call.target
        request = render_upstream_request(held.body, caller, upstream, _upstream_model(call, prepared))
        body = render_vertex_request(request.body) if on_vertex else request.body
        repeated = {name: held.body[name] for name in _REPEATED[caller] if name in held.body}
        own_id = f"{_ID_PREFIXES[caller]}{call.request_id}"
        told = {"include_usage": request.include_usage, "one_call": request.one_call}
        defaults = AnswerDefaults(own_id, target.model_id, int(time.time()), request.tool_names, repeated, **told)
        also = (BETA,) if upstream == "anthropic_messages" else ()
        return Rendered(
            msgspec.json.encode(body),
            call.head.stream and not request.is_whole,
            _once(held.dropped, request.dropped),
            _once(held.enforced, request.enforced),
            with_betas(passed_on(call, prepared, also), request.betas),
            ChatTranslation(caller, upstream, defaults, is_whole=request.is_whole),
        )

    return render


_ID_PREFIXES: Mapping[CallerFormat, str] = {"openai_chat": "chatcmpl-", "openai_responses": "resp_", "anthropic_messages": "msg_"}


_REPEATED: Mapping[CallerFormat, Iterable[str]] = {"openai_chat": (), "openai_responses": ECHOED, "anthropic_messages": ()}
"""What an answer says again of its request."""


def _messages_on_vertex(call: Call, prepared: Prepared) -> Rendered:
    """The same format, with the model in the URL; where tokens are counted, it stands in the body."""
    held = held_body(call)
    losses = losses_of(held.body)
    own = with_own_thoughts(held.body, losses) if _may_hold_others(call.body, call.target) else held.body
    unscoped = without_scopes(own, losses) if may_hold_scopes(call.body) else own
    counted = {"model": call.target.upstream_model} if call.endpoint == "count_tokens" else {}
    return Rendered(
        msgspec.json.encode({**render_vertex_request(without_switch(unscoped)), **counted}),
        call.head.stream,
        (*held.dropped, *losses.dropped),
        held.enforced,
        passed_on(call, prepared, (BETA,)),
    )


def _upstream_model(call: Call, prepared: Prepared) -> UpstreamModel:
    target = call.target
    return UpstreamModel(
        target.upstream_model,
        target.max_output_tokens,
        output_limit_name=target.dialect.output_limit,
        refuses=target.dialect.refuses,
        quirks=target.dialect.quirks,
        takes_betas=BETA not in prepared.replaced,
    )


def _once(*names: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(name for group in names for name in group))


_TRANSLATED: Mapping[tuple[EndpointName, Wire], Render] = {
    ("chat", "openai_responses"): _chat("openai_chat", "openai_responses"),
    ("chat", "anthropic_messages"): _chat("openai_chat", "anthropic_messages"),
    ("chat", "anthropic_vertex"): _chat("openai_chat", "anthropic_messages", on_vertex=True),
    ("chat", "bedrock_converse"): _chat("openai_chat", "bedrock_converse"),
    ("responses", "openai_chat"): _chat("openai_responses", "openai_chat"),
    ("responses", "anthropic_messages"): _chat("openai_responses", "anthropic_messages"),
    ("responses", "anthropic_vertex"): _chat("openai_responses", "anthropic_messages", on_vertex=True),
    ("responses", "bedrock_converse"): _chat("openai_responses", "bedrock_converse"),
    ("messages", "openai_chat"): _chat("anthropic_messages", "openai_chat"),
    ("messages", "openai_responses"): _chat("anthropic_messages", "openai_responses"),
    ("messages", "bedrock_converse"): _chat("anthropic_messages", "bedrock_converse"),
    ("messages", "anthropic_vertex"): _messages_on_vertex,
    ("count_tokens", "anthropic_vertex"): _messages_on_vertex,
    **OTHER_TRANSLATIONS,
}
"""By the caller's endpoint and the upstream's wire format; all other pairs are the same format."""
