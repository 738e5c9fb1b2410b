"""What is known of a provider before any project exists: its fields, their rules, and how it is called. No I/O."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal

from keyhouse.domain.calling import Calling

ProviderKind = Literal["llm", "safety"]
FieldFormat = Literal["text", "url", "json_object"]


@dataclass(frozen=True, slots=True)
class CredentialField:
    """One credential field. What is not `public` is secret, whatever it is called."""

    name: str
    public: bool = False
    required: bool = False
    may_be_blank: bool = False
    """Required, yet an empty string counts as given (an account that has no plan)."""
    trimmed: bool = False
    format: FieldFormat = "text"
    host_suffix: str | None = None
    """A `url` must be https on this host or below it."""
    ignored_endings: tuple[str, ...] = ()
    """What a `url` may end with and is called without: people paste it with a path that the endpoints have already."""
    label: str = ""
    """For people, on the page."""


@dataclass(frozen=True, slots=True)
class Alternative:
    """One of several ways to reach a provider, as people choose it, and the public fields that it alone needs."""

    label: str
    fields: tuple[str, ...]


@dataclass(frozen=True)
class ProviderSpec:
    """A provider as its data file states it.

    `at_least_one`: of these fields one must not be blank. `together`: groups of fields that are all given or all absent.
    `alternatives`: ways of which a person chooses one. `address_fields`: which fields hold the address that credentials are sent to;
    without any, `base_url`.
    `calling`: what the gateway needs (addresses, paths, wire formats, signing); None for a provider that is never called.
    """

    id: str
    name: str
    kind: ProviderKind = "llm"
    fields: tuple[CredentialField, ...] = ()
    at_least_one: tuple[str, ...] = ()
    together: tuple[tuple[str, ...], ...] = ()
    alternatives: tuple[Alternative, ...] = ()
    address_fields: tuple[str, ...] = ()
    base_url: str | None = None
    aliases: Mapping[str, str] = field(default_factory=dict)
    keeps_unknown_fields: bool = False
    accepts_managed: bool = True
    deprecated: bool = False
    spellings: tuple[str, ...] = ()
    model_prefixes: tuple[str, ...] = ()
    temperature_range: tuple[float, float] | None = None
    calling: Calling | None = None
    documentation_url: str = ""
    logo: str = ""
    """The name of its logo among those of the pages; empty where there is none."""
    telemetry_name: str = ""
    """What OpenTelemetry's conventions call it; empty where that is its id."""

    def field_named(self, name: str) -> CredentialField | None:
        """The field of that name, or None where the provider does not know it."""
        return self._by_name.get(name)

    @cached_property
    def _by_name(self) -> Mapping[str, CredentialField]:
        return {known.name: known for known in self.all_fields}

    @cached_property
    def _public_names(self) -> frozenset[str]:
        return frozenset(known.name for known in self.all_fields if known.public)

    @cached_property
    def trimmed_names(self) -> frozenset[str]:
        """The names of the fields whose values are kept without blanks around them."""
        return frozenset(known.name for known in self.all_fields if known.trimmed)

    @cached_property
    def required_fields(self) -> tuple[CredentialField, ...]:
        """The fields that must be given."""
        return tuple(known for known in self.fields if known.required)

    @cached_property
    def formatted_fields(self) -> tuple[CredentialField, ...]:
        """The fields that hold more than just some text."""
        return tuple(known for known in self.all_fields if known.format != "text")

    @cached_property
    def all_fields(self) -> tuple[CredentialField, ...]:
        """The fields of the file and, where the provider accepts it, `MANAGED`."""
        return (*self.fields, MANAGED) if self.accepts_managed else self.fields

    def address_in_use(self, stored: Callable[[str], str | None]) -> str | None:
        """The name of the field whose address is in use: the first that is stored. None where it is the provider's own."""
        for name in self.address_fields:
            if stored(name):
                return name
        return None

    def is_public(self, name: str) -> bool:
        """Whether a field's value may be shown in clear."""
        return name in self._public_names

    def is_known(self, name: str) -> bool:
        """Whether a value under this name is kept."""
        return self.keeps_unknown_fields or name in self._by_name


MANAGED = CredentialField("MANAGED", public=True, label="Managed")
