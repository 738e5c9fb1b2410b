"""What a caller must be allowed, and where. Whoever comes in, by the API, a page or the command line, is asked here."""

from keyhouse.domain.errors import Code, Error
from keyhouse.domain.tenancy import ROLE_PERMISSIONS, Caller, Permission, Place, Project


def require(caller: Caller, permission: Permission, place: Place) -> None:
    """Raise Error `insufficient_permissions` unless the caller may do this at that place."""
    if permission not in caller.permissions_at(place):
        raise _insufficient(permission)


def require_anywhere(caller: Caller, permission: Permission) -> None:
    """Raise Error `insufficient_permissions` where the caller may do this at no place at all: what can be said before a place is known."""
    if not _scopes(caller, permission):
        raise _insufficient(permission)


def require_organization_admin(caller: Caller) -> None:
    """Raise Error `insufficient_permissions` unless the caller is ADMIN on its organization, by a key that is not restricted."""
    if not caller.is_organization_admin:
        raise _insufficient("ADMIN on the organization, with an API key that is not restricted")


def viewable_scopes(caller: Caller) -> tuple[str, ...]:
    """The ids of the organization, teams and projects within which the caller may view."""
    return _scopes(caller, Permission.VIEW)


def place_of(project: Project) -> Place:
    """Where a project lies."""
    return Place(project.organization_id, project.team_id, project.id)


def _scopes(caller: Caller, permission: Permission) -> tuple[str, ...]:
    if caller.restricted_to is not None and permission not in caller.restricted_to:
        return ()
    return tuple(dict.fromkeys(bound.scope_id for bound in caller.bindings if permission in ROLE_PERMISSIONS[bound.role]))


def _insufficient(what: str) -> Error:
    return Error(Code.INSUFFICIENT_PERMISSIONS, f"Insufficient permissions. Required: {what}")
