"""Model providers as they are stored. The row holds names; the values lie sealed, shared by the row and its history."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from keyhouse.domain.credentials import Credentials
from keyhouse.domain.headers import ExtraHeader
from keyhouse.domain.model_provider import ModelProvider
from keyhouse.storage import encoding
from keyhouse.storage.sealed_values import destroy_sealed, put_sealed
from keyhouse.storage.secret_box import Context, SecretBox, Unreadable
from keyhouse.storage.statements import Statement, Transaction, assignments, insert_into

_HEADERS = "headers"
_UNBOUND_HEADERS = "extraHeaders"
"""As they were sealed before their origin was sealed with them."""
STATE = "enabled, credential_names, credentials_id, header_names, headers_id, custom_models, custom_embeddings_models"
"""The columns that the row and its history share."""
_CHANGEABLE = f"{STATE}, version, revision, updated_at"
_LIST = Statement(
    f"SELECT stored.id, provider, version, revision, {STATE}, credentials.blob, headers.blob",
    """FROM model_providers AS stored
    LEFT JOIN sealed_values AS credentials ON credentials.owner_id = stored.id AND credentials.id = stored.credentials_id
    LEFT JOIN sealed_values AS headers ON headers.owner_id = stored.id AND headers.id = stored.headers_id
    WHERE stored.project_id = :project_id""",
)
_INSERT = insert_into("model_providers", f"id, project_id, provider, {_CHANGEABLE}")
UPDATE = Statement("UPDATE model_providers SET", assignments(_CHANGEABLE), "WHERE id = :row_id")
LOCK_ROW = Statement("SELECT id FROM model_providers WHERE id = :row_id FOR UPDATE")
_DELETE = Statement("DELETE FROM model_providers WHERE id = :row_id")
_DELETE_TEST = Statement("DELETE FROM connection_tests WHERE model_provider_id = :row_id")


@dataclass(frozen=True)
class StoredProvider:
    """A provider and where its sealed values lie. `credentials_id` and `headers_id` are None where there is nothing to seal."""

    provider: ModelProvider
    credentials_id: str | None = None
    headers_id: str | None = None

    @property
    def columns(self) -> Mapping[str, object]:
        """The values of `STATE`: put together once, without the lock that `cached_property` takes for that."""
        kept: Mapping[str, object] | None = self.__dict__.get("_columns")
        if kept is None:
            kept = self.__dict__["_columns"] = self._new_columns()
        return kept

    def _new_columns(self) -> Mapping[str, object]:
        provider = self.provider
        return {
            "enabled": provider.enabled,
            "credential_names": encoding.names_text(provider.credentials.names),
            "credentials_id": self.credentials_id,
            "header_names": encoding.names_text(tuple([header.name for header in provider.extra_headers])),
            "headers_id": self.headers_id,
            "custom_models": encoding.models_text(provider.custom_models),
            "custom_embeddings_models": encoding.models_text(provider.custom_embeddings_models),
        }


def list_stored(tx: Transaction, box: SecretBox, project_id: str) -> dict[str, StoredProvider]:
    """All stored providers of a project by provider id. What cannot be opened is marked unreadable, and says its names."""
    rows = tx.rows(_LIST, project_id=project_id)
    return {
        provider: stored_state(box, project_id, ModelProvider(provider, row_id, version=version, revision=revision), state)
        for row_id, provider, version, revision, *state in rows
    }


def put_stored(tx: Transaction, box: SecretBox, project_id: str, before: StoredProvider, after: ModelProvider) -> StoredProvider:
    """Write a provider, whose `id` is given. What is the same object as before keeps its sealed value: an unreadable one is never
    overwritten."""
    owner = (project_id, after.id)
    credentials_id, headers_id = before.credentials_id, before.headers_id
    if after.credentials is not before.provider.credentials:
        plaintext = encoding.encoded_bytes(after.credentials.opened())
        credentials_id = put_sealed(tx, box, owner, "customKeys", plaintext) if after.credentials else None
    if (after.extra_headers, after.headers_for) != (before.provider.extra_headers, before.provider.headers_for):
        headers_id = _put_headers(tx, box, owner, after) if after.extra_headers else None
    written = StoredProvider(after, credentials_id, headers_id)
    write_row(tx, project_id, written, is_new=not before.provider.id)
    return written


def write_row(tx: Transaction, project_id: str, after: StoredProvider, *, is_new: bool) -> None:
    """Insert or replace a row whose sealed values already lie where `after` says."""
    provider = after.provider
    values = {"version": provider.version, "revision": provider.revision, "updated_at": tx.now}
    if is_new:
        tx.run(_INSERT, id=provider.id, project_id=project_id, provider=provider.provider, **after.columns, **values)
    else:
        tx.run(UPDATE, row_id=provider.id, **after.columns, **values)


def delete_stored(tx: Transaction, project_id: str, stored: StoredProvider) -> None:
    """Delete a provider and destroy its secrets, those in its history as well."""
    tx.row(LOCK_ROW, row_id=stored.provider.id)  # a test that is just being kept is there afterwards, or never
    tx.run(_DELETE_TEST, row_id=stored.provider.id)
    tx.run(_DELETE, row_id=stored.provider.id)
    destroy_sealed(tx, project_id, stored.provider.provider, stored.provider.id)


def stored_state(box: SecretBox, project_id: str, named: ModelProvider, columns: Sequence[Any]) -> StoredProvider:
    """A provider, of which `named` says which one it is, in the state that `columns` tell: those of `STATE`, then the two sealed values."""
    enabled, names, credentials_id, header_names, headers_id, models, embeddings_models, credentials_blob, headers_blob = columns
    owner = (project_id, named.id)
    headers, headers_for = _headers(box, owner, headers_id, headers_blob, encoding.names.decode(header_names))
    found = replace(
        named,
        enabled=bool(enabled),
        credentials=_credentials(box, owner, credentials_id, credentials_blob, encoding.names.decode(names)),
        custom_models=encoding.models.decode(models),
        custom_embeddings_models=encoding.models.decode(embeddings_models),
        extra_headers=headers,
        headers_for=headers_for,
    )
    return StoredProvider(found, credentials_id, headers_id)


def _credentials(box: SecretBox, owner: tuple[str, str], value_id: str | None, blob: bytes | None, names: tuple[str, ...]) -> Credentials:
    """The credentials of a row, or just their names where the sealed value does not open."""
    if value_id is None:
        return Credentials()
    try:
        return Credentials(encoding.values.decode(_opened(box, owner, "customKeys", value_id, blob)))
    except Unreadable:
        return Credentials.unreadable(names)


def _put_headers(tx: Transaction, box: SecretBox, owner: tuple[str, str], provider: ModelProvider) -> str:
    values = tuple(header.value or "" for header in provider.extra_headers)
    return put_sealed(tx, box, owner, _HEADERS, encoding.encoded_bytes(encoding.HeaderValues(values, provider.headers_for)))


def _headers(
    box: SecretBox, owner: tuple[str, str], value_id: str | None, blob: bytes | None, names: tuple[str, ...]
) -> tuple[tuple[ExtraHeader, ...], str | None]:
    """The extra headers of a row, without values where the sealed value does not open, and what they were given for."""
    if value_id is None:
        return (), None
    try:
        sealed = _header_values(box, owner, value_id, blob)
    except Unreadable:
        return tuple(ExtraHeader(name, None) for name in names), None
    if len(sealed.values) != len(names):
        # Names lie in clear: somebody changed them.
        return tuple(ExtraHeader(name, None) for name in names), None
    return tuple(ExtraHeader(name, value) for name, value in zip(names, sealed.values, strict=True)), sealed.origin


def _header_values(box: SecretBox, owner: tuple[str, str], value_id: str, blob: bytes | None) -> encoding.HeaderValues:
    try:
        return encoding.header_values.decode(_opened(box, owner, _HEADERS, value_id, blob))
    except Unreadable:
        return encoding.HeaderValues(encoding.names.decode(_opened(box, owner, _UNBOUND_HEADERS, value_id, blob)))


def _opened(box: SecretBox, owner: tuple[str, str], field: str, value_id: str, blob: bytes | None) -> bytes:
    if blob is None:
        raise Unreadable("it was destroyed")
    return box.open(bytes(blob), Context(*owner, field, value_id))
