"""What a page asks of its caller on a project, as the routes of the API do. Services ask for the rest."""

from keyhouse.domain.errors import Code, Error
from keyhouse.domain.tenancy import Permission
from keyhouse.web.pages.visit import Visit


def require_view(visit: Visit) -> None:
    """Raise Error `permission_denied` unless the caller may view the project."""
    _require(visit, Permission.VIEW)


def require_update(visit: Visit) -> None:
    """Raise Error `permission_denied` unless the caller may change the project."""
    _require(visit, Permission.UPDATE)


def _require(visit: Visit, permission: Permission) -> None:
    if permission not in visit.caller.permissions:
        raise Error(Code.PERMISSION_DENIED, f"The key you signed in with lacks the permission {permission}.")
