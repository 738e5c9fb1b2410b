"""How a value becomes the JSON of an answer."""

import msgspec

from keyhouse.web.control.routing import Answer


def json_answer(value: object, status: int = 200) -> Answer:
    """An answer of one JSON value."""
    return Answer(msgspec.json.encode(value), status=status)
