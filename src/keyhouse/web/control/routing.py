"""The control plane's routes as one table, and the one way a request goes: credentials, permission, body, schema, handler, in that order.

No framework: one that reads the body before it knows the caller would answer in another order than the contract.
"""

import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from time import perf_counter
from typing import Any, TypeVar
from urllib.parse import parse_qsl, unquote

import msgspec
from pydantic import BaseModel, ValidationError

from keyhouse.domain.errors import Code, Error, schema_failure
from keyhouse.domain.tenancy import Caller, Permission
from keyhouse.gateway.headers import RawHeaders
from keyhouse.gateway.wire.json_text import UNREADABLE
from keyhouse.storage.database import Told
from keyhouse.web.control.access import Access, Gate
from keyhouse.web.control.schemas import UNION_TAGS, FieldProblem
from keyhouse.web.errors import STATUS, flat_envelope, internal_error
from keyhouse.web.gateway.exchange import CallerLeftError, Exchange
from keyhouse.web.log import ID_HEADER, RequestLines, log_failed_request

MAX_BODY_BYTES = 1024 * 1024
_LONGEST_KEPT = 200
_MOST_KEPT = 256
_JSON_TYPE = re.compile(r"application/([a-z0-9!#$&^_.-]+\+)?json\s*(;.*)?", re.IGNORECASE)
_NEVER_SNIFFED = (b"x-content-type-options", b"nosniff")
_PLAIN = ((b"content-type", b"application/json"), _NEVER_SNIFFED, (b"cache-control", b"no-store"))
# A tag names a state of one project: what a cache holds is good for the same credentials only.
_KEPT = (_NEVER_SNIFFED, (b"cache-control", b"private, no-cache"), (b"vary", b"authorization, x-auth-token, x-project-id"))
_TAGGED = (_PLAIN[0], *_KEPT)


class Answer(msgspec.Struct, frozen=True):
    """What a handler answers: encoded JSON, a status, further headers, and the entity tag where there is one.

    A body may show a key that was just made, so it is not printed.
    """

    body: bytes
    status: int = 200
    headers: tuple[tuple[bytes, bytes], ...] = ()
    tag: str = ""

    def __repr__(self) -> str:
        return f"Answer({self.status}, ***)"


def json_answer(value: object, *, status: int = 200, tag: str = "") -> Answer:
    """An answer of one JSON value."""
    return Answer(msgspec.json.encode(value), status=status, tag=tag)


_NOWHERE = Answer(b'{"error":"Not Found"}', status=404)


class Call(msgspec.Struct, frozen=True):
    """What a handler is given. `body` is an instance of the route's model, or None where it has none. It holds secrets: not printed."""

    caller: Caller
    path: Mapping[str, str]
    query: Mapping[str, str]
    headers: RawHeaders
    body: Any

    def __repr__(self) -> str:
        return "Call(***)"

    @property
    def project_id(self) -> str:
        """The project that the request is about; empty where it is about the organization."""
        return self.caller.project_id or ""

    def header(self, name: bytes) -> str | None:
        """A header by its lower-case name, several lines of it as one list (RFC 9110 section 5.3)."""
        lines = [value for key, value in self.headers if key == name]
        return b", ".join(lines).decode("latin-1") if lines else None


Handler = Callable[[Call], Awaitable[Answer]]
Again = Callable[[Caller, bytes, Told], bool]
"""Begins to answer a caller's request with a body; tells whether it has: then `Told` is told what is shown, or of what was raised."""
Authorize = Callable[[Caller, Mapping[str, str]], Awaitable[None]]
ProblemsOf = Callable[[Any], list[FieldProblem]]


class Operation(msgspec.Struct, frozen=True):
    """What the API document says of a route. `responses` are models by status; the failures of the route's kind are added."""

    id: str
    description: str
    responses: Mapping[int, type[BaseModel] | None]
    tag: str
    query: type[BaseModel] | None = None
    conditional: bool = False
    """Whether it takes `If-Match` or `If-None-Match`."""
    tagged: bool = False
    """Whether its success bears an ETag without being conditional."""


