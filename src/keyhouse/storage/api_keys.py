"""API keys as they are stored: a hash, and what it may do where. Revoked and expired ones are kept, so that the audit log can be read."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import bindparam, delete, func, select, update

from keyhouse.domain.tenancy import ApiKey, Permission, PermissionMode, Role, RoleBinding, ScopeType
from keyhouse.storage import encoding
from keyhouse.storage.clock import now_us, to_datetime, to_microseconds
from keyhouse.storage.identifiers import Token, is_id, new_api_key_token, new_id
from keyhouse.storage.scopes import is_one_of
from keyhouse.storage.statements import Row, Statement, Transaction, insert_row
from keyhouse.storage.tables import api_key_bindings, api_keys, last_uses

_key = api_keys.c
_binding = api_key_bindings.c
_last_use = select(last_uses.c.used_at).where(last_uses.c.id == _key.id).scalar_subquery()
_all = select(
    _key.id,
    _key.organization_id,
    _key.name,
    _key.description,
    _key.permission_mode,
    _key.permissions,
    _key.created_at,
    _key.expires_at,
    _key.revoked_at,
    _last_use,
    _key.hash,
)
_of_organization = _all.where(_key.organization_id == bindparam("organization_id"))
_of_id = _of_organization.where(_key.id == bindparam("id"))
_INSERT = insert_row(api_keys)
_INSERT_BINDING = insert_row(api_key_bindings)
_FIND = Statement(_all.where(_key.lookup == bindparam("lookup")))
_GET = Statement(_of_id)
_LOCK = Statement(_of_id.with_for_update())
_LIST = Statement(_of_organization.order_by(_key.created_at.desc(), _key.id.desc()).limit(bindparam("limit")).offset(bindparam("offset")))
_COUNT = Statement(select(func.count()).select_from(api_keys).where(_key.organization_id == bindparam("organization_id")))
_BINDINGS = Statement(
    select(_binding.api_key_id, _binding.role, _binding.scope_type, _binding.scope_id)
    .where(is_one_of(_binding.api_key_id, "ids"))
    .order_by(_binding.api_key_id, _binding.position)
)
_UPDATE = Statement(
    update(api_keys)
    .where(_key.id == bindparam("row_id"))
    .values({name: bindparam(name) for name in ("name", "description", "permission_mode", "permissions", "expires_at")})
)
_REVOKE = Statement(update(api_keys).where(_key.id == bindparam("row_id")).values(revoked_at=bindparam("revoked_at")))
_DELETE_BINDINGS = Statement(delete(api_key_bindings).where(_binding.api_key_id == bindparam("api_key_id")))


@dataclass(frozen=True, slots=True)
class NewApiKey:
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


def list_api_keys(tx: Transaction, organization_id: str, *, limit: int, offset: int) -> tuple[list[ApiKey], int]:
    """A page of an organization's API keys, newest first, and how many there are."""
    rows = tx.rows(_LIST, organization_id=organization_id, limit=limit, offset=offset)
    return _api_keys(tx, rows), tx.rows(_COUNT, organization_id=organization_id)[0][0]


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
