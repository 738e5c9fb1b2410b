"""Answers whose heads hold the same headers as one that came before, read in one look. Reads plain and whole answers; the parser reads all.

An upstream writes the headers of its answers in the same order each time, and only their values differ: what it wrote once is a pattern for
the next one. Whatever HTTP allows beyond its plainest form fits no pattern.
"""

import re
from collections.abc import Sequence
from itertools import groupby

from keyhouse.gateway.bounds import MAX_HEAD_BYTES
from keyhouse.gateway.headers import goes_to_caller

Known = tuple[bytes, bytes]
"""The lines of a head that go on to the caller, each ended and its name in lower case, the length's among them; and the body."""

_LONGEST_BYTES = 8 * 1024
_MOST_LINES = 64
"""Of a head that is learned."""
_MOST_LAYOUTS = 4
_MOST_LESSONS = 16
"""Of one upstream. To make a pattern takes as long as to read some three hundred answers."""
_PLAIN = re.compile(rb"[A-Za-z0-9_-]+: [\x21-\x7e](?:[\t\x20-\x7e]*[\x21-\x7e])?")
_STATUS_LINES = frozenset({b"HTTP/1.1 200 OK", b"HTTP/1.1 200 "})
_VALUE = rb"[\x21-\x7e][\t\x20-\x7e]*+(?<![\t ])"
_LENGTH, _CODING = b"content-length", b"transfer-encoding"
# llhttp takes the second for the first.
_FIXED_VALUES = {_CODING: b"chunked", b"connection": b"(?i:keep-alive)", b"proxy-connection": b"(?i:keep-alive)"}
_CHUNK = re.compile(rb"([0-9a-fA-F]{1,8})\r\n")
_LAST_CHUNK = b"\r\n0\r\n\r\n"


class KnownAnswers:
    """The layouts of one upstream's answers, as far as they are known."""

    __slots__ = ("_layouts", "_lessons")

    def __init__(self) -> None:
        self._layouts: list[_Layout] = []
        self._lessons = 0

    def read(self, data: bytes) -> Known | None:
        """An answer 200, where `data` is that answer from its first byte to its last, in plain HTTP; else None."""
        for layout in self._layouts:
            known = layout.read(data)
            if known is not None:
                return known
        return self._learn(data) if self._lessons < _MOST_LESSONS and len(self._layouts) < _MOST_LAYOUTS else None

    def _learn(self, data: bytes) -> Known | None:
        self._lessons += 1
        layout = _layout_of(data)
        known = None if layout is None else layout.read(data)
        if layout is not None and known is not None:
            self._layouts.append(layout)
        return known


class _Layout:
    """The headers of an answer in their order, as a pattern, and the lines that go on, with places for what the pattern finds."""

    __slots__ = ("_length_at", "_lines", "_match")

    def __init__(self, status_line: bytes, names: Sequence[bytes]) -> None:
        pattern = [re.escape(status_line) + b"\r\n"]
        places: list[bytes] = []
        # Groups are counted from one.
        self._length_at = 0
        for goes_unchanged, some in groupby(names, _goes_unchanged):
            if goes_unchanged:
                pattern.append(b"(%b)" % b"".join(_line(name, _VALUE) for name in some))
                places.append(b"%b")
                continue
            for name in some:
                lower = name.lower()
                if lower == _LENGTH or goes_to_caller(lower):
                    places.append(b"%b: %%b\r\n" % lower)
                if lower == _LENGTH:
                    self._length_at = len(places)
                pattern.append(_line(name, _value_of(lower)))
        self._lines = b"".join(places)
        self._match = re.compile(b"".join([*pattern, b"\r\n"])).match

    def read(self, data: bytes) -> Known | None:
        """What an answer of this layout says."""
        match = self._match(data)
        if match is None or match.end() > MAX_HEAD_BYTES:
            return None
        lines = self._lines % match.groups()
        if self._length_at:
            body = data[match.end() :]
            return (lines, body) if len(body) == int(match[self._length_at]) else None
        unframed = _unframed(data, match.end())
        return None if unframed is None else (b"%bcontent-length: %d\r\n" % (lines, len(unframed)), unframed)


def _layout_of(data: bytes) -> _Layout | None:
    """The layout of an answer that is plain HTTP; else None."""
    status_line, *lines = data[: max(0, data.find(b"\r\n\r\n", 0, _LONGEST_BYTES))].split(b"\r\n")
    if status_line not in _STATUS_LINES or len(lines) > _MOST_LINES or not all(map(_PLAIN.fullmatch, lines)):
        return None
    names = [line.partition(b":")[0] for line in lines]
    lower = [name.lower() for name in names]
    is_framed_once = lower.count(_LENGTH) + lower.count(_CODING) == 1
    return _Layout(status_line, names) if is_framed_once and b"upgrade" not in lower else None


def _goes_unchanged(name: bytes) -> bool:
    """Whether the whole line goes on as it came."""
    return name.islower() and name != _LENGTH and goes_to_caller(name)


def _line(name: bytes, value: bytes) -> bytes:
    return re.escape(name) + b": " + value + b"\r\n"


def _value_of(name: bytes) -> bytes:
    """The pattern of a value; a group where it is needed."""
    if name == _LENGTH:
        return b"(0|[1-9][0-9]{0,11})"
    return _FIXED_VALUES.get(name) or (b"(%b)" % _VALUE if goes_to_caller(name) else _VALUE)


def _unframed(data: bytes, start: int) -> bytes | None:
    """A body that came as one chunk and the last one."""
    size = _CHUNK.match(data, start)
    if size is None or not data.endswith(_LAST_CHUNK):
        return None
    body = data[size.end() : -len(_LAST_CHUNK)]
    return body if body and len(body) == int(size[1], 16) else None
