"""The page that signing in leads back to: one of those that show something, and never with a query. Nothing else is led to or repeated."""

import re
from urllib.parse import urlencode, urlsplit

from starlette.requests import Request

from keyhouse.web.pages.visit import is_fragment

_SHOWN = re.compile(
    r"/projects/project_[A-Za-z0-9]+/(try|key|providers(/[a-z0-9_]+(/history)?)?)|/organization/(projects|keys|audit|status)"
)


def page_of(address: str) -> str:
    """The path of an address, or an empty string where it is no page that may be led to."""
    try:
        path = urlsplit(address).path
    except ValueError:
        return ""
    return path if _SHOWN.fullmatch(path) else ""


def sign_in_address(request: Request, is_over: bool) -> str:
    """Where somebody signs in who asked for a page, or sent something from one."""
    shown = request.headers.get("hx-current-url") or request.headers.get("referer", "")
    asks = request.method == "GET" and not is_fragment(request)
    named = {"over": "1" if is_over else "", "next": page_of(request.url.path if asks else shown)}
    query = urlencode({name: value for name, value in named.items() if value}, safe="/")
    return f"/sign-in?{query}" if query else "/sign-in"
