"""Tells a read that is one whole chunk of HTTP's chunked coding by its length and its first bytes. Parses nothing."""

LARGEST_BYTES = 4 * 1024
"""An event of a stream takes a few hundred. Of a larger one the copies cost more than the parser."""
_NO_CHUNK: tuple[()] = ()
"""What nothing starts with, to `startswith`: an upstream may begin with whatever it likes."""


class _Starts(dict[int, bytes | tuple[()]]):
    """By the length of a whole chunk: its first line, put together when it is first asked for."""

    def __missing__(self, length: int) -> bytes | tuple[()]:
        if length > LARGEST_BYTES:
            return _NO_CHUNK
        starts = [b"%x\r\n" % size for size in range(max(1, length - 7), length - 4)]
        return self.setdefault(length, next((start for start in starts if len(start) + int(start, 16) + 2 == length), _NO_CHUNK))


STARTS = _Starts()
"""What a read of this length starts with if it is one whole chunk as we write one ourselves: without zeros before its size, in lower case,
without extensions. That it ends in CRLF remains to be seen. No read starts so where there is no such chunk."""
