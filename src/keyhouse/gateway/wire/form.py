"""Reads `multipart/form-data` as far as the gateway acts on it, and changes one value in place. Decodes no file, copies nothing else.

RFC 7578, RFC 2046 section 5.1.
"""

import re
from dataclasses import dataclass, field

import msgspec

from keyhouse.domain.errors import Code, Error

MAXIMUM_PARTS = 1000
MAXIMUM_HEAD_BYTES = 8 * 1024
"""Of a part's head, in which nothing but its name and type should be."""
_MOST_LINES = 100
_MOST_PARAMETERS = 20
_BOUNDARY = re.compile(rb"""multipart/form-data\s*;(?:.*?[\s;])?boundary=(?:"([^"]{1,70})"|([^\s;"]{1,70}))""", re.IGNORECASE)
_TOKEN = rb"[A-Za-z0-9!#$%&'*+.^_`|~-]+"
_PARAMETER = re.compile(rb"[ \t]*;[ \t]*(" + _TOKEN + rb')=(?:"([^"\\\r\n]*+(?:\\[^\r\n][^"\\\r\n]*+)*+)"|' + _TOKEN + rb")[ \t]*")
_DISPOSITION = re.compile(rb"content-disposition[ \t]*:[ \t]*form-data(?=[ \t]*;)", re.IGNORECASE)


class Part(msgspec.Struct, frozen=True):
    """One value of a form: its name, and where its content stands in the body."""

    name: str
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Form:
    """A form's body and its parts, in order."""

    body: bytes = field(repr=False)
    boundary: bytes
    parts: tuple[Part, ...]

    def value(self, name: str) -> str | None:
        """The text of the only part of a name; None where there is none. Raises Error `bad_request` for two, and for no UTF-8."""
        found = [part for part in self.parts if part.name == name]
        if len(found) > 1:
            raise Error(Code.BAD_REQUEST, f"{name} must not be repeated.", param=name)
        try:
            return self.body[found[0].start : found[0].end].decode("utf-8") if found else None
        except UnicodeDecodeError:
            raise Error(Code.BAD_REQUEST, f"{name} must be text.", param=name) from None

    def with_value(self, name: str, value: str) -> bytes:
        """The body with this value under a name, in the place of the part that has it or in a new part before all others."""
        part = next((part for part in self.parts if part.name == name), None)
        if part is not None:
            if self.body[part.start : part.end] == value.encode():
                return self.body
            return b"".join((memoryview(self.body)[: part.start], value.encode(), memoryview(self.body)[part.end :]))
        added = b'--%b\r\ncontent-disposition: form-data; name="%b"\r\n\r\n%b\r\n' % (self.boundary, name.encode(), value.encode())
        return added + self.body


def parse_form(content_type: bytes, body: bytes) -> Form:
    """A form. Raises Error `malformed_request` for what is none."""
    matched = _BOUNDARY.match(content_type.strip())
    if matched is None or content_type.lower().count(b"boundary=") != 1:
        raise _malformed("its content type must be multipart/form-data with a boundary")
    boundary = matched[1] or matched[2]
    delimiter = b"\r\n--" + boundary
    first = b"--" + boundary
    at = len(first) if body.startswith(first) else body.find(delimiter) + len(delimiter)
    if at < len(delimiter) and not body.startswith(first):
        raise _malformed("its boundary does not occur")
    parts: list[Part] = []
    while body[at : at + 2] != b"--":
        part, at = _part(body, at, delimiter)
        parts.append(part)
        if len(parts) > MAXIMUM_PARTS:
            raise _malformed(f"it has more than {MAXIMUM_PARTS} parts")
    return Form(body, boundary, tuple(parts))


def _part(body: bytes, at: int, delimiter: bytes) -> tuple[Part, int]:
    """The part whose delimiter ends at `at`, and where the next delimiter ends."""
    line_end = body.find(b"\r\n", at)
    if line_end < 0 or body[at:line_end].strip(b" \t"):
        raise _malformed("a boundary is followed by neither a part nor the end")
    head_end = body.find(b"\r\n\r\n", line_end, line_end + MAXIMUM_HEAD_BYTES)
    end = body.find(delimiter, head_end + 2) if head_end >= 0 else -1
    if end < 0:
        raise _malformed(f"it ends inside a part, or a part's head is larger than {MAXIMUM_HEAD_BYTES // 1024} KiB")
    start = min(head_end + 4, end)
    return Part(_name(body[line_end + 2 : head_end]), start, end), end + len(delimiter)


def _name(head: bytes) -> str:
    """The name in a part's head: stated once, in quotes, so that nobody can read another one out of it."""
    lines = [
        line
        for line in head.split(b"\r\n", _MOST_LINES)
        if b"disposition" in line.lower() or line[:1] in (b" ", b"\t") or b"\r" in line or b"\n" in line
    ]
    disposition = _DISPOSITION.match(lines[0]) if len(lines) == 1 else None
    if disposition is None:
        raise _malformed("a part does not state its name on one line of its own")
    names, at = [], disposition.end()
    for _ in range(_MOST_PARAMETERS):
        parameter = _PARAMETER.match(lines[0], at)
        if parameter is None:
            break
        at = parameter.end()
        if parameter[1].lower().startswith(b"name"):
            names.append(parameter[2])
    if at != len(lines[0]) or len(names) != 1 or names[0] is None or b"\\" in names[0]:
        raise _malformed("a part does not state its name once, in quotes")
    return str(names[0].decode("utf-8", "replace"))


def _malformed(why: str) -> Error:
    return Error(Code.MALFORMED_REQUEST, f"The body is not a form: {why}.")
