"""What a request says of the place that it searches the web from. The same words in every format."""

from keyhouse.gateway.wire.fields import Fields, JsonObject, without_nones


def stated_place(location: Fields | None) -> JsonObject | None:
    """A place; None where it says nothing of one."""
    stated = {} if location is None else {name: location.text_or_none(name) for name in ("city", "region", "country", "timezone")}
    known = without_nones(stated)
    return {"type": "approximate", **known} if known else None
