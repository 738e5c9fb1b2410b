"""The shapes of the control plane's answers, as the API document states them, and their encoding."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Literal

import msgspec
from pydantic import BaseModel, Field, RootModel

from keyhouse.domain.history import HistoryEntry
from keyhouse.domain.paging import Paging
from keyhouse.domain.tenancy import Actor, Project, Team
from keyhouse.web.control.schemas import Body, CustomModelBody, ExtraHeaderBody


class ErrorOnly(BaseModel):
    """A failure of which only `error` is promised."""

    error: str


class Failure(BaseModel):
    """Any other failure."""

    error: str
    message: str = Field(default=None)  # type: ignore[assignment]


class ModelProviderEntry(BaseModel):
    """One provider as a caller sees it."""

    id: str = Field(default=None)  # type: ignore[assignment]
    provider: str
    enabled: bool
    customKeys: dict[str, Any] | None
    deploymentMapping: None = Field(default=None)
    models: list[str] | None = Field(default=None)
    embeddingsModels: list[str] | None = Field(default=None)
    customModels: list[CustomModelBody] | None = Field(default=None)
    customEmbeddingsModels: list[CustomModelBody] | None = Field(default=None)
    disabledByDefault: bool = Field(default=None)  # type: ignore[assignment]
    extraHeaders: list[ExtraHeaderBody] | None = Field(default=None)


class ModelProviderMap(RootModel[dict[str, ModelProviderEntry]]):
    """All providers of the registry."""


class RollbackBody(Body):
    """Which change to go back to."""

    version: int = Field(ge=1, le=2**53 - 1)


class ActorShape(BaseModel):
    """Who made a change."""

    id: str
    name: str


class ArchivedShape(BaseModel):
    """A thing that was archived just now."""

    id: str
    name: str
    archivedAt: str


class FieldChangeShape(BaseModel):
    """One field that a change touched; the fingerprint tells whether two secrets are equal."""

    name: str
    change: Literal["set", "changed", "cleared"]
    fingerprint: str = Field(default=None)  # type: ignore[assignment]


class HistoryEntryShape(BaseModel):
    """One change of a provider."""

    version: int
    at: datetime
    actor: ActorShape
    action: Literal["created", "updated", "deleted", "rolled_back"]
    fields: list[FieldChangeShape]


class Pagination(BaseModel):
    """Where a page lies in its list."""

    page: int
    limit: int
    total: int


class HistoryAnswer(BaseModel):
    """A page of a provider's changes."""

    data: list[HistoryEntryShape]
    pagination: Pagination


def iso(moment: datetime) -> str:
    """ISO 8601, UTC, milliseconds, as JavaScript writes it."""
    return moment.strftime("%Y-%m-%dT%H:%M:%S.") + f"{moment.microsecond // 1000:03d}Z"


def actor_json(actor: Actor) -> dict[str, object]:
    """Who made a change."""
    return {"id": actor.id, "name": actor.name}


def archived_json(thing: Team | Project, at: datetime) -> dict[str, object]:
    """What was archived, and when."""
    return {"id": thing.id, "name": thing.name, "archivedAt": iso(at)}


def page_json(data: Sequence[object], paging: Paging, total: int) -> bytes:
    """`{"data", "pagination"}`."""
    return msgspec.json.encode({"data": data, "pagination": {"page": paging.page, "limit": paging.limit, "total": total}})


def history_page(entries: Sequence[HistoryEntry], paging: Paging, total: int) -> bytes:
    """A page of a provider's changes, encoded."""
    return page_json([_history_entry(entry) for entry in entries], paging, total)


def _history_entry(entry: HistoryEntry) -> dict[str, object]:
    fields = [
        {"name": change.name, "change": change.change} | ({"fingerprint": change.fingerprint} if change.fingerprint else {})
        for change in entry.fields
    ]
    return {
        "version": entry.version,
        "at": iso(entry.at),
        "actor": actor_json(entry.actor),
        "action": entry.action,
        "fields": fields,
    }
