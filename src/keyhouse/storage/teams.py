"""Teams as they are stored. One that was archived is kept, and no longer found."""

from collections.abc import Sequence
from dataclasses import replace

from keyhouse.domain.paging import Paging
from keyhouse.domain.tenancy import Team
from keyhouse.storage import encoding
from keyhouse.storage.clock import now_us, to_datetime
from keyhouse.storage.identifiers import is_id, new_id
from keyhouse.storage.statements import PagedStatement, Row, Statement, Transaction, insert_into, is_one_of

_COLUMNS = "id, organization_id, name, slug, created_at, updated_at"
_LIVE = "FROM teams WHERE organization_id = :organization_id AND archived_at IS NULL"
_VISIBLE = f"AND ({is_one_of('organization_id', 'scopes')} OR {is_one_of('id', 'scopes')})"
_INSERT = insert_into("teams", f"{_COLUMNS}, archived_at")
_GET = Statement("SELECT", _COLUMNS, _LIVE, "AND id = :id")
_LOCK = Statement("SELECT", _COLUMNS, _LIVE, "AND id = :id FOR UPDATE")
_LIST = PagedStatement(_COLUMNS, _LIVE, _VISIBLE, order="created_at DESC, id DESC")
_SLUG = Statement("SELECT id FROM teams WHERE organization_id = :organization_id AND slug = :slug")
_RENAME = Statement("UPDATE teams SET name = :name, updated_at = :updated_at WHERE id = :row_id")
_ARCHIVE = Statement("UPDATE teams SET archived_at = :archived_at WHERE id = :row_id")
_COUNT_PROJECTS = Statement("SELECT count(*) FROM projects WHERE team_id = :team_id AND archived_at IS NULL")


def put_team(tx: Transaction, organization_id: str, name: str, slug: str) -> Team:
    """Store a new team. Raises ConstraintBroken if the name is taken."""
    team_id, now = new_id("team"), now_us()
    values = {"id": team_id, "organization_id": organization_id, "name": name, "slug": slug}
    tx.run(_INSERT, **values, created_at=now, updated_at=now, archived_at=None)
    return Team(team_id, organization_id, name, slug, to_datetime(now), to_datetime(now))


def get_team(tx: Transaction, organization_id: str, team_id: str) -> Team | None:
    """A live team of an organization, or None."""
    row = tx.row(_GET, organization_id=organization_id, id=team_id) if is_id(team_id) else None
    return None if row is None else _team(row)


def lock_team(tx: Transaction, organization_id: str, team_id: str) -> Team | None:
    """The same, and nobody else archives the team, or puts a project into it, until this transaction ends."""
    row = tx.row(_LOCK, organization_id=organization_id, id=team_id) if is_id(team_id) else None
    return None if row is None else _team(row)


def list_teams(tx: Transaction, organization_id: str, scopes: Sequence[str], paging: Paging) -> tuple[list[Team], int]:
    """A page of an organization's live teams within `scopes` (ids of the organization, of teams), newest first, and how many there are."""
    rows, total = _LIST.read(tx, paging, organization_id=organization_id, scopes=encoding.encoded(scopes))
    return [_team(row) for row in rows], total


def is_team_slug_taken(tx: Transaction, organization_id: str, slug: str) -> bool:
    """Whether any team of the organization has or had this slug."""
    return tx.row(_SLUG, organization_id=organization_id, slug=slug) is not None


def rename_team(tx: Transaction, team: Team, name: str) -> Team:
    """Give a team another name. Raises ConstraintBroken if it is taken."""
    now = now_us()
    tx.run(_RENAME, row_id=team.id, name=name, updated_at=now)
    return replace(team, name=name, updated_at=to_datetime(now))


def archive_team(tx: Transaction, team_id: str, archived_at: int) -> None:
    """Archive a team, at a moment in microseconds."""
    tx.run(_ARCHIVE, row_id=team_id, archived_at=archived_at)


def count_projects(tx: Transaction, team_id: str) -> int:
    """How many live projects a team has."""
    return int(tx.rows(_COUNT_PROJECTS, team_id=team_id)[0][0])


def _team(row: Row) -> Team:
    team_id, organization_id, name, slug, created_at, updated_at = row
    return Team(team_id, organization_id, name, slug, to_datetime(created_at), to_datetime(updated_at))
