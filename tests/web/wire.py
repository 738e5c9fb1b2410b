"""HTTP written by hand, for requests that no client library would send."""

import json
import socket
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit


@dataclass(frozen=True)
class Reply:
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


def exchange(address: str, request: bytes) -> Reply:
    """Send bytes on a connection of their own; the first reply of a server that closes afterwards or says how long it is."""
    place = urlsplit(address)
    with socket.create_connection((place.hostname or "", place.port or 80), timeout=30) as connection:
        connection.sendall(request)
        received = b""
        while (reply := _parsed(received)) is None:
            chunk = connection.recv(65536)
            if not chunk:
                raise ConnectionError("the server closed the connection without a whole reply")
            received += chunk
        return reply


def request_bytes(method: str, target: str, headers: list[tuple[str, str]], body: bytes | None = None) -> bytes:
    """A request as bytes; header values are Latin-1. A body brings its length."""
    lines = [f"{method} {target} HTTP/1.1", "host: keyhouse", *(f"{name}: {value}" for name, value in headers)]
    if body is not None:
        lines.append(f"content-length: {len(body)}")
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1") + (body or b"")


def chunked(method: str, target: str, headers: list[tuple[str, str]], chunks: list[bytes]) -> bytes:
    """The same with a chunked body."""
    head = request_bytes(method, target, [*headers, ("transfer-encoding", "chunked")])
    return head + b"".join(f"{len(chunk):x}\r\n".encode() + chunk + b"\r\n" for chunk in chunks) + b"0\r\n\r\n"


def _parsed(received: bytes) -> Reply | None:
    head, separator, rest = received.partition(b"\r\n\r\n")
    if not separator:
        return None
    if head.startswith(b"HTTP/1.1 100"):
        return _parsed(rest)
    status, *lines = head.decode("latin-1").split("\r\n")
    headers = {name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    length = int(headers.get("content-length", "0"))
    return Reply(int(status.split()[1]), headers, rest[:length]) if len(rest) >= length else None
