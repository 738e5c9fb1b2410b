"""The rooms that speak ASGI, over a connection of ours: https://asgi.readthedocs.io/en/latest/specs/www.html (version 2.3)."""

from typing import Any

from starlette.types import ASGIApp, Message, Send

from keyhouse.gateway.request import Headers
from keyhouse.web.gateway.exchange import CallerLeftError
from keyhouse.web.http_exchange import HttpExchange

Address = tuple[str, int] | None


def address_of(found: object) -> Address:
    """What a transport says of one of its ends; None where it is no address of the internet. A socket for both kinds says those
    of IPv4 as IPv6 ones, whom nobody would know again."""
    return (str(found[0]).removeprefix("::ffff:"), int(found[1])) if isinstance(found, tuple) else None


async def answer_by(app: ASGIApp, exchange: HttpExchange, server: Address, client: Address) -> None:
    """Let an application answer. Its answer is sent in one write where it comes in one piece."""
    scope = {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.0" if exchange.is_old else "1.1",
        "server": server,
        "client": client,
        "scheme": "http",
        "root_path": "",
        "method": exchange.method,
        "path": exchange.path,
        "raw_path": exchange.raw_path,
        "query_string": exchange.query,
        "headers": exchange.headers,
        "state": {},
    }
    room = _Room(exchange)
    await app(scope, room.receive, room.send)


async def answer_whole(send: Send, status: int, headers: Headers, body: bytes) -> None:
    """An application's answer in one piece."""
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


class _Room:
    """What an application is given to speak through."""

    def __init__(self, exchange: HttpExchange) -> None:
        self._exchange = exchange
        self._was_read = False
        self._start: Message | None = None

    async def receive(self) -> Message:
        exchange = self._exchange
        if self._was_read:
            await exchange.left()
            return {"type": "http.disconnect"}
        try:
            piece = await exchange.piece()
        except CallerLeftError:
            return {"type": "http.disconnect"}
        self._was_read = exchange.is_whole
        return {"type": "http.request", "body": piece, "more_body": not exchange.is_whole}

    async def send(self, message: Message) -> None:
        exchange = self._exchange
        if message["type"] == "http.response.start":
            self._start = message
            return
        body, more = message.get("body", b""), message.get("more_body", False)
        start: Any
        start, self._start = self._start, None
        if start is not None and not more:
            await exchange.answer(start["status"], start["headers"], body)
            return
        await exchange.taken()
        if start is not None:
            exchange.begin(start["status"], start["headers"])
        exchange.write(body)
        if not more:
            exchange.end()
