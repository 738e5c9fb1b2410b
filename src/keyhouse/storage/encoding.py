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


def encoded(value: object) -> str:
    """JSON text of a domain value."""
    return _encoder.encode(value).decode()


def encoded_bytes(value: object) -> bytes:
    """The same, as bytes, for what is sealed."""
    return _encoder.encode(value)
