"""Decodes JSON in which half a character may stand: so does JavaScript write a text that was cut inside one, and the grammar allows it."""

import json
import re

import msgspec

_HALF = re.compile(r"\\u[dD][89a-fA-F]")


def decoded_json(text: bytes | str) -> object:
    """The value, with halves that belong together joined, and the mark for what can not be read in place of others.

    Raises msgspec.DecodeError, UnicodeDecodeError, RecursionError.
    """
    try:
        return msgspec.json.decode(text)
    except msgspec.DecodeError:
        whole = text if isinstance(text, str) else text.decode("utf-8")
        if not holds_halves(whole):
            raise
        return msgspec.json.decode(_repaired(whole))


def holds_halves(text: str) -> bool:
    """Whether half a character may stand in it."""
    return _HALF.search(text) is not None


def _repaired(text: str) -> str:
    try:
        value = json.loads(text)
    except ValueError as error:
        raise msgspec.DecodeError(str(error)) from error
    return json.dumps(value, ensure_ascii=False).encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
