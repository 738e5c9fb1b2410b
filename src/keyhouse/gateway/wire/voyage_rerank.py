"""Reranking between Cohere's format, which callers speak, and Voyage's: https://docs.voyageai.com/reference/reranker-api and
https://docs.cohere.com/reference/rerank (2026-11-23)."""

from keyhouse.gateway.wire.fields import Fields, JsonObject, without_nones
from keyhouse.gateway.wire.losses import Losses
from keyhouse.gateway.wire.parameters import DROP_TUNING_PARAMS

_KNOWN = ("model", "query", "documents", "top_n", "return_documents", "truncation", "max_tokens_per_doc", "priority", DROP_TUNING_PARAMS)


def render_request(body: JsonObject, model: str, losses: Losses) -> JsonObject:
    """The body of `POST /v1/rerank`. Raises Error (`unsupported_parameter`, `bad_request`)."""
    fields = Fields(body)
    fields.check_names(*_KNOWN)
    for name in ("max_tokens_per_doc", "priority"):
        if fields.has(name):
            losses.drop(name, "The upstream has nothing like it.")
    return without_nones(
        {
            "model": model,
            "query": fields.text("query"),
            "documents": fields.texts("documents"),
            "top_k": fields.integer_or_none("top_n"),
            "return_documents": fields.boolean_or_none("return_documents"),
            "truncation": fields.boolean_or_none("truncation"),
        }
    )


def parse_response(fields: Fields) -> JsonObject:
    """An answer in Cohere's format."""
    usage = fields.object_or_none("usage")
    total = usage.integer_or_none("total_tokens") if usage else None
    results = [_result(result) for result in fields.objects("data")]
    return without_nones({"results": results, "meta": {"tokens": {"input_tokens": total}} if total is not None else None})


def _result(result: Fields) -> JsonObject:
    document = result.text_or_none("document")
    stated = {"index": result.integer("index"), "relevance_score": result.number_or_none("relevance_score")}
    return {**stated, "document": {"text": document}} if document is not None else stated
