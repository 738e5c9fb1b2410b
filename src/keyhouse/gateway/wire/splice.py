"""Reads the few members of a request's body that the gateway acts on, and changes `model` in place. Every other byte stays as it is."""

import codecs
import re
from collections.abc import Iterable, Iterator
from itertools import islice

import msgspec
from msgspec import UNSET, UnsetType

from keyhouse.domain.errors import Code, Error
from keyhouse.gateway.wire.json_text import UNREADABLE, holds_halves
from keyhouse.gateway.wire.parameters import DROP_TUNING_PARAMS

TOKEN_LIMITS = ("max_tokens", "max_completion_tokens", "max_output_tokens")
WATCHED = ("model", "stream", *TOKEN_LIMITS, DROP_TUNING_PARAMS)
"""The keys that must stand once and in plain letters at the top level, lest the upstream read another value than the gateway did."""

MAXIMUM_TOP_LEVEL_KEYS = 10_000
"""Where keys have to be walked one by one. A real request has a few dozen."""

_LARGE_BYTES = 64 * 1024
"""A list of all keys that may be found in a body of more than this would be large itself."""

_WATCHED_KEY = re.compile(rb'"(' + "|".join(WATCHED).encode() + rb')"[ \t\r\n]*:[ \t\r\n]*')
_ESCAPED_LETTER = re.compile(rb"\\u00(?:5[fF]|6[1-9a-fA-F]|7[0-9aA])")
"""A letter or underscore of a watched key, spelt as an escape."""
_STRING = re.compile(rb'"(?:[^"\\]++|\\.)*+"', re.DOTALL)
_NAMES = {name.encode(): name for name in WATCHED}
_MODEL = re.compile(rb'"model"[ \t\r\n]*:[ \t\r\n]*("(?:[^"\\]++|\\.)*+"|null)', re.DOTALL)
_DROP = re.compile(rb'"%b"[ \t\r\n]*:[ \t\r\n]*(true|false|null)' % DROP_TUNING_PARAMS.encode())
_SIMPLE_VALUE = re.compile(rb'"(?:[^"\\]++|\\.)*+"|true|false|null|[-0-9][-+.0-9eE]*', re.DOTALL)
_COLON = re.compile(rb"[ \t\r\n]*:[ \t\r\n]*")
_WHITE_SPACE = re.compile(rb"[ \t\r\n]*")
_PACKED = (b"\x1f\x8b", b"\x28\xb5\x2f\xfd")
"""How what gzip or zstd made begins."""
_TRAILING = re.compile(r"trailing characters \(byte (\d+)\)")


class _Members(msgspec.Struct):
    """What the decoder looks at; it passes over all else without building it."""

    model: str | UnsetType | None = UNSET
    stream: bool | UnsetType | None = UNSET
    drop_tuning_params: bool | UnsetType | None = UNSET


_decode = msgspec.json.Decoder(_Members).decode
_encode = msgspec.json.Encoder().encode


class Member(msgspec.Struct, frozen=True, gc=False):
    """Where one member of the top level stands: its key, its value, and the end of its value, as offsets in the body."""

    key: int
    value: int
    end: int


class Head(msgspec.Struct, frozen=True, gc=False):
    """What the gateway needs of a body; the members say where what changes stands."""

    model: str | None
    stream: bool
    model_member: Member | None = None
    drop_member: Member | None = None


def parse_head(body: bytes) -> Head:
    """The head of a request's body, which must be a JSON object.

    Raises Error: `malformed_request` when it is not JSON; `bad_request` when it is no object, when `model`, `stream` or
    `drop_tuning_params` are not of their types, and when one of the watched keys is repeated or spelt with escapes.
    """
    try:
        members = _decode(body)
    except UNREADABLE as error:
        raise _unreadable(body, error) from error
    model = members.model
    if isinstance(model, str) and members.drop_tuning_params is UNSET and _is_plain(body):
        return Head(model, members.stream is True, _plain_member(body, model))
    # In most bodies each watched key occurs once, so that it is the one that the decoder read, if it read any.
    keys = _walked(body) if _is_doubtful(body) else None
    return Head(
        None if model is UNSET else model,
        members.stream is True,
        None if model is UNSET else _member(_MODEL, body, 0 if keys is None else keys["model"]),
        None if members.drop_tuning_params is UNSET else _member(_DROP, body, 0 if keys is None else keys[DROP_TUNING_PARAMS]),
    )


