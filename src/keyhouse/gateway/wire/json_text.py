"""Decodes JSON in which half a character may stand: so does JavaScript write a text that was cut inside one, and the grammar allows it."""

import json
import re

import msgspec

MOST_CONTAINERS = 500_000
MOST_VALUES = 4_000_000
"""What one text may hold. Objects and arrays take some sixty times the memory that they take as text, and nobody is served while they are
made; of other values there are as many in a thousand embeddings."""

UNREADABLE = (msgspec.MsgspecError, UnicodeError, RecursionError)
"""What reading a text raises that is no JSON, or not of the type that is asked for, or nested too deep."""
_HALF = re.compile(r"\\u[dD][89a-fA-F]")


class TooManyValuesError(msgspec.DecodeError):
    """It may well be JSON."""


def decoded_json(text: bytes | str) -> object:
    """The value, with halves that belong together joined, and the mark for what can not be read in place of others.

    Raises one of UNREADABLE, TooManyValuesError among them.
    """
    if len(text) > MOST_CONTAINERS:
        require_few_values(text)
    try:
        return msgspec.json.decode(text)
    except msgspec.DecodeError:
        whole = text if isinstance(text, str) else text.decode("utf-8")
        if not holds_halves(whole):
            raise
        return msgspec.json.decode(_repaired(whole))


def require_few_values(text: bytes | str, most_containers: int = MOST_CONTAINERS) -> None:
    """Raise TooManyValuesError where a text may hold too many; what stands inside its strings counts."""
    as_bytes = text.encode("utf-8", "surrogatepass") if isinstance(text, str) else text
    if may_hold_more(as_bytes, most_containers) or as_bytes.count(b",") > MOST_VALUES:
        raise TooManyValuesError("too many values")


def may_hold_more(text: bytes, containers: int) -> bool:
    """Whether a text may hold more objects and arrays than so many; brackets inside its strings count."""
    return len(text) > containers and text.count(b"[") + text.count(b"{") > containers


def holds_halves(text: str) -> bool:
    """Whether half a character may stand in it."""
    return _HALF.search(text) is not None


def _repaired(text: str) -> str:
    try:
        value = json.loads(text)
    except ValueError as error:
        raise msgspec.DecodeError(str(error)) from error
    return json.dumps(value, ensure_ascii=False).encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
