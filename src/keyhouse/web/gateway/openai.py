"""Models as OpenAI's API lists them: the types of the openai package, 3.54.0."""

from collections.abc import Iterable

import msgspec

from keyhouse.services.models import Explanation, ListedModel

_CREATED_UNKNOWN = 0
"""The catalogue has no dates of models."""


def render_models(models: Iterable[ListedModel]) -> bytes:
    """The list."""
    data = [_model(model.id, model.provider) for model in models]
    return msgspec.json.encode({"object": "list", "data": data})


def render_model(asked: str, found: Explanation) -> bytes:
    """One model, under the name it was asked for, and what that name means here."""
    return msgspec.json.encode({**_model(asked, found.provider), "keyhouse": found})


def _model(model_id: str, owner: str) -> dict[str, object]:
    return {"id": model_id, "object": "model", "created": _CREATED_UNKNOWN, "owned_by": owner}