@dataclass(frozen=True, slots=True)
class Route:
    """One method of one path. `path` names its parts in braces, each matching one segment."""

    method: str
    path: str
    handler: Handler
    operation: Operation
    access: Access = Access.PROJECT
    permission: Permission | None = None
    """What the caller must be allowed: on its project, or, where the route is an organization's, at any place at all."""
    authorize: Authorize | None = None
    """Asks further rights of the caller, given the named parts of the path, before the body is read."""
    body: type[BaseModel] | None = None
    quick_body: Callable[[bytes], object | None] = field(default=lambda body: None)
    """Reads JSON in which schema and problems find nothing, faster, as the handler takes it too; None where they are to say."""
    problems: ProblemsOf = field(default=lambda body: [])
    """What the body's schema cannot say, asked after it held."""
    again: "Callable[[Call], Again | None]" = field(default=lambda asked: None)
    """What answers further requests with the head of this one (`asked`, without caller and body) as the handler would; None: nothing."""


class Router:
    """Finds the route of a request, in time that does not grow with the number of routes of other shapes."""

    def __init__(self, routes: Sequence[Route]) -> None:
        self.routes = tuple(routes)
        self._fixed = {(route.method, route.path): route for route in routes if "{" not in route.path}
        self._patterns: dict[tuple[str, int], list[tuple[re.Pattern[str], Route]]] = {}
        self._found_before: dict[tuple[str, str], tuple[Route, Mapping[str, str]]] = {}
        for route in routes:
            if "{" in route.path:
                pattern = re.compile(re.sub(r"\\{(\w+)\\}", r"(?P<\1>[^/]+)", re.escape(route.path)))
                self._patterns.setdefault((route.method, route.path.count("/")), []).append((pattern, route))

    def find(self, method: str, path: str) -> tuple[Route, Mapping[str, str]] | None:
        """The route and the named parts of the path, decoded; `path` is as it came, still percent-encoded."""
        if path.startswith("/api/v1/"):  # where LangWatch's newer clients ask
            path = path.replace("/v1", "", 1)
        route = self._fixed.get((method, path))
        if route is not None:
            return route, {}
        found = self._found_before.get((method, path))
        if found is None and (found := self._matching(method, path)) is not None and len(path) <= _LONGEST_KEPT:
            if len(self._found_before) >= _MOST_KEPT:
                self._found_before.clear()
            self._found_before[method, path] = found
        return found

    def _matching(self, method: str, path: str) -> tuple[Route, Mapping[str, str]] | None:
        for pattern, candidate in self._patterns.get((method, path.count("/")), ()):
            if matched := pattern.fullmatch(path):
                return candidate, {name: unquote(part) for name, part in matched.groupdict().items()}
        return None


class ControlPlane:
    """Everything under /api/. Each request gets a line of `lines` once it is answered."""

    def __init__(self, routes: Sequence[Route], gate: Gate, lines: RequestLines) -> None:
        self.router = Router(routes)
        self._gate = gate
        self._lines = lines

    async def serve(self, exchange: Exchange) -> None:
        """Answer one request."""
        started, request_id = exchange.head_at or perf_counter(), self._lines.next_id()
        found = self.router.find(exchange.method, exchange.raw_path.decode("latin-1"))
        route = "-" if found is None else found[0].path
        try:
            answer = _NOWHERE if found is None else await self._answer(exchange, *found)
        except Exception as cause:  # noqa: BLE001 - the edge: what is no Error is logged with its cause, told to nobody
            answer = failure_of(cause, exchange.method, route, request_id)
        try:
            await exchange.answer(answer.status, head_of(answer, request_id), answer.body)
        finally:
            self._lines.note(exchange.method, route, answer.status, started, request_id)

    async def _answer(self, exchange: Exchange, route: Route, path: Mapping[str, str]) -> Answer:
        caller = await self._gate.admit(route.access, route.permission, exchange)
        if route.authorize is not None:
            await route.authorize(caller, path)
        body = None if route.body is None else _body(route, route.body, exchange, await _whole_body(exchange))
        query = dict(parse_qsl(exchange.query.decode("latin-1"), keep_blank_values=True)) if exchange.query else {}
        return await route.handler(Call(caller, path, query, exchange.headers, body))


