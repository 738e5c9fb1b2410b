"""How domain values lie in text columns: JSON, decoded into exactly the types that were written."""

from typing import TypeVar

import msgspec

from keyhouse.domain.history import FieldChange
from keyhouse.domain.model import CustomModel

T = TypeVar("T")

models = msgspec.json.Decoder(tuple[CustomModel, ...])
names = msgspec.json.Decoder(tuple[str, ...])
field_changes = msgspec.json.Decoder(tuple[FieldChange, ...])
values = msgspec.json.Decoder(dict[str, object])


class HeaderValues(msgspec.Struct, frozen=True):
    """The values of extra headers as they are sealed, with the origin that they were given for: see `ModelProvider`."""

    values: tuple[str, ...]
    origin: str | None = None

    def __repr__(self) -> str:
        return "***"


header_values = msgspec.json.Decoder(HeaderValues)
_encoder = msgspec.json.Encoder()
_MOST_KEPT = 256
_LONGEST_KEPT = 8192
_LONGEST_NAMES_KEPT = 1024
_name_texts: dict[tuple[str, ...], str] = {}
_texts: dict[int, tuple[tuple[CustomModel, ...], str]] = {}


def encoded(value: object) -> str:
    """JSON text of a domain value."""
    return _encoder.encode(value).decode()


def names_text(names: tuple[str, ...]) -> str:
    """JSON text of names. Most of them came before."""
    text = _name_texts.get(names)
    if text is None:
        text = encoded(names)
        if len(text) <= _LONGEST_NAMES_KEPT:
            if len(_name_texts) >= _MOST_KEPT:
                _name_texts.clear()
            _name_texts[names] = text
    return text


def models_text(listed: tuple[CustomModel, ...]) -> str:
    """JSON text of a list of models. One that is the same as before, not just equal, is not encoded again."""
    if not listed:
        return "[]"
    kept = _texts.get(id(listed))
    if kept is not None and kept[0] is listed:
        return kept[1]
    text = encoded(listed)
    if len(text) <= _LONGEST_KEPT:
        if len(_texts) >= _MOST_KEPT:
            _texts.clear()
        _texts[id(listed)] = listed, text
    return text


def encoded_bytes(value: object) -> bytes:
    """The same, as bytes, for what is sealed."""
    return _encoder.encode(value)
