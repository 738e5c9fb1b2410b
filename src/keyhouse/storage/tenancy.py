"""Organizations, teams, projects and API keys as they are stored. Tokens only as their hash; a project's also sealed."""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import bindparam, func, select

from keyhouse.domain.tenancy import ApiKey, Permission, Role, RoleBinding, ScopeType
from keyhouse.storage import encoding
from keyhouse.storage.clock import now_us, to_datetime, to_microseconds
from keyhouse.storage.identifiers import Token, new_api_key_token, new_id, new_project_token
from keyhouse.storage.sealed_values import put_sealed
from keyhouse.storage.secret_box import SecretBox
from keyhouse.storage.statements import Row, Statement, Transaction, insert_row
from keyhouse.storage.tables import api_key_bindings, api_keys, organizations, projects, teams

_INSERT_ORGANIZATION = insert_row(organizations)
_INSERT_TEAM = insert_row(teams)
_INSERT_PROJECT = insert_row(projects)
_INSERT_API_KEY = insert_row(api_keys)
_INSERT_BINDING = insert_row(api_key_bindings)
_COUNT_ORGANIZATIONS = Statement(select(func.count()).select_from(organizations))
_FIND_PROJECT = Statement(
    select(projects.c.id, projects.c.organization_id, projects.c.team_id, projects.c.name, projects.c.key_hash).where(
        projects.c.key_hash == bindparam("key_hash"), projects.c.archived_at.is_(None)
    )
)
_key = api_keys.c
_FIND_API_KEY = Statement(
    select(
        _key.id,
        _key.organization_id,
        _key.name,
        _key.description,
        _key.permissions,
        _key.created_at,
        _key.expires_at,
        _key.revoked_at,
        _key.hash,
    ).where(_key.lookup == bindparam("lookup"))
)
_BINDINGS = Statement(
    select(api_key_bindings.c.role, api_key_bindings.c.scope_type, api_key_bindings.c.scope_id)
    .where(api_key_bindings.c.api_key_id == bindparam("api_key_id"))
    .order_by(api_key_bindings.c.position)
)


@dataclass(frozen=True, slots=True)
class NewProject:
    """What a project is made from."""

    organization_id: str
    team_id: str
    name: str
    slug: str
    language: str
    framework: str


@dataclass(frozen=True, slots=True)
class NewApiKey:
    """What an API key is made from. `permissions` is None unless the key is restricted to just those."""

    organization_id: str
    name: str
    bindings: tuple[RoleBinding, ...]
    description: str = ""
    permissions: frozenset[Permission] | None = None
    expires_at: datetime | None = None


def count_organizations(tx: Transaction) -> int:
    """How many organizations there are."""
    return int(tx.rows(_COUNT_ORGANIZATIONS)[0][0])


def put_organization(tx: Transaction, name: str, slug: str) -> str:
    """Store a new organization; returns its id. Raises ConstraintBroken if the slug is taken."""
    organization_id = new_id("organization")
    tx.run(_INSERT_ORGANIZATION, id=organization_id, slug=slug, name=name, created_at=now_us())
    return organization_id


def put_team(tx: Transaction, organization_id: str, name: str, slug: str) -> str:
    """Store a new team; returns its id. Raises ConstraintBroken if the name is taken."""
    team_id, now = new_id("team"), now_us()
    values = {"id": team_id, "organization_id": organization_id, "name": name, "slug": slug}
    tx.run(_INSERT_TEAM, **values, created_at=now, updated_at=now, archived_at=None)
    return team_id


def put_project(tx: Transaction, box: SecretBox, new: NewProject) -> tuple[str, Token]:
    """Store a new project; returns its id and its key. Raises ConstraintBroken if the name is taken in the team."""
    project_id, token, now = new_id("project"), new_project_token(), now_us()
    key_value_id = put_sealed(tx, box, (project_id, project_id), "apiKey", token.text.encode())
    tx.run(
        _INSERT_PROJECT,
        id=project_id,
        organization_id=new.organization_id,
        team_id=new.team_id,
        name=new.name,
        slug=new.slug,
        language=new.language,
        framework=new.framework,
        default_model=None,
        key_hash=token.hash,
        key_value_id=key_value_id,
        revision=0,
        created_at=now,
        updated_at=now,
        archived_at=None,
    )
    return project_id, token


def put_api_key(tx: Transaction, new: NewApiKey) -> tuple[str, Token]:
    """Store a new API key; returns its id and its token."""
    key_id, token = new_id("key"), new_api_key_token()
    tx.run(
        _INSERT_API_KEY,
        id=key_id,
        organization_id=new.organization_id,
        lookup=token.lookup,
        hash=token.hash,
        name=new.name,
        description=new.description,
        permissions=None if new.permissions is None else encoding.encoded(sorted(new.permissions)),
        created_at=now_us(),
        expires_at=None if new.expires_at is None else to_microseconds(new.expires_at),
        revoked_at=None,
    )
    for position, bound in enumerate(new.bindings):
        values = {"role": bound.role.value, "scope_type": bound.scope_type.value, "scope_id": bound.scope_id}
        tx.run(_INSERT_BINDING, api_key_id=key_id, position=position, **values)
    return key_id, token


@dataclass(frozen=True, slots=True)
class FoundProject:
    """A live project, found by its key's hash."""

    id: str
    organization_id: str
    team_id: str
    name: str
    key_hash: bytes


def find_project_by_key(tx: Transaction, key_hash: bytes) -> FoundProject | None:
    """The live project whose key has this hash."""
    row = tx.row(_FIND_PROJECT, key_hash=key_hash)
    return None if row is None else FoundProject(*row)


def find_api_key(tx: Transaction, lookup: str) -> tuple[ApiKey, bytes] | None:
    """The API key that this lookup part finds, revoked and expired ones too, and its hash."""
    row = tx.row(_FIND_API_KEY, lookup=lookup)
    if row is None:
        return None
    bindings = tuple(
        RoleBinding(Role(role), ScopeType(scope_type), scope_id) for role, scope_type, scope_id in tx.rows(_BINDINGS, api_key_id=row[0])
    )
    return _api_key(row, bindings), bytes(row[8])


def _api_key(row: Row, bindings: tuple[RoleBinding, ...]) -> ApiKey:
    key_id, organization_id, name, description, permissions, created_at, expires_at, revoked_at = row[:8]
    return ApiKey(
        id=key_id,
        organization_id=organization_id,
        name=name,
        description=description,
        permissions=None if permissions is None else frozenset(map(Permission, encoding.names.decode(permissions))),
        bindings=bindings,
        created_at=to_datetime(created_at),
        expires_at=None if expires_at is None else to_datetime(expires_at),
        revoked_at=None if revoked_at is None else to_datetime(revoked_at),
    )
