"""Who there is: organizations, teams, projects, API keys, and what a caller may do. No I/O."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum


class Permission(StrEnum):
    """What a caller can be allowed to do with a project."""

    VIEW = "project:view"
    UPDATE = "project:update"
    MANAGE = "project:manage"
    CREATE = "project:create"
    DELETE = "project:delete"


class Role(StrEnum):
    """A set of permissions, bound to a scope."""

    VIEWER = "VIEWER"
    MEMBER = "MEMBER"
    ADMIN = "ADMIN"


ROLE_PERMISSIONS: dict[Role, frozenset[Permission]] = {
    Role.VIEWER: frozenset({Permission.VIEW}),
    Role.MEMBER: frozenset({Permission.VIEW, Permission.UPDATE}),
    Role.ADMIN: frozenset(Permission),
}


class PermissionMode(StrEnum):
    """How much of what its bindings grant an API key may use: all of it, viewing alone, or named permissions."""

    ALL = "all"
    READONLY = "readonly"
    RESTRICTED = "restricted"


class ScopeType(StrEnum):
    """Where a role holds."""

    ORGANIZATION = "ORGANIZATION"
    TEAM = "TEAM"
    PROJECT = "PROJECT"


@dataclass(frozen=True, slots=True)
class RoleBinding:
    """A role on one organization, team or project."""

    role: Role
    scope_type: ScopeType
    scope_id: str


def organization_admin(organization_id: str) -> RoleBinding:
    """ADMIN on a whole organization."""
    return RoleBinding(Role.ADMIN, ScopeType.ORGANIZATION, organization_id)


@dataclass(frozen=True, slots=True)
class Organization:
    """Owns teams, projects and API keys."""

    id: str
    name: str
    slug: str
    created_at: datetime


@dataclass(frozen=True, slots=True)
class Team:
    """A group of projects within an organization."""

    id: str
    organization_id: str
    name: str
    slug: str
    created_at: datetime
    updated_at: datetime


@dataclass(frozen=True, slots=True)
class Project:
    """What credentials are stored for. `default_model` is a `provider/model` or None."""

    id: str
    organization_id: str
    team_id: str
    name: str
    slug: str
    language: str
    framework: str
    default_model: str | None
    created_at: datetime
    updated_at: datetime


@dataclass(frozen=True, slots=True)
class ApiKey:
    """An organization's API key, without its token. `permissions` is what it may use at most; None where its mode is `all`."""

    id: str
    organization_id: str
    name: str
    description: str
    permission_mode: PermissionMode
    permissions: frozenset[Permission] | None
    bindings: tuple[RoleBinding, ...]
    created_at: datetime
    expires_at: datetime | None
    revoked_at: datetime | None
    last_used_at: datetime | None = None
    """Noted about a minute late."""

    def is_live(self, now: datetime) -> bool:
        """Neither revoked nor expired."""
        return self.revoked_at is None and (self.expires_at is None or now < self.expires_at)


@dataclass(frozen=True, slots=True)
class Actor:
    """Who made a change, as history and audit name it."""

    id: str
    name: str


class Way(StrEnum):
    """By which way a caller came in. The command line counts where it opened the data itself; against a server it speaks the API."""

    API = "api"
    PAGE = "page"
    COMMAND_LINE = "command_line"


@dataclass(frozen=True, slots=True)
class Place:
    """Where a right is asked for; a scope that contains it grants it."""

    organization_id: str
    team_id: str | None = None
    project_id: str | None = None

    def is_within(self, binding: RoleBinding) -> bool:
        """Whether the binding's scope contains this place."""
        scopes = {ScopeType.ORGANIZATION: self.organization_id, ScopeType.TEAM: self.team_id, ScopeType.PROJECT: self.project_id}
        return scopes[binding.scope_type] == binding.scope_id


def permissions_at(place: Place, bindings: Iterable[RoleBinding], restricted_to: frozenset[Permission] | None) -> frozenset[Permission]:
    """What these bindings allow at a place, no more than `restricted_to` where that is given."""
    granted = frozenset[Permission]().union(*(ROLE_PERMISSIONS[bound.role] for bound in bindings if place.is_within(bound)))
    return granted if restricted_to is None else granted & restricted_to


@dataclass(frozen=True, slots=True)
class Caller:
    """Who calls: the actor, and what it may do. `project` is None for a call that concerns the organization.

    `expires_at` bounds how long the caller may be remembered.
    """

    actor: Actor
    organization_id: str
    project_id: str | None = None
    permissions: frozenset[Permission] = field(default_factory=frozenset)
    bindings: tuple[RoleBinding, ...] = ()
    restricted_to: frozenset[Permission] | None = None
    is_project_key: bool = False
    expires_at: datetime | None = None
    way: Way = Way.API

    def permissions_at(self, place: Place) -> frozenset[Permission]:
        """What the caller may do at a place, by its bindings. A project key has none: it opens its own project alone."""
        return permissions_at(place, self.bindings, self.restricted_to)

    @property
    def is_organization_admin(self) -> bool:
        """ADMIN on the whole organization, by a key that is not limited to some permissions."""
        return self.restricted_to is None and organization_admin(self.organization_id) in self.bindings
