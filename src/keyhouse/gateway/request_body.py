"""Sends a large or streamed request body no faster than the upstream takes it, and never copies a large one whole."""

import asyncio
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from keyhouse.gateway.connection import Connection

PIECE_BYTES = 256 * 1024


async def send_body(connection: "Connection", body: bytes | AsyncIterator[bytes], content_length: int | None) -> None:
    """Send all of `body`: as it is when it is bytes or `content_length` is given, chunked otherwise.

    Raises ValueError when an iterator yields more or fewer bytes than announced, and whatever the iterator raises: the connection is then
    of no further use.
    """
    if isinstance(body, bytes):
        await _send_pieces(connection, body)
    elif content_length is None:
        await _send_chunked(connection, body)
    else:
        await _send_counted(connection, body, content_length)


async def _send_pieces(connection: "Connection", data: bytes) -> None:
    view = memoryview(data)
    for start in range(0, len(view), PIECE_BYTES):
        if start:
            # What came meanwhile is read: an answer before the end of the request is lost where we write on to an upstream that has closed.
            await asyncio.sleep(0)
        await connection.send(view[start : start + PIECE_BYTES])


async def _send_chunked(connection: "Connection", body: AsyncIterator[bytes]) -> None:
    async for piece in body:
        if piece:
            await connection.send(b"%x\r\n%b\r\n" % (len(piece), piece))
    await connection.send(b"0\r\n\r\n")


async def _send_counted(connection: "Connection", body: AsyncIterator[bytes], content_length: int) -> None:
    missing = content_length
    async for piece in body:
        missing -= len(piece)
        if missing < 0:
            raise ValueError("the request's body is longer than its announced length")
        await _send_pieces(connection, piece)
    if missing:
        raise ValueError("the request's body is shorter than its announced length")
