"""Requests of the public API as commands make them, and the way to a running server. No redirect is followed: a key goes with each."""

import ipaddress
import itertools
import json
import re
import socket
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http.client import HTTPException, InvalidURL
from typing import Any, Literal, NoReturn, Protocol
from urllib.parse import SplitResult, quote, urlencode, urlsplit

from keyhouse.cli.exit_codes import CommandError, ExitCode
from keyhouse.cli.options import Paged

Rights = Literal["nobody", "project", "organization", "instance"]
"""Whose key a request needs."""

_PAGE = 1000
_TIMEOUT_S = 60.0
# What OpenSSL, the older and the newer, calls an answer that is no TLS.
_NO_TLS = frozenset({"WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE"})
_LARGEST_ANSWER_BYTES = 64 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Request:
    """A request of the public API. The parts of `path` are percent-encoded; `body` is what the JSON says, None sends none."""

    method: str
    path: str
    rights: Rights
    body: object = field(default=None, repr=False)
    query: Mapping[str, str] = field(default_factory=dict)
    if_match: str | None = None

    @property
    def target(self) -> str:
        """Path and query."""
        return f"{self.path}?{urlencode(self.query)}" if self.query else self.path

    def encoded_body(self) -> bytes | None:
        """The body as it is sent."""
        return None if self.body is None else json.dumps(self.body).encode()

    def headers(self) -> dict[str, str]:
        """The headers that do not depend on who asks."""
        headers = {} if self.body is None else {"Content-Type": "application/json"}
        return headers if self.if_match is None else {**headers, "If-Match": self.if_match}


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer: its status, its JSON, and its ETag."""

    status: int
    json: Any
    tag: str | None


def segment(text: str) -> str:
    """A text as one segment of a path. Raises CommandError for what is no text: an argument may be any bytes."""
    try:
        return quote(text, safe="")
    except UnicodeEncodeError:
        raise CommandError("A name on the command line is no text in UTF-8.", ExitCode.USAGE) from None


class Connection(Protocol):
    """A way to a house: over HTTP, or in this process over its data folder."""

    def send(self, request: Request) -> Reply:
        """Ask, and return whatever is answered. Raises CommandError, or Error, where nobody answers."""

    def close(self) -> None:
        """Let go of what was opened."""


def all_entries(send: Callable[[Request], Reply], path: str) -> list[Any]:
    """Every entry of an organization's list, page after page."""
    entries: list[Any] = []
    for page in itertools.count(1):
        answer = send(Request("GET", path, "organization", query=Paged(page, _PAGE).query)).json
        entries += answer["data"]
        if not answer["data"] or len(entries) >= answer["pagination"]["total"]:
            break
    return entries


class HttpConnection:
    """A running server. `key_for` is asked for the key when the first request of its kind is sent."""

    def __init__(self, endpoint: str, key_for: Callable[[Rights], str | None]) -> None:
        """Raises CommandError for an endpoint that is no address of a server."""
        self._base = _parsed(endpoint)
        self._key_for = key_for
        self.project_id: str | None = None
        self._way = _way_to(self._base)
        handlers: list[urllib.request.BaseHandler] = [_KeepRedirects()]
        if not self._way:
            handlers.append(urllib.request.ProxyHandler({}))
        self._opener = urllib.request.build_opener(*handlers)

    @property
    def is_in_clear(self) -> bool:
        """Whether others on the way can read what is sent."""
        return self._base.scheme == "http" and not _is_loopback(self._base.hostname or "")

    def send(self, request: Request) -> Reply:
        """See Connection."""
        headers = {**request.headers(), "User-Agent": "keyhouse"}
        if (key := self._key_for(request.rights)) is not None:
            headers["Authorization"] = f"Bearer {_key(key)}"
        if self.project_id is not None and request.rights == "project":
            headers["X-Project-Id"] = self.project_id
        url = f"{self._base.geturl().rstrip('/')}{request.target}"
        asked = urllib.request.Request(url, request.encoded_body(), headers, method=request.method)  # noqa: S310 - the scheme was checked
        try:
            with self._opener.open(asked, timeout=_TIMEOUT_S) as answer:
                return _reply(answer.status, answer.headers.get("ETag"), answer.read(_LARGEST_ANSWER_BYTES), self._way)
        except urllib.error.HTTPError as answer:
            with answer:
                return _reply(answer.code, answer.headers.get("ETag"), answer.read(_LARGEST_ANSWER_BYTES), self._way)
        except (OSError, HTTPException, ValueError) as problem:
            raise CommandError(f"{self._shown} does not answer{self._way}: {_why(problem)}.", ExitCode.UNREACHABLE) from None

    def close(self) -> None:
        """See Connection."""
        self._opener.close()

    @property
    def _shown(self) -> str:
        return f"{self._base.scheme}://{self._base.netloc}"


