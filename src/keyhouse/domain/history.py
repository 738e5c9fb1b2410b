"""What a change changed, by field name: the form in which history, audit and a failed precondition tell it. No value of a secret."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from keyhouse.domain.credentials import Credentials
from keyhouse.domain.headers import ExtraHeader
from keyhouse.domain.model_provider import ModelProvider
from keyhouse.domain.tenancy import Actor

Action = Literal["created", "updated", "deleted", "rolled_back"]
Change = Literal["set", "changed", "cleared"]
Fingerprint = Callable[[str, object], str]
"""(field name, value) -> a short, keyed digest: equal for equal values of one installation, and of no use to anyone else."""


@dataclass(frozen=True, slots=True)
class FieldChange:
    """One field that a change touched. `fingerprint` tells whether two values are equal; None for what is no secret or was cleared.

    `before` and `after` are said only of what is public and no part of the provider's own state: the project's default model.
    """

    name: str
    change: Change
    fingerprint: str | None = None
    before: str | None = None
    after: str | None = None


@dataclass(frozen=True, slots=True)
class HistoryEntry:
    """One change of one provider."""

    version: int
    revision: int
    at: datetime
    actor: Actor
    action: Action
    fields: tuple[FieldChange, ...]


def changed_fields(
    before: ModelProvider, after: ModelProvider, is_public: Callable[[str], bool], fingerprint: Fingerprint
) -> tuple[FieldChange, ...]:
    """Every field in which two states of a provider differ, in a fixed order; empty when nothing changed."""
    changes = [*_plain_changes(before, after)]
    if before.credentials is not after.credentials:
        changes += _credential_changes(before.credentials, after.credentials, is_public, fingerprint)
    if before.extra_headers is not after.extra_headers:
        changes += _header_changes(before.extra_headers, after.extra_headers, fingerprint)
    return tuple(changes)


def _plain_changes(before: ModelProvider, after: ModelProvider) -> Iterator[FieldChange]:
    if before.enabled != after.enabled or not before.id:
        yield FieldChange("enabled", "changed" if before.id else "set")
    for name, old, new in (
        ("customModels", before.custom_models, after.custom_models),
        ("customEmbeddingsModels", before.custom_embeddings_models, after.custom_embeddings_models),
    ):
        if old != new:
            yield FieldChange(name, _change(bool(old), bool(new)))


def _credential_changes(
    before: Credentials, after: Credentials, is_public: Callable[[str], bool], fingerprint: Fingerprint
) -> list[FieldChange]:
    changes = []
    for name, old, new in before.compared(after):
        shown = None if is_public(name) or not new else fingerprint(f"customKeys.{name}", after.get(name))
        changes.append(FieldChange(f"customKeys.{name}", _change(old, new), shown))
    return changes


def _header_changes(before: tuple[ExtraHeader, ...], after: tuple[ExtraHeader, ...], fingerprint: Fingerprint) -> Iterator[FieldChange]:
    if before == after:
        return
    old, new = _values_by_name(before), _values_by_name(after)
    changes = [name for name in dict.fromkeys((*old, *new)) if old.get(name) != new.get(name)]
    for name in changes:
        shown = fingerprint(f"extraHeaders.{name}", new[name]) if name in new else None
        yield FieldChange(f"extraHeaders.{name}", _change(name in old, name in new), shown)
    if not changes:
        yield FieldChange("extraHeaders", "changed")


def default_model_changes(before: str | None, after: str | None) -> tuple[FieldChange, ...]:
    """What became of the project's default model; empty where it stayed."""
    if before == after:
        return ()
    return (FieldChange("defaultModel", _change(before is not None, after is not None), before=before, after=after),)


def _values_by_name(headers: tuple[ExtraHeader, ...]) -> dict[str, list[str | None]]:
    values: dict[str, list[str | None]] = {}
    for header in headers:
        values.setdefault(header.name, []).append(header.value)
    return values


def _change(was_there: bool, is_there: bool) -> Change:
    if not was_there:
        return "set"
    return "changed" if is_there else "cleared"
