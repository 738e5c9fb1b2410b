"""Values made of the types of the official packages: for each member that may be left out, at whatever depth, one with and one without."""

import collections.abc
import types
import typing
from collections.abc import Iterator

import msgspec
import typing_extensions

_FITTING = {
    "arguments": "{}",
    "data": "aGk=",
    "file_data": "data:application/pdf;base64,aGk=",
    "file_url": "https://example.com/a.pdf",
    "image_url": "https://example.com/a.png",
    "type": "object",
    "url": "https://example.com/a.png",
}
"""Texts that are of the right kind under these names."""
_DEEPEST = 10
_QUALIFIERS = (typing_extensions.Required, typing_extensions.NotRequired, typing.Annotated)


class Pair(msgspec.Struct, frozen=True):
    """A value that has one member more than the other. `member` is `Type.name`, as the package calls them."""

    member: str
    value: object
    without: object

    def inside(self, wrap: typing.Callable[[object], object]) -> "Pair":
        """The same pair where it stands inside something."""
        return Pair(self.member, wrap(self.value), wrap(self.without))


def pairs(hint: object, name: str = "", seen: tuple[object, ...] = ()) -> Iterator[Pair]:
    """All pairs of values of this type; a type inside itself is not looked into again."""
    hint = _bare(hint)
    if len(seen) > _DEEPEST or hint in seen:
        return
    if typing_extensions.is_typeddict(hint):
        yield from _pairs_of(hint, (*seen, hint))
    elif _is_union(hint):
        for choice in typing.get_args(hint):
            yield from pairs(choice, name, seen)
    elif _is_list(hint):
        for pair in pairs(typing.get_args(hint)[0], name, seen):
            yield pair.inside(lambda value: [value])


def _pairs_of(kind: typing.Any, seen: tuple[object, ...]) -> Iterator[Pair]:
    least = smallest(kind)
    for name, hint in sorted(members_of(kind).items()):
        if name not in least:
            yield Pair(f"{kind.__name__}.{name}", {**least, name: smallest(hint, name)}, least)
        for pair in pairs(hint, name, seen):
            yield pair.inside(lambda value, name=name: {**least, name: value})


def smallest(hint: object, name: str = "", depth: int = 0) -> typing.Any:
    """The smallest value of a type, which holds what it must alone."""
    hint = _bare(hint)
    choices = typing.get_args(hint)
    if typing_extensions.is_typeddict(hint):
        return {key: smallest(inner, key, depth + 1) for key, inner in members_of(hint).items() if _is_required(hint, key)}
    if typing.get_origin(hint) is typing.Literal:
        return choices[-1]
    if _is_union(hint):
        return smallest(next(choice for choice in choices if choice is not types.NoneType), name, depth)
    if _is_list(hint):
        return [smallest(choices[0], name, depth + 1)]
    plain = {str: _FITTING.get(name, "x"), bool: True, int: 3, float: 0.5}
    return plain.get(hint, {}) if isinstance(hint, type) else {}


def members_of(kind: typing.Any) -> dict[str, object]:
    """The members of a typed dictionary, with their types."""
    return typing_extensions.get_type_hints(kind, include_extras=True)


def _is_required(kind: typing.Any, name: str) -> bool:
    origin = typing.get_origin(members_of(kind)[name])
    return origin is typing_extensions.Required or (kind.__total__ and origin is not typing_extensions.NotRequired)


def _bare(hint: object) -> typing.Any:
    while typing.get_origin(hint) in _QUALIFIERS:
        hint = typing.get_args(hint)[0]
    return hint


def _is_union(hint: object) -> bool:
    return typing.get_origin(hint) in (typing.Union, types.UnionType)


def _is_list(hint: object) -> bool:
    origin = typing.get_origin(hint)
    return isinstance(origin, type) and issubclass(origin, collections.abc.Iterable) and not issubclass(origin, collections.abc.Mapping)
