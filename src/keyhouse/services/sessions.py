"""Sessions of the settings pages. One stands for a key and is nothing without it: what the key may do is asked at each request."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace

from keyhouse.domain.errors import Code, Error
from keyhouse.domain.tenancy import Caller, Way
from keyhouse.services.identity import caller_of_project_key, caller_on_organization, caller_on_project, find_live_key, live_key
from keyhouse.storage.api_keys import get_api_key
from keyhouse.storage.history import put_audit
from keyhouse.storage.identifiers import lookup_of, token_hash
from keyhouse.storage.opening import Storage
from keyhouse.storage.sessions import SessionKey, delete_session, find_session, put_session, take_sign_in
from keyhouse.storage.statements import Transaction

LIFETIME_S = 8 * 3600


@dataclass(frozen=True, slots=True)
class Session:
    """Somebody who is signed in: the key's caller, on its organization, or on its project where it is a project's key."""

    caller: Caller
    key: SessionKey = field(repr=False)


class Sessions:
    """See the module. `note_use` is told of whose key a session was used for."""

    def __init__(self, storage: Storage, note_use: Callable[[str], None]) -> None:
        self._storage = storage
        self._note_use = note_use

    async def sign_in(self, token: str) -> str:
        """Sign in with a project's key, an organization's API key, or a token that signs in once; returns the session's own token.

        Raises Error `invalid_credentials` for anything unknown, used, expired, revoked or archived.
        """
        digest = token_hash(token)

        def work(tx: Transaction) -> str:
            key = _key_of(tx, token, digest)
            actor = _caller(tx, key, None).actor
            put_audit(tx, actor, "session.created", actor.id, organization_id=key.organization_id)
            return put_session(tx, key, "session", LIFETIME_S).text

        return await self._storage.database.write(work)

    async def find(self, token: str) -> Session | None:
        """The session of a token; None where it has ended, or the key it stands for opens nothing any more."""
        digest = token_hash(token)

        def work(tx: Transaction) -> Session | None:
            key = find_session(tx, digest)
            caller = None if key is None else _caller_if_any(tx, key)
            return None if key is None or caller is None else Session(caller, key)

        await self._storage.database.catch_up()
        session = await self._storage.database.read(work)
        if session is not None:
            self._note_use(session.caller.actor.id)
        return session

    async def caller_on(self, session: Session, project_id: str) -> Caller:
        """The session's caller on a project. Raises Error `project_not_found` for one that its key does not open."""
        try:
            caller = await self._storage.database.read(lambda tx: _caller(tx, session.key, project_id))
        except Error as error:
            if error.code is Code.INVALID_CREDENTIALS:
                raise _no_project() from None
            raise
        if caller.project_id != project_id or not caller.permissions:
            raise _no_project()
        return caller

    async def end(self, token: str) -> None:
        """Sign out."""
        digest = token_hash(token)

        def work(tx: Transaction) -> None:
            key = find_session(tx, digest)
            delete_session(tx, digest)
            if key is not None and (caller := _caller_if_any(tx, key)):
                put_audit(tx, caller.actor, "session.ended", caller.actor.id, organization_id=key.organization_id)

        await self._storage.database.write(work)


def _key_of(tx: Transaction, token: str, digest: bytes) -> SessionKey:
    if lookup_of(token) is not None:
        api_key = find_live_key(tx, token, digest)
        return SessionKey(api_key.organization_id, api_key_id=api_key.id)
    if once := take_sign_in(tx, digest):
        return once
    return SessionKey(caller_of_project_key(tx, digest).organization_id, project_key_hash=digest)


def _caller(tx: Transaction, key: SessionKey, project_id: str | None) -> Caller:
    return replace(_key_caller(tx, key, project_id), way=Way.PAGE)


def _key_caller(tx: Transaction, key: SessionKey, project_id: str | None) -> Caller:
    if key.project_key_hash is not None:
        return caller_of_project_key(tx, bytes(key.project_key_hash))
    api_key = live_key(get_api_key(tx, key.organization_id, key.api_key_id or ""))
    return caller_on_organization(api_key) if project_id is None else caller_on_project(tx, api_key, project_id)


def _caller_if_any(tx: Transaction, key: SessionKey) -> Caller | None:
    try:
        return _caller(tx, key, None)
    except Error as error:
        if error.code is Code.INVALID_CREDENTIALS:
            return None
        raise


def _no_project() -> Error:
    return Error(Code.PROJECT_NOT_FOUND, "Project not found")
