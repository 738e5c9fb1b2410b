"""The gate of the control plane: who may come in for what. Every request first catches up with what other processes changed."""

from collections.abc import Callable, Mapping
from enum import Enum

from keyhouse.domain.errors import Code, Error
from keyhouse.domain.tenancy import Actor, Caller, Permission
from keyhouse.services.identity import Identity
from keyhouse.services.rights import require_anywhere, require_organization_admin
from keyhouse.storage.database import Database
from keyhouse.web import callers
from keyhouse.web.gateway.exchange import Exchange
from keyhouse.web.gateway.request_headers import RequestHeaders

_HOW = "Authentication required. Use Authorization: Basic base64(projectId:token), Authorization: Bearer <token>, or X-Auth-Token header."

_HERE = b"control "
"""Before a digest of what a caller presents: the gateway reads the same headers otherwise."""


class Access(Enum):
    """What a route asks a caller to be."""

    PROJECT = "project"
    ORGANIZATION = "organization"
    INSTANCE = "instance"


class Gate:
    """Admits callers, or raises Error with the code that says why not. `note_use` is told of whose key opened it."""

    def __init__(self, identity: Identity, database: Database, admin_key: str | None, note_use: Callable[[str], None]) -> None:
        self._identity = identity
        self._database = database
        self._admin_key = admin_key
        self._note_use = note_use
        self._at_once = database.at_once

    def __repr__(self) -> str:
        return "Gate(***)"

    async def admit(self, access: Access, permission: Permission | None, exchange: Exchange) -> Caller:
        """The caller of a request, if it may do this. Who presents no credential costs no look at the database.

        The command line, which holds the data folder anyway, brings a caller of its own; no network can.
        """
        if exchange.caller is not None or access is Access.INSTANCE:
            caller = exchange.caller or self._instance_caller(callers.bearer(exchange.headers))
            await self._database.catch_up()
            return caller
        if access is Access.ORGANIZATION:
            presented = _presented(exchange)
            await self._database.catch_up()
            # Rights depend on what the route is about: its service asks for them there. Whoever has none anywhere ends here.
            caller = await self._identity.caller_of_organization(presented.token)
            self._note_use(caller.actor.id)
            if permission is not None:
                require_anywhere(caller, permission)
            return caller
        caller = await self._caller_of_project(exchange)
        self._note_use(caller.actor.id)
        if permission is not None and permission not in caller.permissions:
            raise Error(Code.PERMISSION_DENIED, f"This API key lacks the permission {permission}.", permission=permission.value)
        return caller

    def admit_again(self, seen: bytes, permission: Permission | None) -> Caller | None:
        """The caller of a project who came in before with what has this digest (`seen`), if it may do this still.

        None also where that cannot be said without waiting.
        """
        if self._at_once is None:
            return None
        self._at_once.catch_up_at_once()
        caller = self._identity.recall(seen)
        if caller is None or (permission is not None and permission not in caller.permissions):
            return None
        self._note_use(caller.actor.id)
        return caller

    async def _caller_of_project(self, exchange: Exchange) -> Caller:
        """Who came in with these headers before is not looked for again, unless something changed since."""
        seen = seen_in(exchange.read_headers())
        if self._identity.recall(seen) is not None:
            await self._database.catch_up()
            if (known := self._identity.recall(seen)) is not None:
                return known
        presented = _presented(exchange)
        await self._database.catch_up()
        return await self._identity.admit(seen, presented.token, presented.project_id)

    def _instance_caller(self, token: str | None) -> Caller:
        if self._admin_key is None:
            raise Error(Code.ROUTE_NOT_FOUND, "Not Found")
        if token is None:
            raise Error(Code.MISSING_CREDENTIALS, "Send the instance key as Authorization: Bearer <key>.")
        if not callers.is_same_key(token, self._admin_key):
            raise Error(Code.INVALID_INSTANCE_KEY, "Invalid credentials")
        return Caller(Actor("instance", "instance key"), "")


def seen_in(headers: RequestHeaders) -> bytes:
    """The digest of all that a caller presents to the gate."""
    return _HERE + headers.presented()


def _presented(exchange: Exchange) -> callers.Presented:
    """Raises Error `unauthenticated`."""
    presented = callers.presented(exchange.headers)
    if presented is None:
        raise Error(Code.UNAUTHENTICATED, _HOW)
    return presented


async def admin_only(caller: Caller, path: Mapping[str, str]) -> None:
    """Raise Error `insufficient_permissions` unless the caller is ADMIN on the organization. See `Route.authorize`."""
    require_organization_admin(caller)
