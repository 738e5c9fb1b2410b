"""Signing in and out, and where the front door leads."""

import asyncio
from collections.abc import Awaitable, Callable

from starlette.requests import Request
from starlette.responses import Response

from keyhouse.domain.errors import Code, Error
from keyhouse.domain.paging import Paging
from keyhouse.services.projects import Projects
from keyhouse.services.rate_limit import RateLimit
from keyhouse.services.sessions import LIFETIME_S, Sessions
from keyhouse.web.errors import STATUS
from keyhouse.web.log import ROUTE
from keyhouse.web.pages.rendering import moved, rendered
from keyhouse.web.pages.site import Address, Page, failed
from keyhouse.web.pages.visit import COOKIE, SECURE_COOKIE, Form, Visit, is_secure, read_form, require_same_site, session_token
from keyhouse.web.pages.way_back import page_of

ATTEMPTS_A_MINUTE = 20
MAX_FORM_BYTES = 8 * 1024
"""A key, and an address to go on to: whoever sends more without one holds memory, and keeps others waiting while it is read."""
FORM_WITHIN_S = 10.0
"""How long the whole form may take: nobody is known yet, and a connection with a request under way is not closed to make room."""
_ADDRESS = "/sign-in"
Handler = Callable[[Request], Awaitable[Response]]


class SignInPages:
    """See the module. The limit counts for each address that attempts come from."""

    def __init__(self, sessions: Sessions, projects: Projects) -> None:
        self._sessions = sessions
        self._projects = projects
        self._limit = RateLimit(ATTEMPTS_A_MINUTE)

    def open_routes(self) -> list[Address]:
        """What anybody may ask for."""
        return [Address(_ADDRESS, _guarded(self.show), methods=["GET"]), Address(_ADDRESS, _guarded(self.sign_in), methods=["POST"])]

    def pages(self) -> list[Page]:
        """What needs a session."""
        return [Page("GET", "/", self.front), Page("POST", "/sign-out", self.sign_out)]

    async def show(self, request: Request) -> Response:
        """The form."""
        place, token = page_of(request.query_params.get("next", "")), session_token(request)
        if place and token and await self._sessions.find(token):
            return moved(request, place)
        over = "Your session is over. Sign in again." if request.query_params.get("over") else ""
        return rendered("sign_in.html", problem=over, place=place)

    async def sign_in(self, request: Request) -> Response:
        """Sign in, or say why not."""
        require_same_site(request)
        form = await _form_in_time(request)
        try:
            self._limit.take(request.client.host if request.client else "", "attempts to sign in")
            token = await self._sessions.sign_in(form.text("key").strip())
        except Error as error:
            if error.code not in (Code.INVALID_CREDENTIALS, Code.TOO_MANY_REQUESTS):
                raise
            return _refused(error, page_of(form.text("next")))
        if old := session_token(request):
            await self._sessions.end(old)
        address = await self._way_in(token, page_of(form.text("next")))
        return _with_cookie(request, moved(request, address), token)

    async def _way_in(self, token: str, place: str) -> str:
        """The page that was asked for, where the key opens it; else the front door."""
        session = await self._sessions.find(token)
        kind, _, rest = place.removeprefix("/").partition("/")
        if session is None or (kind == "organization" and session.caller.is_project_key):
            return "/"
        try:
            if kind == "projects":
                await self._sessions.caller_on(session, rest.partition("/")[0])
        except Error as error:
            if error.code is not Code.PROJECT_NOT_FOUND:
                raise
            return "/"
        return place or "/"

    async def front(self, visit: Visit) -> Response:
        """To the only project, or to the list of them."""
        if visit.project_id:
            return moved(visit.request, f"/projects/{visit.project_id}/providers")
        projects, total = await self._projects.list(visit.caller, Paging(1, 1))
        return moved(visit.request, f"/projects/{projects[0].id}/providers" if total == 1 else "/organization/projects")

    async def sign_out(self, visit: Visit) -> Response:
        """End the session here and in the browser."""
        await self._sessions.end(session_token(visit.request))
        answer = moved(visit.request, _ADDRESS)
        for name in (COOKIE, SECURE_COOKIE):
            answer.delete_cookie(name, secure=name == SECURE_COOKIE, httponly=True, samesite="strict")
        answer.headers["clear-site-data"] = '"storage"'
        return answer


async def _form_in_time(request: Request) -> Form:
    try:
        async with asyncio.timeout(FORM_WITHIN_S):
            return await read_form(request, MAX_FORM_BYTES)
    except TimeoutError:
        raise Error(Code.BAD_REQUEST, f"The form did not come whole within {FORM_WITHIN_S:g} seconds.") from None


def _guarded(handler: Handler) -> Handler:
    async def answer(request: Request) -> Response:
        request.scope[ROUTE] = _ADDRESS
        try:
            return await handler(request)
        except Error as error:
            return failed(request, None, error)

    return answer


def _refused(error: Error, place: str) -> Response:
    limited = error.code is Code.TOO_MANY_REQUESTS
    problem = error.message if limited else "This key opens nothing: it is unknown, revoked or expired, or the address was used before."
    answer = rendered("sign_in.html", STATUS[error.code], problem=problem, place=place)
    if limited:
        answer.headers["retry-after"] = str(error.details["retryAfter"])
    return answer


def _with_cookie(request: Request, answer: Response, token: str) -> Response:
    secure = is_secure(request)
    name = SECURE_COOKIE if secure else COOKIE
    answer.set_cookie(name, token, max_age=LIFETIME_S, path="/", secure=secure, httponly=True, samesite="strict")
    return answer
