"""Items of Responses that change, from where they stand on, how much a model reasons and what form its answer has.

The types of the openai package (3.57.0), 30 November 2026.
"""

from keyhouse.gateway.wire.fields import Fields, JsonObject

_TYPE = "configuration_update"
_MEMBERS = {"reasoning": "effort", "text": "format"}
"""What an item may change, and which member of it."""


def is_update(item: Fields) -> bool:
    """Whether an item changes the request, and says nothing itself."""
    return item.raw.get("type") == _TYPE


def updated(request: Fields) -> Fields:
    """The request with what its items have changed in the end: other formats say it once, for the whole request. Its items stay."""
    if not isinstance(request.raw.get("input"), list):
        return request
    body = dict(request.raw)
    for item in filter(is_update, request.objects("input")):
        item.check_names("type", "id", *_MEMBERS)
        for name, member in _MEMBERS.items():
            body[name] = _changed(body.get(name), item.object_or_none(name), member)
    return Fields(body)


def _changed(stated: object, change: Fields | None, member: str) -> object:
    if change is None:
        return stated
    change.check_names(member)
    if not change.has(member):
        return stated
    before: JsonObject = stated if isinstance(stated, dict) else {}
    return {**before, member: change.raw[member]}
