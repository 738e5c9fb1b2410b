"""Reads decoded JSON with the right types or a named error, so that no odd body ends in a KeyError. Knows no wire format."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Self, TypeVar

from keyhouse.domain.errors import Code, Error

JsonObject = dict[str, Any]
_Choice = TypeVar("_Choice", bound=str)


class Fields:
    """One JSON object and the path at which it stands.

    Every accessor answers with the type its name states. `*_or_none` takes an absent key and null as None. Raises Error with `code`,
    `BAD_REQUEST` for what a caller sent and `UPSTREAM_INVALID_ANSWER` for what an upstream answered; `param` is the path.
    """

    __slots__ = ("_code", "path", "raw")

    def __init__(self, value: object, path: str = "", code: Code = Code.BAD_REQUEST) -> None:
        self.path = path
        self._code = code
        if not isinstance(value, dict):
            raise self._wrong(path, "an object")
        self.raw: JsonObject = value

    def at(self, name: str | int) -> str:
        """The path of one of its members: `messages.0.role`."""
        return f"{self.path}.{name}" if self.path else str(name)

    def has(self, name: str) -> bool:
        """Whether the key is there with a value other than null."""
        return self.raw.get(name) is not None

    def check_names(self, *known: str) -> None:
        """Raises Error `unsupported_parameter` for a member that has none of these names and is not null."""
        for name, value in self.raw.items():
            if value is not None and name not in known:
                raise unknown(self.at(name[:100]))

    def text(self, name: str) -> str:
        """A string."""
        value = self.raw.get(name)
        if not isinstance(value, str):
            raise self._wrong(self.at(name), "a string")
        return value

    def text_or_none(self, name: str) -> str | None:
        """A string, or None."""
        return self.text(name) if self.has(name) else None

    def integer(self, name: str) -> int:
        """A whole number, `1.0` too: in JSON it is the same."""
        value = self.raw.get(name)
        if isinstance(value, float) and value.is_integer():
            return int(value)
        if isinstance(value, bool) or not isinstance(value, int):
            raise self._wrong(self.at(name), "an integer")
        return value

    def integer_or_none(self, name: str) -> int | None:
        """A whole number, or None."""
        return self.integer(name) if self.has(name) else None

    def number_or_none(self, name: str) -> int | float | None:
        """A number, or None."""
        value = self.raw.get(name)
        if value is not None and (isinstance(value, bool) or not isinstance(value, int | float)):
            raise self._wrong(self.at(name), "a number")
        return value

    def boolean_or_none(self, name: str) -> bool | None:
        """A boolean, or None."""
        value = self.raw.get(name)
        if value is not None and not isinstance(value, bool):
            raise self._wrong(self.at(name), "a boolean")
        return value

    def choice(self, name: str, choices: Iterable[_Choice]) -> _Choice:
        """One of these strings."""
        value, known = self.text(name), tuple(choices)
        for choice in known:
            if choice == value:
                return choice
        raise self._wrong(self.at(name), "one of " + ", ".join(known))

    def choice_or_none(self, name: str, choices: Iterable[_Choice]) -> _Choice | None:
        """One of these strings, or None."""
        return self.choice(name, choices) if self.has(name) else None

    def object(self, name: str) -> Self:
        """An object."""
        return type(self)(self.raw.get(name), self.at(name), self._code)

    def object_or_none(self, name: str) -> Self | None:
        """An object, or None."""
        return self.object(name) if self.has(name) else None

    def objects(self, name: str) -> Iterator[Self]:
        """The objects of an array."""
        return (type(self)(value, f"{self.at(name)}.{index}", self._code) for index, value in enumerate(self.items(name)))

    def objects_or_none(self, name: str) -> Iterator[Self]:
        """The objects of an array; none where it is absent."""
        return self.objects(name) if self.has(name) else iter(())

    def items(self, name: str) -> list[Any]:
        """An array, as it is."""
        value = self.raw.get(name)
        if not isinstance(value, list):
            raise self._wrong(self.at(name), "an array")
        return value

    def texts(self, name: str) -> tuple[str, ...]:
        """An array of strings; empty where it is absent."""
        values = self.items(name) if self.has(name) else []
        for index, value in enumerate(values):
            if not isinstance(value, str):
                raise self._wrong(f"{self.at(name)}.{index}", "a string")
        return tuple(values)

    def wrong(self, name: str, expected: str) -> Error:
        """The error for a member that is not what it must be."""
        return self._wrong(self.at(name), expected)

    def _wrong(self, path: str, expected: str) -> Error:
        where = path or "The body"
        if self._code is Code.BAD_REQUEST:
            return Error(self._code, f"{where} must be {expected}.", param=path or None)
        return Error(self._code, f"The upstream's answer is not of its format: {where} must be {expected}.")


def unsupported(path: str, reason: str, *, error_code: str | None = None) -> Error:
    """The 400 for something that has no equivalent and whose loss would change what the caller gets. `reason` is a whole sentence,
    `error_code` the word by which clients of the Messages API know what to do about it."""
    return Error(Code.UNSUPPORTED_PARAMETER, f"{path}: {reason}", param=path, **({"error_code": error_code} if error_code else {}))


def unknown(path: str) -> Error:
    """The 400 for something that is not known here."""
    return unsupported(path, "This parameter is not known, so nobody can tell what leaving it out would change.")


def without_nones(members: Mapping[str, object]) -> JsonObject:
    """The object without its members that are None."""
    return {name: value for name, value in members.items() if value is not None}
