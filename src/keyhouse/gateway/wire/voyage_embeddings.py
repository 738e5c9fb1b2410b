"""Embeddings between OpenAI's format and Voyage's: https://docs.voyageai.com/reference/embeddings-api (2026-11-23)."""

from keyhouse.gateway.wire.fields import Fields, JsonObject, unsupported, without_nones
from keyhouse.gateway.wire.losses import Losses
from keyhouse.gateway.wire.parameters import DROP_TUNING_PARAMS

_KEPT = ("input", "input_type", "truncation", "output_dimension", "output_dtype")
"""The last four are Voyage's own."""


def render_request(body: JsonObject, model: str, losses: Losses) -> JsonObject:
    """The body of `POST /v1/embeddings`. Raises Error (`unsupported_parameter`, `bad_request`)."""
    fields = Fields(body)
    fields.check_names(*_KEPT, "model", "dimensions", "encoding_format", "user", DROP_TUNING_PARAMS)
    if any(not isinstance(text, str) for text in _texts(fields)):
        raise unsupported("input", "The upstream takes text only, and no tokens.")
    if fields.has("user"):
        losses.drop("user", "The upstream has nothing like it.")
    encoding = fields.choice_or_none("encoding_format", ("float", "base64"))
    rendered = {name: body.get(name) for name in _KEPT}
    if fields.has("dimensions"):
        rendered["output_dimension"] = fields.integer("dimensions")
    return without_nones({**rendered, "model": model, "encoding_format": encoding if encoding == "base64" else None})


def parse_response(fields: Fields) -> JsonObject:
    """An answer in OpenAI's format: the same, but for the count of the prompt's tokens."""
    fields.items("data")
    usage = fields.object_or_none("usage")
    total = usage.integer_or_none("total_tokens") or 0 if usage else 0
    return {**fields.raw, "object": "list", "usage": {"prompt_tokens": total, "total_tokens": total}}


def _texts(fields: Fields) -> list[object]:
    given = fields.raw.get("input")
    return given if isinstance(given, list) else [given]
