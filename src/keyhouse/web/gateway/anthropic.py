"""Models as Anthropic lists them: platform.claude.com/docs/en/api/models/list and the types of the anthropic package, 2.12.0."""

from collections.abc import Mapping, Sequence

import msgspec

from keyhouse.domain.errors import Code, Error
from keyhouse.services.models import Explanation, ListedModel
from keyhouse.web.whole_numbers import whole_number

_CREATED_UNKNOWN = "1970-01-01T00:00:00Z"
"""What the reference has for a date that is not known."""
_MOST = 1000


def render_models(models: Sequence[ListedModel], query: Mapping[str, str]) -> bytes:
    """A page of the list; all of it where the query asks for no `limit`. Raises Error `bad_request` for a query that makes no sense."""
    page, has_more = _page(models, query)
    ids = [model.id for model in page]
    data = [_model(model) for model in page]
    return msgspec.json.encode(
        {"data": data, "has_more": has_more, "first_id": ids[0] if ids else None, "last_id": ids[-1] if ids else None}
    )


def render_model(asked: str, found: Explanation) -> bytes:
    """One model, under the name it was asked for, and what that name means here."""
    return msgspec.json.encode({**_model(ListedModel(asked, found.provider, found.model_id)), "keyhouse": found})


def _page(models: Sequence[ListedModel], query: Mapping[str, str]) -> tuple[Sequence[ListedModel], bool]:
    start, end = 0, len(models)
    if "after_id" in query:
        start = _place(models, query, "after_id") + 1
    elif "before_id" in query:
        end = _place(models, query, "before_id")
    limit = _limit(query)
    if limit is None or end - start <= limit:
        return models[start:end], False
    return (models[end - limit : end] if "before_id" in query else models[start : start + limit]), True


def _place(models: Sequence[ListedModel], query: Mapping[str, str], name: str) -> int:
    place = next((place for place, model in enumerate(models) if model.id == query[name]), None)
    if place is None:
        raise Error(Code.BAD_REQUEST, f"{name} names no model of the list.", param=name)
    return place


def _limit(query: Mapping[str, str]) -> int | None:
    if "limit" not in query:
        return None
    limit = whole_number(query["limit"])
    if limit is None or not 1 <= limit <= _MOST:
        raise Error(Code.BAD_REQUEST, f"limit must be a number from 1 to {_MOST}.", param="limit")
    return limit


def _model(model: ListedModel) -> dict[str, object]:
    return {
        "type": "model",
        "id": model.id,
        "display_name": model.display_name,
        "created_at": _CREATED_UNKNOWN,
        "lifecycle": "active",
        "max_input_tokens": model.max_input_tokens,
        "max_tokens": model.max_output_tokens,
    }
