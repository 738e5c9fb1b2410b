"""Decodes the JSON that an upstream sent. Reads no member of it."""

from typing import Any

import msgspec

from keyhouse.domain.errors import Code, Error
from keyhouse.gateway.wire.fields import Fields, JsonObject


def decoded(data: bytes) -> Any:
    """The JSON value of a whole answer. Raises Error (`upstream_invalid_answer`)."""
    try:
        return msgspec.json.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Error(Code.UPSTREAM_INVALID_ANSWER, "The upstream answered with something that is not JSON.") from error


def decoded_event(data: bytes) -> Fields:
    """The JSON object of one event. Raises Error (`upstream_invalid_answer`)."""
    return Fields(decoded(data), code=Code.UPSTREAM_INVALID_ANSWER)


def decoded_object(body: bytes) -> JsonObject:
    """The JSON object in the body of an error; empty where it holds none."""
    try:
        value = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


def no_message(status: int) -> str:
    """What is said where the upstream said nothing that can be read."""
    return f"The upstream answered with status {status} and no message."