def head_of(answer: Answer, request_id: str) -> list[tuple[bytes, bytes]]:
    """The headers of an answer."""
    named = (ID_HEADER, request_id.encode())
    if answer.status == 304:
        return [*_KEPT, (b"etag", answer.tag.encode()), named]
    length = (b"content-length", b"%d" % len(answer.body))
    if answer.tag:
        return [*_TAGGED, length, (b"etag", answer.tag.encode()), *answer.headers, named]
    return [*_PLAIN, length, *answer.headers, named]


async def _whole_body(exchange: Exchange) -> bytes:
    """Raises Error `payload_too_large` as soon as it is known to be, `malformed_request` if the caller leaves in the middle."""
    try:
        body = await exchange.body(MAX_BODY_BYTES)
    except CallerLeftError:
        raise Error(Code.MALFORMED_REQUEST, "The body ended before it was complete.", target="json") from None
    if body is None:
        raise Error(Code.PAYLOAD_TOO_LARGE, f"The body is larger than {MAX_BODY_BYTES // 1024} KiB.")
    return body


def _body(route: Route, model: type[BaseModel], exchange: Exchange, body: bytes) -> object:
    """What the handler is given. Where the content type is not JSON that is an empty object."""
    content_type = exchange.read_headers().read.get(b"content-type", b"")
    if content_type != b"application/json" and not _JSON_TYPE.fullmatch(content_type.decode("latin-1").strip()):
        return validated(model, {}, route.problems)
    quick = route.quick_body(body)
    return validated(model, _decoded(body), route.problems) if quick is None else quick


def _decoded(body: bytes) -> object:
    """The body's JSON. Raises Error `malformed_request`."""
    try:
        return msgspec.json.decode(body)
    except UNREADABLE:
        raise Error(
            Code.MALFORMED_REQUEST,
            "The body is not JSON. Send a JSON object, as UTF-8 without a byte order mark, with numbers in range.",
            target="json",
        ) from None


Model = TypeVar("Model", bound=BaseModel)


def validated(model: type[Model], decoded: object, problems_of: ProblemsOf = lambda body: []) -> Model:
    """A body of a model. Raises Error `validation_error`, naming each field and why."""
    try:
        body = model.model_validate(decoded)
    except ValidationError as refused:
        errors = refused.errors(include_url=False, include_context=False, include_input=False)
        fields = [(_path(error["loc"]), error["type"], _MESSAGES.get(error["type"], error["msg"])) for error in errors]
        raise schema_failure(fields) from None
    if problems := problems_of(body):
        raise schema_failure(problems)
    return body


# Where pydantic speaks of Python, or of patterns.
_MESSAGES = {
    **dict.fromkeys(("model_type", "dict_type", "model_attributes_type"), "Input should be an object"),
    **dict.fromkeys(("string_too_short", "too_short"), "must not be empty"),
    "string_pattern_mismatch": "must be lowercase letters and digits, with single hyphens between them",
}


def _path(location: tuple[int | str, ...]) -> str:
    parts = [str(part) for position, part in enumerate(location) if not (position == 1 and part in UNION_TAGS)]
    return ".".join(parts) or "(root)"


def failure_of(cause: BaseException, method: str, route: str, request_id: str) -> Answer:
    """The answer to a request that failed; what is our own failure is logged with its cause, and told to nobody."""
    if not isinstance(cause, Error):
        log_failed_request(method, route, request_id, cause)
        return _failure(internal_error())
    if STATUS[cause.code] >= 500:
        log_failed_request(method, route, request_id, cause)
    return _failure(internal_error() if STATUS[cause.code] == 500 else cause)


def _failure(error: Error) -> Answer:
    wait = error.details.get("retryAfter")
    return Answer(flat_envelope(error), STATUS[error.code], () if wait is None else ((b"retry-after", str(wait).encode()),))