def forbids_drops(body: bytes, head: Head) -> bool:
    """Whether `drop_tuning_params` is false. `head` is what `parse_head` read from this very body."""
    switch = head.drop_member
    return switch is not None and body[switch.value : switch.end] == b"false"


def with_model(body: bytes, head: Head, model: str) -> bytes:
    """The body as an upstream may have it: with this model, without `drop_tuning_params`; all other bytes as they are.

    `head` is what `parse_head` read from this very body.
    """
    name, switch = head.model_member, head.drop_member
    if name is not None and switch is None:
        if head.model == model:
            return body
        if len(body) <= _LARGE_BYTES:
            return b"%b%b%b" % (body[: name.value], _encode(model), body[name.end :])
        # Views: a large body is not copied twice.
        view = memoryview(body)
        return b"".join((view[: name.value], _encode(model), view[name.end :]))
    cuts: list[tuple[int, int, bytes]] = []
    if name is not None and head.model != model:
        cuts.append((name.value, name.end, _encode(model)))
    if switch is not None:
        cuts.append((*_with_comma(body, switch), b""))
    body = _cut(body, sorted(cuts)) if cuts else body
    return body if name is not None else _with_first_member(body, b'"model":' + _encode(model))


def _cut(body: bytes, cuts: Iterable[tuple[int, int, bytes]]) -> bytes:
    view = memoryview(body)
    pieces: list[bytes | memoryview] = []
    at = 0
    for start, end, instead in cuts:
        pieces += [view[at:start], instead]
        at = end
    return b"".join([*pieces, view[at:]])


def _with_first_member(body: bytes, member: bytes) -> bytes:
    start = body.index(b"{") + 1
    behind = _skip(_WHITE_SPACE, body, start)
    is_empty = body[behind : behind + 1] == b"}"
    return body[:start] + member + (b"" if is_empty else b",") + body[start:]


def _with_comma(body: bytes, member: Member) -> tuple[int, int]:
    """The span of a member and of the comma that goes with it: the one after it, else the one before."""
    after = _skip(_WHITE_SPACE, body, member.end)
    if body[after : after + 1] == b",":
        return member.key, after + 1
    return _before(body, member.key), member.end


def _before(body: bytes, key: int) -> int:
    """Where the comma before a key stands; the key itself where there is none."""
    at = key
    while body[at - 1 : at] in (b" ", b"\t", b"\r", b"\n"):
        at -= 1
    return at - 1 if body[at - 1 : at] == b"," else key


def _unreadable(body: bytes, error: Exception) -> Error:
    if isinstance(error, msgspec.ValidationError):
        return _mistyped(str(error))
    marked = " It begins with a byte order mark: send it without." if body.startswith(codecs.BOM_UTF8) else ""
    halved = " Of a character in it there may be half alone (as in \\ud83d)." if holds_halves(body.decode("utf-8", "replace")) else ""
    packed = " It is compressed: send it as it is." if body.startswith(_PACKED) else ""
    return Error(Code.MALFORMED_REQUEST, f"The body is not JSON.{marked}{halved}{packed}")


def _mistyped(reason: str) -> Error:
    name = next((name for name in WATCHED if reason.endswith(f"`$.{name}`")), None)
    if name is None:
        return Error(Code.BAD_REQUEST, "The body must be an object.")
    kind = "a string" if name == "model" else "true or false"
    return Error(Code.BAD_REQUEST, f"{name} must be {kind}.", param=name)


