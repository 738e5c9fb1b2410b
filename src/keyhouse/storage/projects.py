"""Projects as a write sees them: locked first, given their next revision last."""

import msgspec

from keyhouse.domain.errors import Code, Error
from keyhouse.storage.changes import note_change
from keyhouse.storage.statements import Statement, Transaction, assignments

_HEAD = "SELECT id, organization_id, team_id, revision, default_model FROM projects WHERE id = :id AND archived_at IS NULL"
_GET = Statement(_HEAD)
_LOCK = Statement(_HEAD, "FOR UPDATE")
ADVANCE = Statement("UPDATE projects SET", assignments("revision, default_model, updated_at"), "WHERE id = :row_id")


class ProjectHead(msgspec.Struct, frozen=True):
    """What a write needs to know of its project. `revision` counts the changes to its providers and default model."""

    id: str
    organization_id: str
    team_id: str
    revision: int
    default_model: str | None


def get_project_head(tx: Transaction, project_id: str) -> ProjectHead:
    """A live project. Raises Error `invalid_credentials` where it is gone."""
    return _read(tx, _GET, project_id)


def lock_project(tx: Transaction, project_id: str, remembered: ProjectHead | None = None) -> ProjectHead:
    """The same, and nobody else writes to the project until this transaction ends. A draft takes what is remembered for it.

    Raises CannotDraft where that is nothing.
    """
    if tx.is_draft and remembered is not None:
        return remembered
    return _read(tx, _LOCK, project_id)


def advance_project(tx: Transaction, project: ProjectHead, default_model: str | None) -> int:
    """Give a locked project its next revision and leave a notice of it; returns the revision."""
    revision = project.revision + 1
    tx.run(ADVANCE, row_id=project.id, revision=revision, default_model=default_model, updated_at=tx.now)
    note_change(tx, project.organization_id, project.id, revision)
    return revision


def _read(tx: Transaction, statement: Statement, project_id: str) -> ProjectHead:
    for row in tx.rows(statement, id=project_id):
        return ProjectHead(*row)
    raise project_gone()


def project_gone() -> Error:
    """Of a project whose caller was admitted: the caller's key went with it."""
    return Error(Code.INVALID_CREDENTIALS, "Invalid credentials")