class _KeepRedirects(urllib.request.HTTPRedirectHandler):
    """Gives redirects back as answers."""

    def redirect_request(self, *arguments: Any, **named: Any) -> None:
        """None: do not follow."""


def _key(given: str) -> str:
    """A key as a header carries it. Raises CommandError, without it, for one that none can."""
    key = given.strip()
    if not key.isascii() or not key.isprintable() or " " in key:
        raise CommandError("The API key holds line breaks, spaces or other characters that no key has.", ExitCode.USAGE)
    return key


def _parsed(endpoint: str) -> SplitResult:
    try:
        parts = urlsplit(endpoint.strip())
        usable = parts.scheme in ("http", "https") and bool(parts.hostname) and "@" not in parts.netloc and (parts.port or 1) > 0
        usable = usable and re.fullmatch(r"[!-~]*", parts.path) is not None
    except ValueError:
        usable = False
    if not usable or parts.query or parts.fragment:
        raise CommandError("The endpoint must be an address such as https://keyhouse.example.com or http://127.0.0.1:5560.", ExitCode.USAGE)
    return parts


class _Told(dict[str, Any]):
    """An object of an answer. A member that a command needs and that is not there says who answered."""

    def __missing__(self, name: str) -> NoReturn:
        raise _no_keyhouse(f"its answer has no {name}", otherwise=", or one of another release")


def _way_to(server: SplitResult) -> str:
    """How a server is reached, for people: empty, or through a proxy that the environment names. To this machine no proxy leads."""
    if (
        _is_loopback(server.hostname or "")
        or server.scheme not in urllib.request.getproxies()
        or urllib.request.proxy_bypass(server.netloc)
    ):
        return ""
    return f" through the proxy that {server.scheme}_proxy names"


def _reply(status: int, tag: str | None, body: bytes, way: str) -> Reply:
    try:
        told = json.loads(body, object_hook=_Told) if body else None
    except (ValueError, RecursionError):
        raise _no_keyhouse(f"status {status}, and no JSON", way) from None
    if status < 300 and not isinstance(told, dict):
        raise _no_keyhouse(f"status {status}, and no JSON object", way)
    return Reply(status, told, tag)


def _no_keyhouse(why: str, way: str = "", otherwise: str = "") -> CommandError:
    return CommandError(f"What answers at this endpoint{way} is no Keyhouse{otherwise} ({why}).", ExitCode.UNREACHABLE)


def _why(problem: Exception) -> str:
    reason = problem.reason if isinstance(problem, urllib.error.URLError) else problem
    if isinstance(reason, TimeoutError):
        return "it took too long"
    if isinstance(reason, socket.gaierror):
        return "its name is not known"
    if certificate := getattr(reason, "verify_message", None):
        return f"its certificate is not accepted ({certificate}). SSL_CERT_FILE names other authorities to trust"
    if getattr(reason, "reason", None) in _NO_TLS:
        return "it speaks no TLS. Its address may have to begin with http:// instead of https://"
    if isinstance(reason, ValueError | InvalidURL):
        return "its address is none"
    return _words(reason)


def _words(reason: BaseException | str) -> str:
    """What the system says, or the library itself: of a proxy that refuses, or of a kind that it does not know."""
    if not isinstance(reason, OSError | str):
        return type(reason).__name__
    told = (reason.strerror if isinstance(reason, OSError) else None) or str(reason) or type(reason).__name__
    return f"{told[0].lower()}{told[1:]}"


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
