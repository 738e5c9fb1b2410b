"""The settings pages as one ASGI application: addresses, sessions, and what becomes of failures. The pages themselves are beside it."""

from collections.abc import Awaitable, Callable, Iterable
from functools import partial

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route, Router
from starlette.types import ASGIApp, Receive, Scope, Send

from keyhouse.domain.errors import Code, Error
from keyhouse.services.sessions import Sessions
from keyhouse.web.errors import STATUS, internal_error
from keyhouse.web.gateway.endpoints import NO_ENDPOINT
from keyhouse.web.gateway.envelopes import refusal
from keyhouse.web.log import ROUTE, log_failure
from keyhouse.web.pages.compression import compressed
from keyhouse.web.pages.documents import Documents
from keyhouse.web.pages.rendering import files, moved, page, rendered
from keyhouse.web.pages.visit import (
    Form,
    Visit,
    csrf_token,
    is_fragment,
    is_from_another_site,
    read_form,
    require_csrf,
    require_same_site,
    session_token,
)
from keyhouse.web.pages.way_back import sign_in_address

_NOT_PAGES = ("/api", "/v1", "/docs", "/openapi.json", "/healthz", "/readyz", "/metrics")
_BELOW_THEM = tuple(f"{other}/" for other in _NOT_PAGES)
_NOT_OF_BROWSERS = ("authorization", "x-api-key", "api-key", "x-auth-token", "x-goog-api-key")
_PLAIN = {"x-content-type-options": "nosniff", "cache-control": "no-store"}

Show = Callable[[Visit], Awaitable[Response]]


class Page(msgspec.Struct, frozen=True):
    """One method of one address, for whoever is signed in. A `{project}` in the address makes its caller one on that project."""

    method: str
    path: str
    show: Show


def is_page(path: str) -> bool:
    """Whether an address belongs to the settings pages."""
    return not (path.startswith(_BELOW_THEM) or path in _NOT_PAGES)


def with_pages(pages: ASGIApp) -> ASGIApp:
    """The application that shows requests for pages to `pages`, and says of every other address that nothing is there."""
    nothing = Response('{"error":"Not Found"}', 404, _PLAIN, "application/json")

    def serve(scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        return (pages if is_page(scope["path"]) else nothing)(scope, receive, send)

    return serve


class Address(Route):
    """A route that says by a page, too, that its address does not take a method: people get here who reload what a form led to."""

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        methods = self.methods or set()
        if scope["method"] in methods:
            await self.app(scope, receive, send)
            return
        error = Error(Code.METHOD_NOT_ALLOWED, "There is no page at this address. It takes what a form of another page sends.")
        answer = failure_page(Request(scope, receive), error)
        answer.headers["allow"] = ", ".join(sorted(methods))
        await answer(scope, receive, send)


class Site:
    """See the module."""

    def __init__(self, sessions: Sessions, pages: Iterable[Page], open_routes: Iterable[Address]) -> None:
        self._sessions = sessions
        routes = [Address(entry.path, partial(self._visited, entry), methods=[entry.method]) for entry in pages]
        self._router = Router([*open_routes, *routes], redirect_slashes=False, default=self._nothing)
        self._documents = Documents(files().values(), self._routed)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        await self._documents(scope, receive, send)

    async def _routed(self, scope: Scope, receive: Receive, send: Send) -> None:
        # Addresses hold ids; the log gets the template, which the route writes over this.
        scope[ROUTE] = "/(page)"
        await self._router(scope, receive, send)

    async def _nothing(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        if _is_by_program(request):
            status, _, body = refusal(Error(Code.ROUTE_NOT_FOUND, NO_ENDPOINT), "openai_chat", "")
            answer = Response(body, status, _PLAIN, "application/json")
        else:
            answer = failure_page(request, Error(Code.ROUTE_NOT_FOUND, "There is no such page."))
        await answer(scope, receive, send)

    async def _visited(self, entry: Page, request: Request) -> Response:
        request.scope[ROUTE] = entry.path
        visit: Visit | None = None
        try:
            visit = await self._visit(entry, request)
            return to_sign_in(request) if visit is None else await compressed(request, await entry.show(visit))
        except Error as error:
            return failed(request, visit, error)
        except Exception as cause:  # noqa: BLE001 - the edge: logged with its cause, told to nobody
            log_failure(request.scope, cause)
            return _told(request, visit, internal_error())

    async def _visit(self, entry: Page, request: Request) -> Visit | None:
        token = session_token(request)
        session = await self._sessions.find(token) if token else None
        if session is None:
            return None
        csrf, form = csrf_token(token), Form()
        if entry.method == "POST":
            require_same_site(request)
            form = await read_form(request)
            require_csrf(form, csrf)
        caller = session.caller
        if "project" in request.path_params:
            caller = await self._sessions.caller_on(session, request.path_params["project"])
        return Visit(request, caller, csrf, form)


def _is_by_program(request: Request) -> bool:
    """Whether a request is none of a browser's: that of a client whose base URL is wrong, or who takes this for another gateway."""
    return any(name in request.headers for name in _NOT_OF_BROWSERS) or request.headers.get("content-type", "").startswith(
        "application/json"
    )


def failed(request: Request, visit: Visit | None, error: Error) -> Response:
    """What a failure looks like: a notice where a part of a page was asked for, else a page."""
    if STATUS[error.code] >= 500:
        log_failure(request.scope, error)
    return _told(request, visit, internal_error() if STATUS[error.code] == 500 else error)


def _told(request: Request, visit: Visit | None, error: Error) -> Response:
    if error.code is Code.PRECONDITION_FAILED:
        error = Error(error.code, "Somebody changed this after you opened the page, so nothing was done. Look at it again first.")
    if is_fragment(request):
        return rendered("notice.html", STATUS[error.code], error=error, errors=[])
    return failure_page(request, error, visit)


def failure_page(request: Request, error: Error, visit: Visit | None = None) -> Response:
    """A whole page about a failure."""
    if visit is None:
        return rendered("error_alone.html", STATUS[error.code], error=error)
    return page(visit, "error.html", STATUS[error.code], error=error)


def to_sign_in(request: Request) -> Response:
    """To the page that signs in: nobody is signed in, or the session is over."""
    token = session_token(request)
    address = sign_in_address(request, bool(token))
    if request.method == "GET" and not token and is_from_another_site(request) and not is_fragment(request):
        # Browsers keep the cookie back where another site's link leads here. A page of ours that leads on gets it.
        return rendered("opening.html", address=address)
    return moved(request, address)
