"""Decodes the JSON that an upstream sent. Reads no member of it."""

import msgspec

from keyhouse.domain.errors import Code, Error
from keyhouse.gateway.wire.fields import Fields, JsonObject
from keyhouse.gateway.wire.json_text import UNREADABLE, TooManyValuesError, decoded_json

_LONGEST_WORDS = 4000


def decoded(data: bytes) -> Fields:
    """The JSON object of a whole answer, or of one event. Raises Error (`upstream_invalid_answer`)."""
    try:
        value = decoded_json(data)
    except TooManyValuesError as error:
        raise Error(Code.UPSTREAM_INVALID_ANSWER, "The upstream's answer holds too many values to be translated.") from error
    except UNREADABLE as error:
        raise Error(Code.UPSTREAM_INVALID_ANSWER, "The upstream answered with something that is not JSON.") from error
    return Fields(value, code=Code.UPSTREAM_INVALID_ANSWER)


def decoded_arguments(text: str, *, is_cut: bool) -> JsonObject | None:
    """The arguments of a tool call, JSON in a string. `is_cut`: the answer was cut off, and with it maybe this call, which then is None.

    Raises Error (`upstream_invalid_answer`).
    """
    try:
        arguments = decoded_json(text) if text.strip() else {}
    except UNREADABLE as error:
        if is_cut:
            return None
        raise Error(Code.UPSTREAM_INVALID_ANSWER, "The model wrote arguments of a tool call that are not JSON.") from error
    return Fields(arguments, "arguments", Code.UPSTREAM_INVALID_ANSWER).raw


def decoded_object(body: bytes) -> JsonObject:
    """The JSON object in the body of an error, which Google's APIs put into an array; empty where it holds none."""
    try:
        value = decoded_json(body)
    except UNREADABLE:
        return {}
    if isinstance(value, list) and value:
        value = value[0]
    return value if isinstance(value, dict) else {}


def stated_words(value: object) -> str:
    """An error's words: a text as it is, a list or an object in its place as JSON, else empty."""
    if isinstance(value, str):
        return value
    return msgspec.json.encode(value).decode()[:_LONGEST_WORDS] if value and isinstance(value, dict | list) else ""


def no_message(status: int) -> str:
    """What is said where the upstream said nothing that can be read."""
    return f"The upstream answered with status {status} and no message."
