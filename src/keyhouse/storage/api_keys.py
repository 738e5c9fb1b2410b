"""API keys as they are stored: a hash, and what it may do where. Revoked and expired ones are kept, so that the audit log can be read."""

from collections.abc import Iterable
from datetime import datetime

import msgspec

from keyhouse.domain.paging import Paging
from keyhouse.domain.tenancy import ApiKey, Permission, PermissionMode, Role, RoleBinding, ScopeType
from keyhouse.storage import encoding
from keyhouse.storage.clock import now_us, to_datetime, to_microseconds
from keyhouse.storage.identifiers import Token, is_id, new_api_key_token, new_id
from keyhouse.storage.statements import PagedStatement, Row, Statement, Transaction, assignments, insert_into, is_one_of

_COLUMNS = """id, organization_id, name, description, permission_mode, permissions, created_at, expires_at, revoked_at,
    (SELECT used_at FROM last_uses WHERE last_uses.id = api_keys.id), hash"""
_OF_ORGANIZATION = "FROM api_keys WHERE organization_id = :organization_id"
_CHANGEABLE = "name, description, permission_mode, permissions, expires_at"
_INSERT = insert_into("api_keys", f"id, organization_id, lookup, hash, {_CHANGEABLE}, created_at, revoked_at")
_INSERT_BINDING = insert_into("api_key_bindings", "api_key_id, position, role, scope_type, scope_id")
_FIND = Statement("SELECT", _COLUMNS, "FROM api_keys WHERE lookup = :lookup")
_GET = Statement("SELECT", _COLUMNS, _OF_ORGANIZATION, "AND id = :id")
_LOCK = Statement("SELECT", _COLUMNS, _OF_ORGANIZATION, "AND id = :id FOR UPDATE")
_LIST = PagedStatement(_COLUMNS, _OF_ORGANIZATION, order="created_at DESC, id DESC")
_BINDINGS = Statement(
    "SELECT api_key_id, role, scope_type, scope_id FROM api_key_bindings",
    "WHERE",
    is_one_of("api_key_id", "ids"),
    "ORDER BY api_key_id, position",
)
_UPDATE = Statement("UPDATE api_keys SET", assignments(_CHANGEABLE), "WHERE id = :row_id")
_REVOKE = Statement("UPDATE api_keys SET revoked_at = :revoked_at WHERE id = :row_id")
_DELETE_BINDINGS = Statement("DELETE FROM api_key_bindings WHERE api_key_id = :api_key_id")


class NewApiKey(msgspec.Struct, frozen=True):
    """What an API key is made from. `permissions` is what it may use at most; None where its mode is `all`."""

    organization_id: str
    name: str
    bindings: tuple[RoleBinding, ...]
    description: str = ""
    permission_mode: PermissionMode = PermissionMode.ALL
    permissions: frozenset[Permission] | None = None
    expires_at: datetime | None = None


def put_api_key(tx: Transaction, new: NewApiKey) -> tuple[ApiKey, Token]:
    """Store a new API key; returns it and its token."""
    token, now = new_api_key_token(), now_us()
    api_key = ApiKey(
        id=new_id("key"),
        organization_id=new.organization_id,
        name=new.name,
        description=new.description,
        permission_mode=new.permission_mode,
        permissions=new.permissions,
        bindings=new.bindings,
        created_at=to_datetime(now),
        expires_at=new.expires_at,
        revoked_at=None,
    )
    fixed = {"id": api_key.id, "organization_id": new.organization_id, "lookup": token.lookup, "hash": token.hash}
    tx.run(_INSERT, **fixed, **_changeable(api_key), created_at=now, revoked_at=None)
    _put_bindings(tx, api_key)
    return api_key, token


def find_api_key(tx: Transaction, lookup: str) -> tuple[ApiKey, bytes] | None:
    """The API key that this lookup part finds, revoked and expired ones too, and its hash."""
    row = tx.row(_FIND, lookup=lookup)
    return None if row is None else (_api_keys(tx, [row])[0], bytes(row[-1]))


def get_api_key(tx: Transaction, organization_id: str, key_id: str) -> ApiKey | None:
    """An API key of an organization, revoked and expired ones too, or None."""
    return _one(tx, _GET, organization_id, key_id)


def lock_api_key(tx: Transaction, organization_id: str, key_id: str) -> ApiKey | None:
    """The same, and nobody else changes it until this transaction ends."""
    return _one(tx, _LOCK, organization_id, key_id)


def list_api_keys(tx: Transaction, organization_id: str, paging: Paging) -> tuple[list[ApiKey], int]:
    """A page of an organization's API keys, newest first, and how many there are."""
    rows, total = _LIST.read(tx, paging, organization_id=organization_id)
    return _api_keys(tx, rows), total


def update_api_key(tx: Transaction, api_key: ApiKey) -> None:
    """Write what can change of an API key, its bindings as a whole."""
    tx.run(_UPDATE, row_id=api_key.id, **_changeable(api_key))
    tx.run(_DELETE_BINDINGS, api_key_id=api_key.id)
    _put_bindings(tx, api_key)


def revoke_api_key(tx: Transaction, key_id: str) -> None:
    """Revoke an API key, for good."""
    tx.run(_REVOKE, row_id=key_id, revoked_at=now_us())


def _changeable(api_key: ApiKey) -> dict[str, object]:
    return {
        "name": api_key.name,
        "description": api_key.description,
        "permission_mode": api_key.permission_mode.value,
        "permissions": None if api_key.permissions is None else encoding.encoded(sorted(api_key.permissions)),
        "expires_at": None if api_key.expires_at is None else to_microseconds(api_key.expires_at),
    }


def _put_bindings(tx: Transaction, api_key: ApiKey) -> None:
    for position, bound in enumerate(api_key.bindings):
        values = {"role": bound.role.value, "scope_type": bound.scope_type.value, "scope_id": bound.scope_id}
        tx.run(_INSERT_BINDING, api_key_id=api_key.id, position=position, **values)


def _one(tx: Transaction, statement: Statement, organization_id: str, key_id: str) -> ApiKey | None:
    row = tx.row(statement, organization_id=organization_id, id=key_id) if is_id(key_id) else None
    return None if row is None else _api_keys(tx, [row])[0]


def _api_keys(tx: Transaction, rows: list[Row]) -> list[ApiKey]:
    bindings = _bindings(tx, (row[0] for row in rows))
    return [_api_key(row, tuple(bindings[row[0]])) for row in rows]


def _bindings(tx: Transaction, key_ids: Iterable[str]) -> dict[str, list[RoleBinding]]:
    found: dict[str, list[RoleBinding]] = {key_id: [] for key_id in key_ids}
    for key_id, role, scope_type, scope_id in tx.rows(_BINDINGS, ids=encoding.encoded(list(found))):
        found[key_id].append(RoleBinding(Role(role), ScopeType(scope_type), scope_id))
    return found


def _api_key(row: Row, bindings: tuple[RoleBinding, ...]) -> ApiKey:
    key_id, organization_id, name, description, mode, permissions, created_at, expires_at, revoked_at, used_at, _ = row
    return ApiKey(
        id=key_id,
        organization_id=organization_id,
        name=name,
        description=description,
        permission_mode=PermissionMode(mode),
        permissions=None if permissions is None else frozenset(map(Permission, encoding.names.decode(permissions))),
        bindings=bindings,
        created_at=to_datetime(created_at),
        expires_at=None if expires_at is None else to_datetime(expires_at),
        revoked_at=None if revoked_at is None else to_datetime(revoked_at),
        last_used_at=None if used_at is None else to_datetime(used_at),
    )
