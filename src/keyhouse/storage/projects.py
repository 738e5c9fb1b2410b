"""Projects as a write sees them: locked first, given their next revision last."""

from dataclasses import dataclass

from sqlalchemy import bindparam, select, update

from keyhouse.domain.errors import Code, Error
from keyhouse.storage.changes import note_change
from keyhouse.storage.clock import now_us
from keyhouse.storage.statements import Statement, Transaction
from keyhouse.storage.tables import organizations, projects

_columns = projects.c
_head = select(_columns.id, _columns.organization_id, _columns.team_id, _columns.revision, _columns.default_model).where(
    _columns.id == bindparam("id"), _columns.archived_at.is_(None)
)
_GET = Statement(_head)
# SQLite has one writer at a time anyway; there the words of the lock are left out.
_LOCK = Statement(_head.with_for_update())
_ADVANCE = Statement(
    update(projects)
    .where(_columns.id == bindparam("row_id"))
    .values(revision=bindparam("revision"), default_model=bindparam("default_model"), updated_at=bindparam("updated_at"))
)
_SCOPE = Statement(
    select(_columns.id, _columns.team_id, _columns.organization_id, organizations.c.name, _columns.default_model)
    .join(organizations, organizations.c.id == _columns.organization_id)
    .where(_columns.id == bindparam("id"), _columns.archived_at.is_(None))
)


@dataclass(frozen=True, slots=True)
class ProjectHead:
    """What a write needs to know of its project. `revision` counts the changes to its providers and default model."""

    id: str
    organization_id: str
    team_id: str
    revision: int
    default_model: str | None


@dataclass(frozen=True, slots=True)
class ProjectScope:
    """Where a project lies, and its default model."""

    id: str
    team_id: str
    organization_id: str
    organization_name: str
    default_model: str | None


def get_project_head(tx: Transaction, project_id: str) -> ProjectHead:
    """A live project. Raises Error `invalid_credentials` where it is gone: the caller's key went with it."""
    return _required(ProjectHead(*row) if (row := tx.row(_GET, id=project_id)) else None)


def lock_project(tx: Transaction, project_id: str) -> ProjectHead:
    """The same, and nobody else writes to the project until this transaction ends."""
    return _required(ProjectHead(*row) if (row := tx.row(_LOCK, id=project_id)) else None)


def get_project_scope(tx: Transaction, project_id: str) -> ProjectScope:
    """Where a live project lies. Raises Error `invalid_credentials` where it is gone."""
    row = tx.row(_SCOPE, id=project_id)
    if row is None:
        raise _gone()
    return ProjectScope(*row)


def advance_project(tx: Transaction, project: ProjectHead, default_model: str | None) -> int:
    """Give a locked project its next revision and leave a notice of it; returns the revision."""
    revision = project.revision + 1
    tx.run(_ADVANCE, row_id=project.id, revision=revision, default_model=default_model, updated_at=now_us())
    note_change(tx, project.organization_id, project.id, revision)
    return revision


def _required(project: ProjectHead | None) -> ProjectHead:
    if project is None:
        raise _gone()
    return project


def _gone() -> Error:
    return Error(Code.INVALID_CREDENTIALS, "Invalid credentials")
