"""One request to the settings pages: who is signed in, the project it is about, and the form that came. Nothing is decided here."""

import hashlib
import hmac
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from urllib.parse import parse_qsl, urlencode

from starlette.requests import ClientDisconnect, Request

from keyhouse.domain.errors import Code, Error
from keyhouse.domain.tenancy import Caller, Permission
from keyhouse.web.whole_numbers import whole_number

COOKIE = "keyhouse_session"
SECURE_COOKIE = "__Host-keyhouse_session"
_MOST_FIELDS = 20_000
_MOST_BYTES = 1024 * 1024


class Form:
    """The fields of a form, several values to a name. It may hold secrets, so it is not printed."""

    __slots__ = ("_values",)

    def __init__(self, pairs: Sequence[tuple[str, str]] = ()) -> None:
        self._values: dict[str, list[str]] = {}
        for name, value in pairs:
            self._values.setdefault(name, []).append(value)

    def __repr__(self) -> str:
        return "Form(***)"

    def __contains__(self, name: str) -> bool:
        return name in self._values

    def names(self) -> list[str]:
        """The names, in the order in which they came."""
        return list(self._values)

    def text(self, name: str) -> str:
        """The first value of a name, or an empty string."""
        return self._values.get(name, [""])[0]

    def all(self, name: str) -> list[str]:
        """Every value of a name that is not empty."""
        return [value for value in self._values.get(name, []) if value]


@dataclass(frozen=True, slots=True)
class Visit:
    """What a page is made for. `caller` is on the project where the address names one, else on the organization."""

    request: Request = field(repr=False)
    caller: Caller
    csrf: str = field(repr=False)
    form: Form = field(default_factory=Form)

    @property
    def path(self) -> Mapping[str, str]:
        """The named parts of the address."""
        return self.request.path_params

    @property
    def project_id(self) -> str:
        """The project that the address names."""
        return self.caller.project_id or ""

    @property
    def is_fragment(self) -> bool:
        """Whether a part of a page is asked for."""
        return is_fragment(self.request)

    @property
    def may_update(self) -> bool:
        """Whether the caller may change the project's providers."""
        return Permission.UPDATE in self.caller.permissions

    @property
    def wanted(self) -> str:
        """What is searched for."""
        return self.request.query_params.get("q", "").strip()

    def page_number(self) -> int:
        """Which page of a list is asked for, from 1."""
        return whole_number(self.request.query_params.get("page", "")) or 1

    @property
    def place(self) -> str:
        """Where somebody stands in a list, as the query of its address."""
        place = self._place()
        return f"?{urlencode(place)}" if place else ""

    def at_page(self, number: int) -> str:
        """The query of another page of the same list."""
        return f"?{urlencode({**self._place(), 'page': number})}"

    def _place(self) -> dict[str, str]:
        place = {name: value for name in ("q", "about", "kind") if (value := self.request.query_params.get(name, ""))}
        number = self.page_number()
        return place if number == 1 else {**place, "page": str(number)}


def is_fragment(request: Request) -> bool:
    """Whether a part of a page is asked for."""
    return request.headers.get("hx-request") == "true"


def session_token(request: Request) -> str:
    """What the browser holds, or an empty string."""
    secure = request.cookies.get(SECURE_COOKIE)
    # A neighbouring host can set the other one for this host too, and so make people work in its session. Behind TLS we never set it.
    return secure or ("" if request.url.scheme == "https" else request.cookies.get(COOKIE, ""))


def csrf_token(session: str) -> str:
    """What every form of a session brings back. Whoever cannot read the cookie cannot know it."""
    return hashlib.sha256(b"keyhouse csrf\0" + session.encode("utf-8", "surrogatepass")).hexdigest()


async def read_form(request: Request, most_bytes: int = _MOST_BYTES) -> Form:
    """The form of a request. Raises Error `payload_too_large`, `bad_request`."""
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != "application/x-www-form-urlencoded":
        raise Error(Code.BAD_REQUEST, "This address takes the forms of the settings pages only.")
    body = await _body(request, most_bytes)
    try:
        return Form(parse_qsl(body.decode(), keep_blank_values=True, max_num_fields=_MOST_FIELDS))
    except ValueError:
        raise Error(Code.BAD_REQUEST, "The form cannot be read.") from None


async def _body(request: Request, most_bytes: int) -> bytes:
    """The whole body, refused as soon as it is known to be too large."""
    body = bytearray()
    try:
        async for piece in request.stream():
            body += piece
            if len(body) > most_bytes:
                raise Error(Code.PAYLOAD_TOO_LARGE, f"The form is larger than {most_bytes // 1024} KiB.")
    except ClientDisconnect:
        raise Error(Code.BAD_REQUEST, "The form ended before it was complete.") from None
    return bytes(body)


def is_from_another_site(request: Request) -> bool:
    """Whether a browser says that another site's page sent this, or led here."""
    site = request.headers.get("sec-fetch-site")
    if site is not None:
        return site not in ("same-origin", "none")
    # Over plain http browsers name no site, but of a form the origin.
    origin = request.headers.get("origin")
    return origin is not None and origin.partition("://")[2] != request.headers.get("host")


def require_same_site(request: Request) -> None:
    """Raise Error `permission_denied` where a browser says that another site sent this."""
    if is_from_another_site(request):
        raise _not_from_here()


def require_csrf(form: Form, token: str) -> None:
    """Raise Error `permission_denied` unless the form is one that this session was given."""
    if not hmac.compare_digest(form.text("csrf").encode("utf-8", "surrogatepass"), token.encode()):
        raise _not_from_here()


def is_secure(request: Request) -> bool:
    """Whether the browser speaks TLS, to us or to a proxy in front."""
    return request.url.scheme == "https" or request.headers.get("origin", "").startswith("https://")


def _not_from_here() -> Error:
    return Error(Code.PERMISSION_DENIED, "This form did not come from a page of this session. Send it once more, or reload the page first.")
