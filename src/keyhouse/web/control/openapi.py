"""The API document, OpenAPI 3.1, written from the table of routes. The contract's own operation comes out of it as the contract has it."""

import re
from collections.abc import Iterator, Sequence
from importlib.metadata import version

import msgspec
from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from keyhouse.web.control.access import Access
from keyhouse.web.control.answers import ErrorOnly, Failure
from keyhouse.web.control.json_schema import ContractJsonSchema
from keyhouse.web.control.routing import Route

Json = dict[str, object]

_PLACE = "#/components/schemas/{model}"
_DESCRIPTIONS = {
    200: "Success",
    201: "Created",
    304: "Not Modified",
    400: "Bad request",
    401: "Unauthorized",
    403: "Forbidden",
    404: "Not Found",
    409: "Conflict",
    412: "Precondition Failed",
    413: "Content Too Large",
    422: "Unprocessable Entity",
    429: "Too Many Requests",
    500: "Internal Server Error",
    503: "Service Unavailable",
    507: "Insufficient Storage",
}
_SECURITY_SCHEMES: Json = {
    # The contract's words.
    "project_api_key": {
        "type": "apiKey",
        "in": "header",
        "name": "X-Auth-Token",
        "description": "Project API key for sending traces and accessing project-scoped resources. Format: sk-lw-... (no underscore). "
        "Obtain one by creating a project via the Admin API or the LangWatch UI.",
    },
    "organization_api_key": {
        "type": "http",
        "scheme": "bearer",
        "description": "API key of an organization, with the roles it is bound to. Format: sk-lw-..._... (one underscore).",
    },
    "instance_key": {"type": "http", "scheme": "bearer", "description": "The key that KEYHOUSE_ADMIN_KEY sets for this installation."},
}
_SECURITY: dict[Access, list[Json] | None] = {
    Access.PROJECT: None,
    Access.ORGANIZATION: [{"organization_api_key": []}],
    Access.INSTANCE: [{"instance_key": []}],
}
_INFO: Json = {
    "title": "Keyhouse API",
    "description": "Stores the LLM provider credentials of projects, and who may use them.\n\n"
    "Project routes take a project's key or an organization's API key, as `X-Auth-Token`, as `Authorization: Bearer`, or as "
    "`Authorization: Basic base64(projectId:token)`.\n\n"
    "Every path is answered below `/api/v1` too.",
}
_PROJECT_HEADER: Json = {
    "schema": {"type": "string"},
    "in": "header",
    "name": "X-Project-Id",
    "description": "Which project, for an API key that is bound to several. A project's own key ignores it.",
}
_IF_MATCH: Json = {
    "schema": {"type": "string"},
    "in": "header",
    "name": "If-Match",
    "description": 'Write only if nothing has changed since: an ETag of the list or of the entry, or `*` for "must exist".',
}
_IF_NONE_MATCH: Json = {
    "schema": {"type": "string"},
    "in": "header",
    "name": "If-None-Match",
    "description": "An ETag: answer 304 without a body if it still holds.",
}
_ONLY_NEW: Json = {
    "schema": {"type": "string"},
    "in": "header",
    "name": "If-None-Match",
    "description": "`*`: write only if nothing is stored yet.",
}
_ETAG: Json = {"ETag": {"description": "Names the state that is shown.", "schema": {"type": "string"}}}


def api_document(routes: Sequence[Route]) -> bytes:
    """The document of these routes, as JSON."""
    references, schemas = _schemas(routes)
    paths: dict[str, Json] = {}
    for route in routes:
        paths.setdefault(route.path, {})[route.method.lower()] = _operation(route, references)
    document = {
        "openapi": "3.1.0",
        "info": {**_INFO, "version": version("keyhouse")},
        "servers": [{"url": "/"}],
        "security": [{"project_api_key": []}],
        "tags": [{"name": tag} for tag in dict.fromkeys(route.operation.tag for route in routes) if tag],
        "paths": paths,
        "components": {"schemas": schemas, "securitySchemes": _SECURITY_SCHEMES},
    }
    return msgspec.json.encode(document)


References = dict[type[BaseModel], Json]


def _schemas(routes: Sequence[Route]) -> tuple[References, Json]:
    models: dict[type[BaseModel], None] = {ErrorOnly: None, Failure: None}
    for route in routes:
        models.update({model: None for model in (route.body, *route.operation.responses.values()) if model is not None})
    found, written = models_json_schema(
        [(model, "validation") for model in models], schema_generator=ContractJsonSchema, ref_template=_PLACE
    )
    return {model: found[(model, "validation")] for model in models}, written.get("$defs", {})


def _operation(route: Route, references: References) -> Json:
    operation: Json = {"operationId": route.operation.id, "description": route.operation.description}
    if route.operation.tag:
        operation["tags"] = [route.operation.tag]
    if parameters := list(_parameters(route)):
        operation["parameters"] = parameters
    if route.body is not None:
        operation["requestBody"] = {"content": {"application/json": {"schema": references[route.body]}}}
    operation["responses"] = {str(status): _response(status, route, references) for status in _statuses(route)}
    security = _SECURITY[route.access]
    if security is not None:
        operation["security"] = security
    return operation


def _parameters(route: Route) -> Iterator[Json]:
    for name in re.findall(r"{(\w+)}", route.path):
        yield {"schema": {"type": "string"}, "in": "path", "name": name, "required": True}
    if route.operation.query is not None:
        schema = route.operation.query.model_json_schema(schema_generator=ContractJsonSchema)
        for name, described in schema["properties"].items():
            yield {"schema": described, "in": "query", "name": name, "required": name in schema.get("required", ())}
    if route.access is Access.PROJECT:
        yield _PROJECT_HEADER
    if route.operation.conditional:
        yield _IF_NONE_MATCH if route.method == "GET" else _IF_MATCH
        if route.method == "PUT":
            yield _ONLY_NEW


def _statuses(route: Route) -> list[int]:
    """What is answered: the operation's own, then what a route of its kind can fail with."""
    writes = route.method != "GET"
    has_body = route.body is not None
    # Where the last part of a path names what a PUT makes, a wrong one is the request's fault.
    may_miss = "{" in route.path and route.method != "PUT"
    kinds = {
        304: route.operation.conditional and not writes,
        400: has_body,
        401: True,
        403: route.access is not Access.INSTANCE,
        404: may_miss or route.access is Access.INSTANCE,
        409: writes and route.method != "PUT",
        412: route.operation.conditional and writes,
        413: has_body,
        422: has_body or route.operation.query is not None,
        500: True,
        503: True,
        507: writes,
    }
    return [*route.operation.responses, *(status for status, applies in kinds.items() if applies)]


def _response(status: int, route: Route, references: References) -> Json:
    response: Json = {"description": _DESCRIPTIONS[status]}
    model = route.operation.responses.get(status, ErrorOnly if status == 400 else Failure)
    if status != 304 and model is not None:
        response["content"] = {"application/json": {"schema": references[model]}}
    if (route.operation.conditional or route.operation.tagged) and status in (200, 304):
        response["headers"] = _ETAG
    return response