def _is_plain(body: bytes) -> bool:
    """Whether it is seen at a glance that a body is not doubtful, `drop_tuning_params` aside."""
    # Asked for bytes, `in` first raises and catches an error inside: `find` does not.
    is_once = body.count(b'"model"') == 1 and body.count(b'"stream"') < 2 and body.count(b'_tokens"') < 2
    return is_once and (body.find(b"\\") < 0 or not _ESCAPED_LETTER.search(body))


def _plain_member(body: bytes, model: str) -> Member:
    """The only member `model`, usually spelt as it would be here."""
    value, key = _encode(model), body.find(b'"model"')
    for said in (b'"model":', b'"model": '):
        start = key + len(said)
        if body.startswith(said + value, key):
            return Member(key, start, start + len(value))
    return _member(_MODEL, body, key)


def _is_doubtful(body: bytes) -> bool:
    """Whether the top level has to be walked key by key: something may repeat a watched key, or spell one with escapes."""
    if b"\\" in body and _ESCAPED_LETTER.search(body):
        return True
    if len(body) > _LARGE_BYTES:
        names = [match[1] for match in islice(_WATCHED_KEY.finditer(body), len(WATCHED) + 1)]
    else:
        names = _WATCHED_KEY.findall(body)
    return len(names) > 1 and len(set(names)) < len(names)


def _walked(body: bytes) -> dict[str, int]:
    """Where the watched keys of the top level stand."""
    found: dict[str, int] = {}
    for count, (key, place) in enumerate(_top_level(body)):
        if count == MAXIMUM_TOP_LEVEL_KEYS:
            raise Error(Code.BAD_REQUEST, f"The body must not have more than {MAXIMUM_TOP_LEVEL_KEYS} members.")
        name = _NAMES.get(key[1:-1])
        if name is None:
            _refuse_escaped(key)
            continue
        if name in found:
            raise Error(Code.BAD_REQUEST, f"{name} must not be repeated.", param=name)
        found[name] = place
    return found


def _member(pattern: re.Pattern[bytes], body: bytes, start: int) -> Member:
    """The first member of its name from `start` on."""
    match = pattern.search(body, start)
    assert match is not None  # noqa: S101 - the decoder has read it
    return Member(match.start(), match.start(1), match.end())


def _refuse_escaped(key: bytes) -> None:
    if b"\\" not in key:
        return
    try:
        name = msgspec.json.decode(key)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise Error(Code.MALFORMED_REQUEST, "The body is not JSON.") from error
    if name in WATCHED:
        raise Error(Code.BAD_REQUEST, f"{name} must not be spelt with escapes.", param=name)


def _top_level(body: bytes) -> Iterator[tuple[bytes, int]]:
    """The keys of the top level as they are spelt, and where they stand. The body is known to be an object."""
    at = _skip(_WHITE_SPACE, body, body.index(b"{") + 1)
    while body[at : at + 1] != b"}":
        key_end = _skip(_STRING, body, at)
        value = _skip(_COLON, body, key_end)
        end = _value_end(body, value)
        yield body[at:key_end], at
        at = _skip(_WHITE_SPACE, body, end)
        if body[at : at + 1] == b",":
            at = _skip(_WHITE_SPACE, body, at + 1)


def _value_end(body: bytes, start: int) -> int:
    """Where a value ends, white space behind it included if it is an array or object.

    The decoder passes over it and then complains of what follows, saying where: that is many times faster than any scanner in Python.
    """
    simple = _SIMPLE_VALUE.match(body, start)
    if simple is not None:
        return simple.end()
    try:
        msgspec.json.decode(memoryview(body)[start:], type=msgspec.Raw)
    except UNREADABLE as error:
        place = _TRAILING.search(str(error))
        if place is not None:
            # Counted from one.
            return start + int(place[1]) - 1
    raise Error(Code.MALFORMED_REQUEST, "The body is not JSON.")


def _skip(pattern: re.Pattern[bytes], body: bytes, start: int) -> int:
    match = pattern.match(body, start)
    return start if match is None else match.end()
