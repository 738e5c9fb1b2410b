"""Fields that several bodies have: names, descriptions, ids, moments in time. What is refused here never reaches the database."""

import re
import unicodedata
from datetime import UTC, datetime
from typing import Annotated

from pydantic import AfterValidator, BeforeValidator, StringConstraints, WithJsonSchema
from pydantic_core import PydanticCustomError

_LONGEST_NAME = 200
_LONGEST_TEXT = 2000
# Control characters, surrogates, line and paragraph separators: of no use in a name, and some of them no database keeps.
_REFUSED_CATEGORIES = frozenset({"Cc", "Cs", "Zl", "Zp"})
# They turn the text around them: a name would read as another one.
_DIRECTION = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
_MOMENT = re.compile(r"\d{4}-\d{2}-\d{2}[Tt ]\d{2}:\d{2}(:\d{2}(\.\d{1,9})?)?([Zz]|[+-]\d{2}:?\d{2})", re.ASCII)


def _legible(text: str) -> str:
    if any(unicodedata.category(character) in _REFUSED_CATEGORIES or character in _DIRECTION for character in text):
        raise PydanticCustomError("invalid_string", "must not hold control characters")
    return text


def _legible_lines(text: str) -> str:
    _legible(text.replace("\n", "").replace("\r", "").replace("\t", ""))
    return text


def _future(value: object) -> datetime:
    moment = _moment(value)
    if moment <= datetime.now(UTC):
        raise PydanticCustomError("past", "must be in the future")
    return moment


def _moment(value: object) -> datetime:
    if isinstance(value, str) and _MOMENT.fullmatch(value):
        try:
            return datetime.fromisoformat(value.upper()).astimezone(UTC)
        except (ValueError, OverflowError):
            pass
    raise PydanticCustomError("invalid_moment", "must be a time with its zone, such as 2027-01-31T12:00:00Z")


Name = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=_LONGEST_NAME), AfterValidator(_legible)]
"""What people call a thing, without the blanks around it."""
Description = Annotated[str, StringConstraints(max_length=_LONGEST_TEXT), AfterValidator(_legible_lines)]
ScopeId = Annotated[str, StringConstraints(min_length=1, max_length=_LONGEST_NAME)]
FutureMoment = Annotated[datetime, BeforeValidator(_future), WithJsonSchema({"type": "string", "format": "date-time"})]
"""ISO 8601 with a zone, later than now; in UTC once it is read."""
