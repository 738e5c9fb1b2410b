"""A client of the chaos run's own: one connection a request, and never the same request twice, which others do by themselves."""

import asyncio
import http.client
import io
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

_PATIENCE_S = 60.0


class UnansweredError(Exception):
    """No whole answer came. `sent` says whether the request may have been carried out."""

    def __init__(self, why: str, *, sent: bool) -> None:
        super().__init__(why)
        self.sent = sent


@dataclass(frozen=True)
class Answer:
    """What came back."""

    status: int
    body: bytes
    tag: str

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def revision(self) -> int:
        """The revision that the entity tag names."""
        return int(self.tag.strip('"').partition(".")[0].rpartition("-")[2])


class _Received:
    """A connection that has ended, as the standard library's reader of answers wants it."""

    def __init__(self, data: bytes) -> None:
        self._data = data

    def makefile(self, mode: str) -> io.BytesIO:
        return io.BytesIO(self._data)


async def ask(port: int, method: str, path: str, headers: Mapping[str, str], body: object = None) -> Answer:
    """Send one request. Raises UnansweredError, or TimeoutError after a minute."""
    data = b"" if body is None else json.dumps(body).encode()
    sent = {"host": f"127.0.0.1:{port}", "connection": "close", "content-length": str(len(data)), **headers}
    if data:
        sent["content-type"] = "application/json"
    head = "".join(f"{name}: {value}\r\n" for name, value in sent.items())
    async with asyncio.timeout(_PATIENCE_S):
        try:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
        except OSError as failure:
            raise UnansweredError(str(failure), sent=False) from failure
        try:
            writer.write(f"{method} {path} HTTP/1.1\r\n{head}\r\n".encode() + data)
            return _read(await reader.read(), method)
        except (OSError, http.client.HTTPException) as failure:
            raise UnansweredError(f"{type(failure).__name__}: {failure}", sent=True) from failure
        finally:
            writer.close()


def _read(received: bytes, method: str) -> Answer:
    """Raises http.client.HTTPException for what is not whole."""
    answer = http.client.HTTPResponse(_Received(received), method=method)  # type: ignore[arg-type]
    answer.begin()
    return Answer(answer.status, answer.read(), answer.getheader("etag", ""))
