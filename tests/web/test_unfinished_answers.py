"""An answer that its room does not bring to a good end never looks like one, and its connection carries no other."""

import asyncio
import contextlib
import logging

import pytest
import uvloop
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from uvicorn.server import ServerState

from keyhouse.web.http_answer import head
from keyhouse.web.serving import server_config

REQUEST = b"GET / HTTP/1.1\r\nhost: a\r\n\r\n"
OLD_REQUEST = b"GET / HTTP/1.0\r\n\r\n"


def room(*messages: Message) -> ASGIApp:
    """An application that sends these and then fails, if they are not a whole answer."""

    async def answer(scope: Scope, receive: Receive, send: Send) -> None:
        for message in messages:
            await send(message)
        raise RuntimeError("planted")

    return answer


def start(*headers: tuple[bytes, bytes]) -> Message:
    return {"type": "http.response.start", "status": 200, "headers": list(headers)}


def piece(body: bytes, more: bool = True) -> Message:
    return {"type": "http.response.body", "body": body, "more_body": more}


def got(app: ASGIApp, request: bytes) -> bytes:
    """All that a caller gets until its connection ends; `reset` behind it where that is no orderly end."""

    async def main() -> bytes:
        config = server_config(app, shutdown_timeout_s=1)
        config.load()
        state = ServerState()

        def connection() -> asyncio.Protocol:
            return config.http_protocol_class(config=config, server_state=state, app_state={})  # type: ignore[call-arg, return-value]

        server = await asyncio.get_running_loop().create_server(connection, "127.0.0.1", 0)
        reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
        received = b""
        try:
            writer.write(request)
            async with asyncio.timeout(20):
                while data := await reader.read(65536):
                    received += data
        except ConnectionResetError:
            received += b"reset"
        finally:
            writer.close()
            with contextlib.suppress(ConnectionResetError):
                await writer.wait_closed()
            server.close()
            await asyncio.gather(*state.tasks)
        return received

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(main())


LENGTH = (b"content-length", b"4")


@pytest.mark.parametrize(
    ("app", "request_sent", "end"),
    [
        (room(), REQUEST, b"\r\n\r\nInternal Server Error"),
        (room(start(LENGTH)), REQUEST, b"\r\n\r\nInternal Server Error"),
        (room(start((b"x-a", b"1\r\nx-evil: 1")), piece(b"", more=False)), REQUEST, b"\r\n\r\nInternal Server Error"),
        (room(start((b"x-a", b"1\r\nx-evil: 1")), piece(b"ab")), REQUEST, b"\r\n\r\nInternal Server Error"),
        (room(start(LENGTH), piece(b"ab")), REQUEST, b"\r\n\r\nab"),
        (room(start(LENGTH), piece(b"ab"), piece(b"c", more=False)), REQUEST, b"\r\n\r\nabc"),
        (room(start(LENGTH), piece(b"ab"), piece(b"cde")), REQUEST, b"\r\n\r\nab"),
        (room(start(), piece(b"ab")), REQUEST, b"\r\n\r\n2\r\nab\r\n"),
        (room(start(), piece(b"ab")), OLD_REQUEST, b"reset"),
        (room(start(LENGTH), piece(b"ab")), OLD_REQUEST, b"\r\n\r\nab"),
    ],
)
def test_what_breaks_off_looks_broken(app: ASGIApp, request_sent: bytes, end: bytes, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.ERROR):
        received = got(app, request_sent * 2)
    assert received.endswith(end)
    assert received.count(b"HTTP/1.1 ") == (0 if received == b"reset" else 1)
    assert b"evil" not in received
    assert b"planted" not in received
    assert [record.message for record in caplog.records] == ["A request was not answered."]


@pytest.mark.parametrize("odd", [b"a\r\nb: c", b"a\nb", b"a\rb", b"a\0b"])
def test_no_header_of_an_answer_holds_a_line_break(odd: bytes) -> None:
    for header in ((b"x-a", odd), (odd, b"a")):
        with pytest.raises(ValueError, match="not legal HTTP"):
            head(200, [(b"x-b", b"b"), header], b"")
    assert head(200, [(b"x-a", b"a"), (b"x-b", b"b")], b"c: d\r\n") == b"HTTP/1.1 200 OK\r\nx-a: a\r\nx-b: b\r\nc: d\r\n\r\n"
