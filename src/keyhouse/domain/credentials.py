"""A provider's credentials: the one type that holds secrets. It prints as ***, masks itself, and knows how an edit merges."""

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import NoReturn

from keyhouse.domain.provider_spec import ProviderSpec

MASK = "HAS_KEY" + "\u2022" * 24
"""Stands for a stored value wherever one is shown; sent back, it means "as stored". 31 characters."""


class Credentials:
    """Names and opened values of one provider row, immutable. Values are strings, but for azure's unknown fields (any JSON).

    Prints as `***` and cannot be pickled. Where the stored blob could not be opened, `readable` is False and only the names are known.
    """

    __slots__ = ("_values", "names", "readable")

    def __init__(self, values: Mapping[str, object] | None = None) -> None:
        self._values: dict[str, object] = dict(values or {})
        self.names = tuple(self._values)
        """Of all values, in their order."""
        self.readable = True

    @classmethod
    def unreadable(cls, names: tuple[str, ...]) -> "Credentials":
        """What is left of credentials that cannot be opened: their names."""
        credentials = cls()
        credentials.names = names
        credentials.readable = False
        return credentials

    def __repr__(self) -> str:
        return "***"

    __str__ = __repr__

    def __format__(self, format_spec: str) -> str:
        return "***"

    def __reduce__(self) -> NoReturn:
        raise TypeError("credentials are not pickled")

    def __bool__(self) -> bool:
        return bool(self.names)

    def __iter__(self) -> Iterator[str]:
        return iter(self.names)

    def __contains__(self, name: str) -> bool:
        return name in self.names

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Credentials):
            return NotImplemented
        if self.names != other.names or self.readable != other.readable:
            return False
        others = other._values
        for name, value in self._values.items():  # noqa: SIM110 - a generator is a call more for each of them
            if value is not others[name] and not same_value(value, others[name]):
                return False
        return True

    __hash__ = None  # type: ignore[assignment]

    def opened(self) -> dict[str, object]:
        """The values themselves. Only storage (to seal) and the gateway (to sign) have a reason to call this."""
        return dict(self._values)

    def get(self, name: str) -> object:
        """One opened value, or None."""
        return self._values.get(name)

    def text(self, name: str) -> str:
        """One opened value if it is a string that is not blank, else an empty string."""
        value = self._values.get(name)
        return value if isinstance(value, str) and value and not value.isspace() else ""

    def has_same_texts(self, other: "Credentials", names: Iterable[str]) -> bool:
        """Whether `text` has the same for each of these names in both."""
        values, others = self._values, other._values
        for name in names:  # noqa: SIM110 - as above
            if values.get(name) != others.get(name) and self.text(name) != other.text(name):
                return False
        return True

    def texts(self) -> frozenset[str]:
        """The names of all for which `text` has one."""
        return frozenset([name for name, value in self._values.items() if isinstance(value, str) and value and not value.isspace()])

    def masked(self, spec: ProviderSpec) -> dict[str, object]:
        """Names to values in clear for public fields and to `MASK` for all others; blank ones are left out."""
        if not self.readable:
            return dict.fromkeys(self.names, MASK)
        return {name: value if spec.is_public(name) else MASK for name, value in self._values.items() if value != ""}

    def merged(self, given: Mapping[str, object], spec: ProviderSpec) -> "Credentials":
        """These credentials after an edit that sent `given`, as `given_as_stored` spells it.

        The mask keeps what is stored and is never stored itself; any other value replaces; "" clears; a secret field that is not named is
        kept, a public one dropped; fields that the provider does not know are dropped.
        """
        together = {name: value for name, value in self._values.items() if name not in given and not spec.is_public(name)}
        for name, value in given.items():
            if spec.is_known(name) and (merged := self._merged_value(name, value, spec)) is not None:
                together[name] = merged
        return Credentials(_ordered(together, spec))

    def compared(self, other: "Credentials") -> Iterator[tuple[str, bool, bool]]:
        """The names of which the other credentials say something else, each with whether these have it, and whether the others have."""
        names, others = self.names, other.names
        for name in names if names == others else dict.fromkeys((*names, *others)):
            old, new = name in names, name in others
            if not (old and new and same_value(self._values.get(name), other._values.get(name))):
                yield name, old, new

    def _merged_value(self, name: str, value: object, spec: ProviderSpec) -> object:
        if value == MASK:
            return self._values.get(name)
        if value == "" and not ((field := spec.field_named(name)) is not None and field.may_be_blank):
            return None
        return value


def same_value(one: object, other: object) -> bool:
    """Whether two JSON values are the same. Python's own comparison takes `true` for `1`."""
    if isinstance(one, str) or isinstance(other, str):
        return one == other
    return json.dumps(one, sort_keys=True) == json.dumps(other, sort_keys=True)


def given_as_stored(given: Mapping[str, object], spec: ProviderSpec) -> dict[str, object]:
    """`given` with names spelt as the provider spells them, values trimmed where it trims them, and nulls left out where it drops them."""
    renamed: dict[str, object] = {}
    for name, value in given.items():
        canonical = spec.aliases.get(name, name)
        is_outranked = name != canonical and given.get(canonical) is not None
        if not is_outranked and not (value is None and spec.keeps_unknown_fields):
            renamed[canonical] = value.strip() if isinstance(value, str) and canonical in spec.trimmed_names else value
    return renamed


def _ordered(values: Mapping[str, object], spec: ProviderSpec) -> Mapping[str, object]:
    if len(values) < 2:
        return values
    known = [field.name for field in spec.all_fields if field.name in values]
    return {name: values[name] for name in (*known, *sorted(values.keys() - known))}
