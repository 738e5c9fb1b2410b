"""Documents that are the same for every caller: answered from memory, before anybody asks who calls, and kept by browsers.

A file's address names its content, so a browser never asks for it twice; a page and the API document are asked for again by their tag.
"""

import asyncio
import gzip
import hashlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from starlette.types import ASGIApp, Receive, Scope, Send

from keyhouse.domain.precondition import matches_none
from keyhouse.web import callers
from keyhouse.web.asgi import answer_whole
from keyhouse.web.log import ROUTE

_TYPES = {".css": b"text/css; charset=utf-8", ".js": b"text/javascript; charset=utf-8", ".svg": b"image/svg+xml"}
_FOR_GOOD = b"public, max-age=31536000, immutable"
_ASK_AGAIN = b"no-cache"
Header = tuple[bytes, bytes]


@dataclass(frozen=True, slots=True)
class Document:
    """What stands at one address. `body` is asked for in a thread, and not before somebody asks for the document."""

    path: str
    content_type: bytes
    body: Callable[[], bytes] = field(repr=False)
    cache_control: bytes = _ASK_AGAIN
    headers: tuple[Header, ...] = ()


def kept_file(folder: Path, name: str, prefix: str) -> Document:
    """A file under an address with its content's hash in it, such as `/docs/a.0123456789ab.css`."""
    path = folder / name
    digest = hashlib.sha256(path.read_bytes()).hexdigest()[:12]
    address = f"{prefix}{path.stem}.{digest}{path.suffix}"
    return Document(address, _TYPES[path.suffix], cache(path.read_bytes), _FOR_GOOD)


def kept_text(text: str, prefix: str, suffix: str) -> Document:
    """The same for a text that is made at the start: `prefix` is all of its address that comes before the hash."""
    body = text.encode()
    digest = hashlib.sha256(body).hexdigest()[:12]
    return Document(f"{prefix}.{digest}{suffix}", _TYPES[suffix], lambda: body, _FOR_GOOD)


def page(path: str, content_type: bytes, body: Callable[[], bytes], headers: tuple[Header, ...] = ()) -> Document:
    """A document that is asked for by its own address, and may change with a release."""
    return Document(path, content_type, cache(body), headers=headers)


class Documents:
    """The ASGI application that answers for its documents, and shows everything else to the next room."""

    def __init__(self, documents: Iterable[Document], rest: ASGIApp) -> None:
        self._documents = {document.path: document for document in documents}
        self._rest = rest

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        document = self._documents.get(scope["path"])
        if document is None or scope["method"] not in ("GET", "HEAD"):
            await self._rest(scope, receive, send)
        else:
            scope[ROUTE] = document.path
            await _answer(document, scope, send)


async def _answer(document: Document, scope: Scope, send: Send) -> None:
    body, tag = await asyncio.to_thread(_read, document.body)
    head = [
        (b"etag", tag.encode()),
        (b"cache-control", document.cache_control),
        (b"x-content-type-options", b"nosniff"),
        (b"vary", b"accept-encoding"),
        *document.headers,
    ]
    named = callers.header(scope["headers"], b"if-none-match")
    if named is not None and matches_none(named, tag):
        await answer_whole(send, 304, head, b"")
        return
    head.append((b"content-type", document.content_type))
    if "gzip" in (callers.header(scope["headers"], b"accept-encoding") or ""):
        body = await asyncio.to_thread(_compressed, document.body)
        head.append((b"content-encoding", b"gzip"))
    await answer_whole(send, 200, [*head, (b"content-length", str(len(body)).encode())], body)


@cache
def _read(body: Callable[[], bytes]) -> tuple[bytes, str]:
    return body(), f'"{hashlib.sha256(body()).hexdigest()[:16]}"'


@cache
def _compressed(body: Callable[[], bytes]) -> bytes:
    return gzip.compress(body(), mtime=0)
