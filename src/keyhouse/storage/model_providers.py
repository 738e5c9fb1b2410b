"""Model providers as they are stored. The row holds names; the values lie sealed, shared by the row and its history."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from sqlalchemy import Select, and_, bindparam, delete, select, update
from sqlalchemy.sql.elements import ColumnElement

from keyhouse.domain.credentials import Credentials
from keyhouse.domain.headers import ExtraHeader
from keyhouse.domain.model_provider import ModelProvider
from keyhouse.storage import encoding
from keyhouse.storage.clock import now_us
from keyhouse.storage.sealed_values import destroy_sealed, put_sealed
from keyhouse.storage.secret_box import Context, SecretBox, Unreadable
from keyhouse.storage.statements import Row, Statement, Transaction, insert_row
from keyhouse.storage.tables import connection_tests, model_providers, sealed_values

_credentials = sealed_values.alias("credentials")
_headers = sealed_values.alias("headers")
_row = model_providers.c


def _select(*conditions: ColumnElement[bool]) -> Select[Any]:
    return (
        select(
            _row.id,
            _row.project_id,
            _row.provider,
            _row.enabled,
            _row.credential_names,
            _row.credentials_id,
            _row.header_names,
            _row.headers_id,
            _row.custom_models,
            _row.custom_embeddings_models,
            _row.version,
            _row.revision,
            _credentials.c.blob,
            _headers.c.blob,
        )
        .select_from(
            model_providers.outerjoin(
                _credentials, and_(_credentials.c.owner_id == _row.id, _credentials.c.id == _row.credentials_id)
            ).outerjoin(_headers, and_(_headers.c.owner_id == _row.id, _headers.c.id == _row.headers_id))
        )
        .where(*conditions)
    )


_LIST = Statement(_select(_row.project_id == bindparam("project_id")))
_INSERT = insert_row(model_providers)
_KEPT = ("id", "project_id", "provider")
_UPDATE = Statement(
    update(model_providers)
    .where(_row.id == bindparam("row_id"))
    .values({column.name: bindparam(column.name) for column in model_providers.columns if column.name not in _KEPT})
)
LOCK_ROW = Statement(select(_row.id).where(_row.id == bindparam("row_id")).with_for_update())
_DELETE = Statement(delete(model_providers).where(_row.id == bindparam("row_id")))
_DELETE_TEST = Statement(delete(connection_tests).where(connection_tests.c.model_provider_id == bindparam("row_id")))


@dataclass(frozen=True)
class StoredProvider:
    """A provider and where its sealed values lie. `credentials_id` and `headers_id` are None where there is nothing to seal."""

    provider: ModelProvider
    credentials_id: str | None = None
    headers_id: str | None = None

    @cached_property
    def columns(self) -> Mapping[str, object]:
        """The columns that the row and its history share."""
        provider = self.provider
        return {
            "enabled": provider.enabled,
            "credential_names": encoding.encoded(tuple(provider.credentials)),
            "credentials_id": self.credentials_id,
            "header_names": encoding.encoded([header.name for header in provider.extra_headers]),
            "headers_id": self.headers_id,
            "custom_models": encoding.encoded(provider.custom_models),
            "custom_embeddings_models": encoding.encoded(provider.custom_embeddings_models),
        }


def list_stored(tx: Transaction, box: SecretBox, project_id: str) -> dict[str, StoredProvider]:
    """All stored providers of a project by provider id. What cannot be opened is marked unreadable, and says its names."""
    return {row[2]: _from_row(row, box) for row in tx.rows(_LIST, project_id=project_id)}


def put_stored(tx: Transaction, box: SecretBox, project_id: str, before: StoredProvider, after: ModelProvider) -> StoredProvider:
    """Write a provider, whose `id` is given. What did not change keeps its sealed value: an unreadable one is never overwritten."""
    owner = (project_id, after.id)
    credentials_id, headers_id = before.credentials_id, before.headers_id
    if after.credentials != before.provider.credentials:
        plaintext = encoding.encoded_bytes(after.credentials.opened())
        credentials_id = put_sealed(tx, box, owner, "customKeys", plaintext) if after.credentials else None
    if after.extra_headers != before.provider.extra_headers:
        plaintext = encoding.encoded_bytes([header.value for header in after.extra_headers])
        headers_id = put_sealed(tx, box, owner, "extraHeaders", plaintext) if after.extra_headers else None
    written = StoredProvider(after, credentials_id, headers_id)
    write_row(tx, project_id, written, is_new=not before.provider.is_stored)
    return written


def write_row(tx: Transaction, project_id: str, after: StoredProvider, *, is_new: bool) -> None:
    """Insert or replace a row whose sealed values already lie where `after` says."""
    provider = after.provider
    values = {"version": provider.version, "revision": provider.revision, "updated_at": now_us()}
    if is_new:
        tx.run(_INSERT, id=provider.id, project_id=project_id, provider=provider.provider, **after.columns, **values)
    else:
        tx.run(_UPDATE, row_id=provider.id, **after.columns, **values)


def delete_stored(tx: Transaction, stored: StoredProvider) -> None:
    """Delete a provider and destroy its secrets, those in its history as well."""
    tx.row(LOCK_ROW, row_id=stored.provider.id)  # a test that is just being kept is there afterwards, or never
    tx.run(_DELETE_TEST, row_id=stored.provider.id)
    tx.run(_DELETE, row_id=stored.provider.id)
    destroy_sealed(tx, stored.provider.id)


def _from_row(row: Row, box: SecretBox) -> StoredProvider:
    row_id, project_id, provider, enabled, names, credentials_id, header_names, headers_id = row[:8]
    models, embeddings, version, revision, credentials_blob, headers_blob = row[8:]
    owner = (project_id, row_id)
    found = ModelProvider(
        provider=provider,
        id=row_id,
        enabled=bool(enabled),
        credentials=open_credentials(box, owner, credentials_id, credentials_blob, encoding.names.decode(names)),
        custom_models=encoding.models.decode(models),
        custom_embeddings_models=encoding.models.decode(embeddings),
        extra_headers=open_headers(box, owner, headers_id, headers_blob, encoding.names.decode(header_names)),
        version=version,
        revision=revision,
    )
    return StoredProvider(found, credentials_id, headers_id)


def open_credentials(
    box: SecretBox, owner: tuple[str, str], value_id: str | None, blob: bytes | None, names: tuple[str, ...]
) -> Credentials:
    """The credentials of a row, or just their names where the sealed value does not open."""
    if value_id is None:
        return Credentials()
    try:
        return Credentials(encoding.values.decode(_opened(box, owner, "customKeys", value_id, blob)))
    except Unreadable:
        return Credentials.unreadable(names)


def open_headers(
    box: SecretBox, owner: tuple[str, str], value_id: str | None, blob: bytes | None, names: tuple[str, ...]
) -> tuple[ExtraHeader, ...]:
    """The extra headers of a row, without values where the sealed value does not open."""
    if value_id is None:
        return ()
    try:
        values = encoding.names.decode(_opened(box, owner, "extraHeaders", value_id, blob))
    except Unreadable:
        return tuple(ExtraHeader(name, None) for name in names)
    return tuple(ExtraHeader(name, value) for name, value in zip(names, values, strict=True))


def _opened(box: SecretBox, owner: tuple[str, str], field: str, value_id: str, blob: bytes | None) -> bytes:
    if blob is None:
        raise Unreadable("it was destroyed", None)
    return box.open(bytes(blob), Context(*owner, field, value_id))
