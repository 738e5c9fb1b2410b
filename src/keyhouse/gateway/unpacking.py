"""Answers that came compressed although nobody asked for that: gzip and deflate are unpacked where an answer has to be read."""

import asyncio
import zlib
from collections.abc import Iterable

from keyhouse.domain.errors import Code, Error
from keyhouse.gateway.headers import value_of
from keyhouse.gateway.passing import PassedBody, Take

_ZLIB = frozenset({b"gzip", b"x-gzip", b"deflate"})
_ANY_ZLIB_HEADER = 32 + zlib.MAX_WBITS
MAX_UNPACKED_BYTES = 16 * 1024 * 1024
"""What a whole answer may come to that is read: a few KiB can unpack to a thousand times as much."""
_SLICE_BYTES = 256 * 1024
"""How much of a stream is unpacked before others come to their turn."""


def packing_of(headers: Iterable[tuple[bytes, bytes]]) -> bytes:
    """How a body is compressed; empty where it is not."""
    encoding = (value_of(headers, b"content-encoding") or b"identity").strip().lower()
    return b"" if encoding == b"identity" else encoding


def unpacked(packing: bytes, body: bytes, limit: int) -> bytes:
    """A whole body, or what can be read of it, up to about `limit` bytes; empty where it is compressed in another way."""
    if not packing:
        return body
    if packing not in _ZLIB:
        return b""
    try:
        return zlib.decompressobj(_ANY_ZLIB_HEADER).decompress(body, limit)
    except zlib.error:
        return b""


def checked_packing(headers: Iterable[tuple[bytes, bytes]]) -> bytes:
    """The same as `packing_of`. Raises Error `upstream_invalid_answer` for what can not be unpacked."""
    packing = packing_of(headers)
    if packing and packing not in _ZLIB:
        raise Error(Code.UPSTREAM_INVALID_ANSWER, f"The upstream compressed its answer ({shown(packing)}), although nobody asked for that.")
    return packing


def shown(packing: bytes) -> str:
    """The upstream's word for it, as a message can hold it."""
    return packing[:20].decode("ascii", "replace")


class UnpackedBody:
    """Passes a compressed body on unpacked, slice by slice."""

    def __init__(self, body: PassedBody) -> None:
        self._body = body
        self._unpack = zlib.decompressobj(_ANY_ZLIB_HEADER)
        self._packed = b""
        self._is_more = False
        self._take: Take

    async def pass_to(self, take: Take) -> bool:
        """See PassedBody. Raises Error `upstream_invalid_answer` too."""
        self._take = take
        while True:
            while self._is_more:
                await asyncio.sleep(0)
                if not self._pass_slice():
                    return False
            is_all = await self._body.pass_to(self._pass)
            if not self._is_more:
                return is_all

    def _pass(self, piece: bytes) -> bool:
        self._packed = piece
        return self._pass_slice() and not self._is_more

    def _pass_slice(self) -> bool:
        try:
            data = self._unpack.decompress(self._packed, _SLICE_BYTES)
        except zlib.error:
            raise Error(Code.UPSTREAM_INVALID_ANSWER, "The upstream's stream is not compressed as it says.") from None
        self._packed = self._unpack.unconsumed_tail
        # Of a full slice there may be more, although all of it was read.
        self._is_more = bool(self._packed) or len(data) == _SLICE_BYTES
        return not data or self._take(data)
