"""`GET /v1/models` and `GET /v1/models/{id}`: which names work for a project, and what one of them means and why."""

from urllib.parse import parse_qsl, unquote

from keyhouse.domain.errors import Code, Error
from keyhouse.gateway.headers import RawHeaders, chosen_headers
from keyhouse.gateway.wire.parameters import CallerFormat
from keyhouse.services.models import Models
from keyhouse.web.gateway import anthropic, openai
from keyhouse.web.gateway.envelopes import JSON
from keyhouse.web.gateway.exchange import Exchange


def model_asked_for(raw_path: bytes) -> str | None:
    """The name that a path below `/v1/models`, or `/openai/models`, asks for, slashes encoded or not; None for the list."""
    return unquote(raw_path.decode("latin-1").partition("/models/")[2]) or None


async def models_answer(models: Models, project_id: str, exchange: Exchange, spoken: CallerFormat) -> tuple[RawHeaders, bytes]:
    """The headers and the body of an answer. Raises Error `model_not_found`, `bad_request`."""
    asked = model_asked_for(exchange.raw_path)
    if asked is None:
        listed = await models.list(project_id)
        if spoken == "openai_chat":
            return [JSON], openai.render_models(listed)
        return [JSON], anthropic.render_models(listed, dict(parse_qsl(exchange.query.decode("latin-1"))))
    found = await models.explain(project_id, asked)
    body = openai.render_model(asked, found) if spoken == "openai_chat" else anthropic.render_model(asked, found)
    return [JSON, *chosen_headers(found.provider, found.model_id)], body


def not_found(error: Error) -> Error:
    """The same error where a name stands in the path: what does not exist is a 404 there."""
    return error.with_details(status=404) if error.code in (Code.MODEL_NOT_FOUND, Code.MISSING_MODEL) else error
