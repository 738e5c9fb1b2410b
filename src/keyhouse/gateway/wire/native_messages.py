"""Messages as one server of Chat Completions wants them, in a body that goes there in its own format.

Most clients keep no signature of Gemini's (https://github.com/Gitlawb/openclaude/issues/76, 2026-04-01), and a conversation that another
model began has its ids. What a server wants is said in `Quirk`; a translated request has it from its rendering.
"""

from collections.abc import Callable, Sequence

from keyhouse.domain.calling import Quirk
from keyhouse.gateway.wire.call_signatures import render_missing_signature
from keyhouse.gateway.wire.fields import JsonObject
from keyhouse.gateway.wire.losses import Losses
from keyhouse.gateway.wire.model_traits import chat_traits
from keyhouse.gateway.wire.openai_chat.message_rendering import bridged, call_id

_OF_CALLS: frozenset[Quirk] = frozenset({"signed_calls", "short_call_ids", "assistant_after_tools"})
_OF_MESSAGES = _OF_CALLS | {"no_names"}


def may_be_unwanted(body: bytes, quirks: Sequence[Quirk]) -> bool:
    """Whether a body is worth decoding for it."""
    has_calls = b'"tool_call' in body and not _OF_CALLS.isdisjoint(quirks)
    return has_calls or ("no_names" in quirks and b'"name"' in body)


def with_wanted_messages(body: JsonObject, model: str, quirks: Sequence[Quirk], losses: Losses) -> JsonObject:
    """The body with its messages as the server wants them; the given one where nothing has to change. What is odd stays as it is.

    Raises Error `unsupported_parameter` where something would be left out and `drop_tuning_params` is false.
    """
    said = body.get("messages")
    if not isinstance(said, list) or _OF_MESSAGES.isdisjoint(quirks):
        return body
    wanted: list[object] = said
    if "no_names" in quirks:
        wanted = [_unnamed(message, losses) for message in wanted]
    if "signed_calls" in quirks and chat_traits(model).wants_signatures:
        wanted = [_with_calls(message, _signed) for message in wanted]
    if "short_call_ids" in quirks:
        wanted = [_of_short_id(_with_calls(message, _short), "tool_call_id") for message in wanted]
    if "assistant_after_tools" in quirks:
        wanted = list(bridged(wanted))
    return body if wanted == said else {**body, "messages": wanted}


def _unnamed(message: object, losses: Losses) -> object:
    """Without the speaker's name; that of a tool stays."""
    if not isinstance(message, dict) or message.get("role") == "tool" or "name" not in message:
        return message
    if message["name"] is not None:
        losses.drop("messages[].name", "The provider does not know it, and refuses what it does not know.")
    return {name: value for name, value in message.items() if name != "name"}


def _with_calls(message: object, change: Callable[[list[object]], list[object]]) -> object:
    calls = message.get("tool_calls") if isinstance(message, dict) else None
    return {**message, "tool_calls": change(calls)} if isinstance(message, dict) and isinstance(calls, list) else message


def _signed(calls: list[object]) -> list[object]:
    """Of calls at once the first one alone is signed."""
    first = calls[0] if calls else None
    if not isinstance(first, dict) or first.get("extra_content") is not None:
        return calls
    return [{**first, "extra_content": render_missing_signature()}, *calls[1:]]


def _short(calls: list[object]) -> list[object]:
    return [_of_short_id(call, "id") for call in calls]


def _of_short_id(value: object, name: str) -> object:
    given = value.get(name) if isinstance(value, dict) else None
    return {**value, name: call_id(given, is_short=True)} if isinstance(value, dict) and isinstance(given, str) else value
