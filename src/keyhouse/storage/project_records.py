"""Projects as a list shows them, and their keys: a hash that finds the project, and a sealed copy that can be shown again.

One that was archived is kept with all its secrets, and no longer found.
"""

from collections.abc import Sequence
from dataclasses import asdict, replace

import msgspec

from keyhouse.domain.paging import Paging
from keyhouse.domain.tenancy import Project
from keyhouse.storage import encoding
from keyhouse.storage.clock import now_us, to_datetime
from keyhouse.storage.identifiers import Token, is_id, new_id, new_project_token
from keyhouse.storage.sealed_values import destroy_one, open_sealed, put_sealed
from keyhouse.storage.secret_box import SecretBox
from keyhouse.storage.statements import PagedStatement, Row, Statement, Transaction, assignments, insert_into, is_one_of

_COLUMNS = "id, organization_id, team_id, name, slug, language, framework, default_model, created_at, updated_at, key_value_id"
_LIVE = "FROM projects WHERE organization_id = :organization_id AND archived_at IS NULL"
_VISIBLE = f"AND ({' OR '.join(is_one_of(column, 'scopes') for column in ('organization_id', 'team_id', 'id'))})"
_NEWEST_FIRST = "created_at DESC, id DESC"
_INSERT = insert_into("projects", f"{_COLUMNS}, key_hash, revision, archived_at")
_GET = Statement("SELECT", _COLUMNS, _LIVE, "AND id = :id")
_LOCK = Statement("SELECT", _COLUMNS, _LIVE, "AND id = :id FOR UPDATE")
_GET_NAMED = Statement(
    "SELECT",
    _COLUMNS,
    ", (SELECT organizations.name FROM organizations WHERE organizations.id = projects.organization_id)",
    "FROM projects WHERE id = :id AND archived_at IS NULL",
)
_LIST = PagedStatement(_COLUMNS, _LIVE, _VISIBLE, order=_NEWEST_FIRST)
_LIST_PROVIDERS = Statement(
    "SELECT project_id, provider, enabled FROM model_providers WHERE project_id IN (SELECT id",
    _LIVE,
    _VISIBLE,
    "AND",
    is_one_of("id", "ids"),
    ")",
)
_LIST_OF_TEAM = PagedStatement(_COLUMNS, _LIVE, "AND team_id = :team_id", order=_NEWEST_FIRST)
_WITH_DEFAULT = Statement(
    "SELECT id, name, (SELECT organizations.name FROM organizations WHERE organizations.id = projects.organization_id), default_model",
    "FROM projects WHERE archived_at IS NULL AND",
    is_one_of("default_model", "models"),
    "ORDER BY created_at, id",
)
_SLUG = Statement("SELECT id FROM projects WHERE organization_id = :organization_id AND slug = :slug")
_UPDATE = Statement("UPDATE projects SET", assignments("name, team_id, language, framework, updated_at"), "WHERE id = :row_id")
_ARCHIVE = Statement("UPDATE projects SET archived_at = :archived_at WHERE id = :row_id")
_REPLACE_KEY = Statement("UPDATE projects SET", assignments("key_hash, key_value_id, updated_at"), "WHERE id = :row_id")
_FIND = Statement("SELECT id, organization_id, name, key_hash FROM projects WHERE key_hash = :key_hash AND archived_at IS NULL")


class NewProject(msgspec.Struct, frozen=True):
    """What a project is made from."""

    organization_id: str
    team_id: str
    name: str
    slug: str
    language: str
    framework: str


class FoundProject(msgspec.Struct, frozen=True):
    """A live project, found by its key's hash."""

    id: str
    organization_id: str
    name: str
    key_hash: bytes


class DefaultOf(msgspec.Struct, frozen=True):
    """A live project of any organization by its names, and its default model."""

    project_id: str
    project_name: str
    organization_name: str
    model: str


class ProjectRecord(msgspec.Struct, frozen=True):
    """A live project, and where the sealed copy of its key is."""

    project: Project
    key_value_id: str


def put_project(tx: Transaction, box: SecretBox, new: NewProject) -> tuple[Project, Token]:
    """Store a new project; returns it and its key. Raises ConstraintBroken if the name is taken in the team."""
    project_id, token, now = new_id("project"), new_project_token(), now_us()
    key_value_id = put_sealed(tx, box, (project_id, project_id), "apiKey", token.text.encode())
    project = Project(
        id=project_id,
        organization_id=new.organization_id,
        team_id=new.team_id,
        name=new.name,
        slug=new.slug,
        language=new.language,
        framework=new.framework,
        default_model=None,
        created_at=to_datetime(now),
        updated_at=to_datetime(now),
    )
    tx.run(
        _INSERT,
        **asdict(project) | {"created_at": now, "updated_at": now},
        key_hash=token.hash,
        key_value_id=key_value_id,
        revision=0,
        archived_at=None,
    )
    return project, token


