"""What the pages show of a provider, from the same masked entry that the API gives: no value of a secret ever comes here."""

from collections.abc import Collection, Mapping, Sequence
from datetime import date, datetime
from typing import Any

import msgspec

from keyhouse.domain.credentials import MASK
from keyhouse.domain.history import FieldChange, HistoryEntry
from keyhouse.domain.provider_spec import CredentialField, ProviderSpec
from keyhouse.domain.tenancy import Project
from keyhouse.domain.verdict import LastTest
from keyhouse.services.model_providers import ModelProviders

Entry = Mapping[str, Any]
"""One provider as `GET /api/model-providers/{provider}` shows it."""

_FIELD_NAMES = {
    "enabled": "Enabled",
    "customModels": "Custom models",
    "customEmbeddingsModels": "Custom embedding models",
    "extraHeaders": "Order of the extra headers",
    "defaultModel": "Default model",
}


class FieldView(msgspec.Struct, frozen=True):
    """One credential field: whether it is stored, and its value where that is public."""

    name: str
    label: str
    secret: bool
    required: bool
    stored: bool
    value: str
    format: str
    group: str
    """Fields of which one is enough share a name here."""
    together: str
    """Fields that are all given or all left out share a name here."""
    needed: bool
    """Whether it is the address without which nothing can be called, though it can be stored."""
    alternative: str
    """The number of the way to reach the provider that this field belongs to; empty where it belongs to all."""


class ProviderView(msgspec.Struct, frozen=True):
    """A provider of a project."""

    spec: ProviderSpec
    entry: Entry
    fields: tuple[FieldView, ...]
    default_model: str
    ends: Mapping[str, date]
    """The days on which it ends its models, by their ids."""
    changed: HistoryEntry | None = None
    tested: LastTest | None = None
    used_at: datetime | None = None

    @property
    def id(self) -> str:
        """The provider's id."""
        return self.spec.id

    @property
    def is_stored(self) -> bool:
        """Whether the project has it."""
        return "id" in self.entry

    @property
    def alternative(self) -> str:
        """The number of the way that is in use: whose address is stored, the one that wins first; else the first."""
        numbers = {field.name: field.alternative for field in self.fields if field.stored}
        used = (numbers[name] for name in self.spec.address_fields if numbers.get(name))
        return next(used, "0") if self.spec.alternatives else ""

    @property
    def lists_models(self) -> bool:
        """Whether it has a list of its models, on some way to reach it, that can be asked for."""
        calling = self.spec.calling
        return calling is not None and any(route.check is not None and route.check.items is not None for route in calling.routes)

    @property
    def needs_secret(self) -> bool:
        """Whether it is called with a key as a rule."""
        return any(field.secret and (field.required or field.group) for field in self.fields)

    @property
    def custom_models(self) -> list[Mapping[str, Any]]:
        """The project's own models, embeddings among them."""
        return [*self.own_models("customModels"), *self.own_models("customEmbeddingsModels")]

    def own_models(self, field: str) -> list[Mapping[str, Any]]:
        """The project's own models that a field of the entry lists."""
        return self.entry.get(field) or []

    @property
    def model_ids(self) -> list[str]:
        """Every id that can be a default model."""
        own = [model["modelId"] for model in self.own_models("customModels")]
        return list(dict.fromkeys([*own, *(self.entry.get("models") or [])]))


def provider_view(providers: ModelProviders, project: Project, entry: Entry) -> ProviderView:
    """The view of an entry. The project's default model stands in it where it is one of this provider."""
    spec = providers.spec(entry["provider"])
    provider, _, model = (project.default_model or "").partition("/")
    stored: Mapping[str, Any] = entry.get("customKeys") or {}
    fields = tuple(_field(spec, field, stored) for field in _shown_fields(spec, stored))
    return ProviderView(spec, entry, fields, model if provider == spec.id else "", providers.ends(spec.id))


def _shown_fields(spec: ProviderSpec, stored: Mapping[str, Any]) -> list[CredentialField]:
    """Those of the registry, and whatever else is stored."""
    known = {field.name for field in spec.fields}
    return [*spec.fields, *(spec.field_named(name) or CredentialField(name) for name in stored if name not in known)]


def _field(spec: ProviderSpec, field: CredentialField, stored: Mapping[str, Any]) -> FieldView:
    value = stored.get(field.name)
    shown = value if field.public and isinstance(value, str) and value != MASK else ""
    return FieldView(
        name=field.name,
        label=field.label or field.name,
        secret=not field.public,
        required=field.required,
        stored=value is not None,
        value=shown,
        format=field.format,
        group="one-of" if field.name in spec.at_least_one else "",
        together=_number_of(field.name, spec.together),
        needed=field.name in spec.address_fields and spec.base_url is None,
        alternative=_number_of(field.name, [one.fields for one in spec.alternatives]),
    )


def _number_of(name: str, groups: Sequence[Collection[str]]) -> str:
    return next((str(number) for number, group in enumerate(groups) if name in group), "")


def field_label(spec: ProviderSpec, name: str) -> str:
    """What people call a field that an error or the history names."""
    kind, _, rest = name.partition(".")
    if kind == "customKeys":
        field = spec.field_named(rest)
        return field.label if field and field.label else rest
    if kind == "extraHeaders" and rest:
        return f"Header {rest}"
    return _FIELD_NAMES.get(name, name)


def in_words(spec: ProviderSpec, sentence: str) -> str:
    """A sentence with the names of fields as people know them."""
    for field in sorted(spec.all_fields, key=lambda field: -len(field.name)):
        sentence = sentence.replace(f"customKeys.{field.name}", field.label or field.name).replace(field.name, field.label or field.name)
    return sentence


def change_in_words(spec: ProviderSpec, change: FieldChange) -> str:
    """One field's change."""
    return f"{field_label(spec, change.name)} {change.change}"
