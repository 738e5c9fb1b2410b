"""The use cases of API keys. Making or changing one needs ADMIN on the whole organization, so that no key can raise itself."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from typing import Literal

import msgspec

from keyhouse.domain.errors import Code, Error, schema_failure
from keyhouse.domain.model_provider import ABSENT, Absent
from keyhouse.domain.paging import Paging
from keyhouse.domain.tenancy import ApiKey, Caller, Permission, PermissionMode, Place, RoleBinding, ScopeType, organization_admin
from keyhouse.services.rights import require, require_organization_admin
from keyhouse.storage.api_keys import NewApiKey, get_api_key, list_api_keys, lock_api_key, put_api_key, revoke_api_key, update_api_key
from keyhouse.storage.changes import note_change
from keyhouse.storage.history import put_audit
from keyhouse.storage.opening import Storage
from keyhouse.storage.project_records import get_project
from keyhouse.storage.statements import Transaction
from keyhouse.storage.teams import get_team


class ApiKeyRequest(msgspec.Struct, frozen=True):
    """What a caller wants an API key to be. Without bindings: ADMIN on the organization. `permissions` belong to the mode `restricted`."""

    name: str
    description: str = ""
    permission_mode: PermissionMode = PermissionMode.ALL
    permissions: frozenset[Permission] = frozenset()
    bindings: tuple[RoleBinding, ...] | None = None
    expires_at: datetime | None = None


class ApiKeyUpdate(msgspec.Struct, frozen=True):
    """What a caller wants to change of an API key; None leaves a field as it is, bindings are replaced as a whole."""

    name: str | None = None
    description: str | None = None
    permission_mode: PermissionMode | None = None
    permissions: frozenset[Permission] | None = None
    bindings: tuple[RoleBinding, ...] | None = None
    expires_at: datetime | Literal[Absent.ABSENT] | None = ABSENT
    """None: it does not expire any more."""


class ApiKeys:
    """See the module."""

    def __init__(self, storage: Storage) -> None:
        self._storage = storage

    async def list(self, caller: Caller, paging: Paging) -> tuple[Sequence[ApiKey], int]:
        """A page of the organization's API keys, newest first, and how many there are. Needs `project:view` on the organization."""
        require(caller, Permission.VIEW, Place(caller.organization_id))
        return await self._storage.database.read(lambda tx: list_api_keys(tx, caller.organization_id, paging))

    async def get(self, caller: Caller, key_id: str) -> ApiKey:
        """One API key. Needs `project:view` on the organization. Raises Error `insufficient_permissions`, `api_key_not_found`."""
        require(caller, Permission.VIEW, Place(caller.organization_id))
        return _required(await self._storage.database.read(lambda tx: get_api_key(tx, caller.organization_id, key_id)))

    async def create(self, caller: Caller, request: ApiKeyRequest) -> tuple[ApiKey, str]:
        """A new API key and its token, which is shown once. Raises Error `insufficient_permissions`, `bad_request` for a foreign scope."""
        require_organization_admin(caller)
        new = NewApiKey(
            organization_id=caller.organization_id,
            name=request.name,
            bindings=(organization_admin(caller.organization_id),) if request.bindings is None else _distinct(request.bindings),
            description=request.description,
            permission_mode=request.permission_mode,
            permissions=_limits(request.permission_mode, request.permissions),
            expires_at=request.expires_at,
        )

        def work(tx: Transaction) -> tuple[ApiKey, str]:
            _require_own_scopes(tx, caller, new.bindings)
            api_key, token = put_api_key(tx, new)
            _tell(tx, caller, "api_key.created", api_key.id)
            return api_key, token.text

        return await self._storage.database.write(work)

    async def update(self, caller: Caller, key_id: str, update: ApiKeyUpdate) -> ApiKey:
        """An API key after a change, which is in force at once; its token stays.

        Raises Error `insufficient_permissions`, `api_key_not_found`, `api_key_already_revoked`, `validation_error`, `bad_request`.
        """
        require_organization_admin(caller)

        def work(tx: Transaction) -> ApiKey:
            before = _live(lock_api_key(tx, caller.organization_id, key_id))
            after = _updated(before, update)
            if after != before:
                _require_own_scopes(tx, caller, after.bindings if update.bindings else ())
                update_api_key(tx, after)
                _tell(tx, caller, "api_key.updated", key_id)
            return after

        return await self._storage.database.write(work)

    async def revoke(self, caller: Caller, key_id: str) -> None:
        """Revoke an API key: it stops at once. Raises Error `insufficient_permissions`, `api_key_not_found`, `api_key_already_revoked`."""
        require_organization_admin(caller)

        def work(tx: Transaction) -> None:
            revoke_api_key(tx, _live(lock_api_key(tx, caller.organization_id, key_id)).id)
            _tell(tx, caller, "api_key.revoked", key_id)

        await self._storage.database.write(work)