def find_project_by_key(tx: Transaction, key_hash: bytes) -> FoundProject | None:
    """The live project whose key has this hash."""
    row = tx.row(_FIND, key_hash=key_hash)
    return None if row is None else FoundProject(*row)


def get_project(tx: Transaction, organization_id: str, project_id: str) -> ProjectRecord | None:
    """A live project of an organization, or None."""
    return _one(tx, _GET, organization_id, project_id)


def get_project_and_organization(tx: Transaction, project_id: str) -> tuple[Project, str] | None:
    """A live project of any organization, and that one's name; or None."""
    row = tx.row(_GET_NAMED, id=project_id)
    return None if row is None else (_project(row), row[-1])


def lock_project_record(tx: Transaction, organization_id: str, project_id: str) -> ProjectRecord | None:
    """A live project of an organization, or None; and nobody else writes to it until this transaction ends."""
    return _one(tx, _LOCK, organization_id, project_id)


def list_projects(tx: Transaction, organization_id: str, scopes: Sequence[str], paging: Paging) -> tuple[list[Project], int]:
    """A page of an organization's live projects within `scopes` (ids of the organization, of teams, of projects), newest first.

    With it, how many there are.
    """
    rows, total = _LIST.read(tx, paging, organization_id=organization_id, scopes=encoding.encoded(scopes))
    return [_project(row) for row in rows], total


def list_providers(tx: Transaction, organization_id: str, scopes: Sequence[str], ids: Sequence[str]) -> list[tuple[str, str, bool]]:
    """(project, provider, whether it is on) of each provider stored in one of these projects, as far as `list_projects` tells of them."""
    rows = tx.rows(_LIST_PROVIDERS, organization_id=organization_id, scopes=encoding.encoded(scopes), ids=encoding.encoded(ids))
    return [(project_id, provider, bool(enabled)) for project_id, provider, enabled in rows]


def list_projects_of_team(tx: Transaction, organization_id: str, team_id: str, paging: Paging) -> tuple[list[Project], int]:
    """A page of a team's live projects, newest first, and how many there are."""
    rows, total = _LIST_OF_TEAM.read(tx, paging, organization_id=organization_id, team_id=team_id)
    return [_project(row) for row in rows], total


def list_projects_with_default(tx: Transaction, models: Sequence[str]) -> list[DefaultOf]:
    """The live projects of all organizations whose default model is one of these, the oldest first."""
    return [DefaultOf(*row) for row in tx.rows(_WITH_DEFAULT, models=encoding.encoded(models))]


def is_project_slug_taken(tx: Transaction, organization_id: str, slug: str) -> bool:
    """Whether any project of the organization has or had this slug."""
    return tx.row(_SLUG, organization_id=organization_id, slug=slug) is not None


def update_project(tx: Transaction, project: Project) -> Project:
    """Write what can change of a project. Raises ConstraintBroken if the name is taken in the team."""
    now = now_us()
    changed = {"name": project.name, "team_id": project.team_id, "language": project.language, "framework": project.framework}
    tx.run(_UPDATE, row_id=project.id, **changed, updated_at=now)
    return replace(project, updated_at=to_datetime(now))


def archive_project(tx: Transaction, project_id: str, archived_at: int) -> None:
    """Archive a project, at a moment in microseconds. Its secrets stay."""
    tx.run(_ARCHIVE, row_id=project_id, archived_at=archived_at)


def open_project_key(tx: Transaction, box: SecretBox, record: ProjectRecord) -> str:
    """A project's key from its sealed copy. Raises Unreadable."""
    return open_sealed(tx, box, record.project.id, record.key_value_id).decode()


def replace_project_key(tx: Transaction, box: SecretBox, record: ProjectRecord) -> Token:
    """Give a locked project a new key; the old one opens nothing any more, and its sealed copy is destroyed."""
    project_id, token = record.project.id, new_project_token()
    destroy_one(tx, project_id, record.key_value_id)
    key_value_id = put_sealed(tx, box, (project_id, project_id), "apiKey", token.text.encode())
    tx.run(_REPLACE_KEY, row_id=project_id, key_hash=token.hash, key_value_id=key_value_id, updated_at=now_us())
    return token


def _one(tx: Transaction, statement: Statement, organization_id: str, project_id: str) -> ProjectRecord | None:
    row = tx.row(statement, organization_id=organization_id, id=project_id) if is_id(project_id) else None
    return None if row is None else ProjectRecord(_project(row), row[-1])


def _project(row: Row) -> Project:
    project_id, organization_id, team_id, name, slug, language, framework, default_model, created_at, updated_at = row[:10]
    return Project(
        id=project_id,
        organization_id=organization_id,
        team_id=team_id,
        name=name,
        slug=slug,
        language=language,
        framework=framework,
        default_model=default_model,
        created_at=to_datetime(created_at),
        updated_at=to_datetime(updated_at),
    )
