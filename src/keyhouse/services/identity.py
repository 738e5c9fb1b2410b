"""Who a token is. Remembered in memory, and forgotten as soon as a notice names its project or organization."""

import hmac
from collections.abc import Sequence
from datetime import UTC, datetime

from keyhouse.domain.errors import Code, Error
from keyhouse.domain.tenancy import Actor, ApiKey, Caller, Permission, Place, ScopeType, permissions_at
from keyhouse.services.kept import Kept
from keyhouse.storage.api_keys import find_api_key
from keyhouse.storage.database import ChangeNotice
from keyhouse.storage.identifiers import is_id, lookup_of, token_hash
from keyhouse.storage.opening import Storage
from keyhouse.storage.project_records import find_project_by_key
from keyhouse.storage.projects import get_project_head
from keyhouse.storage.statements import Transaction

_REMEMBERED = 10_000
_WHICH_PROJECT = (
    "This API key is not bound to one project alone: name the project by its id, in X-Project-Id or as the user of Authorization: Basic."
)


class Identity:
    """Finds the caller behind a token, for a project or for an organization."""

    def __init__(self, storage: Storage) -> None:
        self._storage = storage
        self._callers: Kept[tuple[bytes, str], Caller] = Kept(_REMEMBERED)
        self._admitted: Kept[bytes, Caller] = Kept(_REMEMBERED)
        self.changes = self._admitted.changes
        """Of what `recall` finds, but for those who expire."""
        self._forgotten = 0

    def recall(self, presented: bytes) -> Caller | None:
        """The caller who was admitted with what has this digest before, if that is still so; None where it has to be looked up."""
        caller = self._admitted.get(presented)
        return None if caller is None or (caller.expires_at is not None and _is_expired(caller)) else caller

    async def admit(self, presented: bytes, token: str, project_id: str | None) -> Caller:
        """The same as `caller_of_project`, for `recall` to know: `presented` is a digest of all that said token and project."""
        forgotten = self._forgotten
        caller = await self.caller_of_project(token, project_id)
        if forgotten == self._forgotten:
            self._admitted.put(presented, caller)
        return caller

    async def caller_of_project(self, token: str, project_id: str | None) -> Caller:
        """The caller on one project: a project key on its own, an API key on the named one or on the only one it is bound to.

        Raises Error `invalid_credentials` for anything unknown, expired, revoked, archived or of another organization.
        """
        digest = token_hash(token)
        # A project's key is one caller, whatever project it names: others are not to be forgotten over its names, nor these to be kept.
        key = (digest, (project_id or "") if lookup_of(token) is not None else "")
        caller = self._callers.get(key)
        if caller is None:
            forgotten = self._forgotten
            caller = await self._storage.database.read(lambda tx: _find_on_project(tx, token, digest, project_id))
            # What was read may be older than a notice that came meanwhile: it is good for this call, and for no later one.
            if forgotten == self._forgotten:
                self._callers.put(key, caller)
        _require_unexpired(caller)
        return caller

    async def caller_of_organization(self, token: str) -> Caller:
        """The caller on its organization. Raises Error `wrong_key_kind` for a project key, `invalid_credentials` for what is unknown."""
        digest = token_hash(token)
        if lookup_of(token) is None:
            await self._storage.database.read(lambda tx: caller_of_project_key(tx, digest))
            raise Error(Code.WRONG_KEY_KIND, "This endpoint needs an organization API key. The key sent is a project API key.")
        caller = await self._storage.database.read(lambda tx: caller_on_organization(find_live_key(tx, token, digest)))
        _require_unexpired(caller)
        return caller

    def forget(self, notices: Sequence[ChangeNotice] | None) -> None:
        """Drop what the notices name. Changes to providers (they have a revision) change no caller."""
        if notices is None:
            self._forgotten += 1
            self._callers.clear()
            self._admitted.clear()
            return
        for notice in notices:
            if not notice.revision:
                self._forget_named(notices)
                break

    def _forget_named(self, notices: Sequence[ChangeNotice]) -> None:
        self._forgotten += 1
        organizations = {notice.organization_id for notice in notices if not notice.revision}
        for kept in (self._callers, self._admitted):
            kept.drop_where(lambda caller: caller.organization_id in organizations)


def _find_on_project(tx: Transaction, token: str, digest: bytes, project_id: str | None) -> Caller:
    if lookup_of(token) is None:
        return caller_of_project_key(tx, digest)
    api_key = find_live_key(tx, token, digest)
    return caller_on_project(tx, api_key, project_id or _only_project(api_key))


def caller_on_project(tx: Transaction, api_key: ApiKey, project_id: str | None) -> Caller:
    """An API key's caller on one project. Raises Error `invalid_credentials` where none is named or it is not of its organization."""
    if project_id is None:
        raise _invalid(hint=_WHICH_PROJECT)
    if not is_id(project_id):
        raise _invalid()
    project = get_project_head(tx, project_id)
    if project.organization_id != api_key.organization_id:
        raise _invalid()
    return _caller_at(Place(project.organization_id, project.team_id, project.id), api_key)


def caller_of_project_key(tx: Transaction, digest: bytes) -> Caller:
    """The caller whose project key has this hash. Raises Error `invalid_credentials`."""
    project = find_project_by_key(tx, digest)
    if project is None or not hmac.compare_digest(project.key_hash, digest):
        raise _invalid()
    return Caller(
        actor=Actor(project.id, f"project key of {project.name}"),
        organization_id=project.organization_id,
        project_id=project.id,
        permissions=frozenset(Permission),
        is_project_key=True,
    )


def find_live_key(tx: Transaction, token: str, digest: bytes) -> ApiKey:
    """The API key of a token, whose hash is `digest`. Raises Error `invalid_credentials`."""
    found = find_api_key(tx, lookup_of(token) or "")
    if found is None:
        raise _invalid()
    api_key, stored_hash = found
    if not hmac.compare_digest(stored_hash, digest):
        raise _invalid()
    return live_key(api_key)


def live_key(api_key: ApiKey | None) -> ApiKey:
    """An API key that is known, not revoked and not expired. Raises Error `invalid_credentials` for any other."""
    if api_key is None or not api_key.is_live(datetime.now(UTC)):
        raise _invalid()
    return api_key


def caller_on_organization(api_key: ApiKey) -> Caller:
    """An API key's caller on its organization."""
    return _caller_at(Place(api_key.organization_id), api_key)


def _caller_at(place: Place, api_key: ApiKey) -> Caller:
    return Caller(
        actor=Actor(api_key.id, api_key.name),
        organization_id=place.organization_id,
        project_id=place.project_id,
        permissions=permissions_at(place, api_key.bindings, api_key.permissions),
        bindings=api_key.bindings,
        restricted_to=api_key.permissions,
        expires_at=api_key.expires_at,
    )


def _only_project(api_key: ApiKey) -> str | None:
    projects = {bound.scope_id for bound in api_key.bindings if bound.scope_type is ScopeType.PROJECT}
    return projects.pop() if len(projects) == 1 else None


def _require_unexpired(caller: Caller) -> None:
    if _is_expired(caller):
        raise _invalid()


def _is_expired(caller: Caller) -> bool:
    return caller.expires_at is not None and datetime.now(UTC) >= caller.expires_at


def _invalid(**details: object) -> Error:
    return Error(Code.INVALID_CREDENTIALS, "Invalid credentials", **details)