def _limits(mode: PermissionMode, permissions: frozenset[Permission]) -> frozenset[Permission] | None:
    """What a key of this mode may use at most; None: whatever its bindings grant."""
    if mode is PermissionMode.ALL:
        return None
    return frozenset({Permission.VIEW}) if mode is PermissionMode.READONLY else permissions


def _updated(before: ApiKey, update: ApiKeyUpdate) -> ApiKey:
    mode = update.permission_mode or before.permission_mode
    kept = before.permissions if before.permission_mode is PermissionMode.RESTRICTED else None
    permissions = update.permissions or kept or frozenset()
    if mode is PermissionMode.RESTRICTED and not permissions:
        raise schema_failure([("permissions", "missing", "permissionMode restricted needs the permissions that the key may use")])
    if mode is not PermissionMode.RESTRICTED and update.permissions is not None:
        raise schema_failure([("permissions", "not_allowed", f"belong to permissionMode restricted, and the key's is {mode}")])
    return replace(
        before,
        name=update.name or before.name,
        description=before.description if update.description is None else update.description,
        permission_mode=mode,
        permissions=_limits(mode, permissions),
        bindings=_distinct(update.bindings or before.bindings),
        expires_at=before.expires_at if update.expires_at is ABSENT else update.expires_at,
    )


def _distinct(bindings: tuple[RoleBinding, ...]) -> tuple[RoleBinding, ...]:
    return tuple(dict.fromkeys(bindings))


def _require_own_scopes(tx: Transaction, caller: Caller, bindings: tuple[RoleBinding, ...]) -> None:
    """Raise Error `bad_request` where a binding names what is not a live part of the caller's organization."""
    for bound in bindings:
        if not _is_own(tx, caller.organization_id, bound):
            raise Error(Code.BAD_REQUEST, f"A binding of scopeType {bound.scope_type} names what is no part of this organization.")


def _is_own(tx: Transaction, organization_id: str, bound: RoleBinding) -> bool:
    if bound.scope_type is ScopeType.ORGANIZATION:
        return bound.scope_id == organization_id
    if bound.scope_type is ScopeType.TEAM:
        return get_team(tx, organization_id, bound.scope_id) is not None
    return get_project(tx, organization_id, bound.scope_id) is not None


def _required(api_key: ApiKey | None) -> ApiKey:
    if api_key is None:
        raise Error(Code.API_KEY_NOT_FOUND, "There is no such API key in this organization.")
    return api_key


def _live(api_key: ApiKey | None) -> ApiKey:
    """A key that was not revoked."""
    if _required(api_key).revoked_at is not None:
        raise Error(Code.API_KEY_ALREADY_REVOKED, "This API key was revoked. Make a new one.")
    return _required(api_key)


def _tell(tx: Transaction, caller: Caller, action: str, key_id: str) -> None:
    put_audit(tx, caller.actor, action, key_id, organization_id=caller.organization_id)
    note_change(tx, caller.organization_id, None)
