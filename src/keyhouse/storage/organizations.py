"""Organizations as they are stored."""

from keyhouse.domain.tenancy import Organization
from keyhouse.storage.clock import now_us, to_datetime
from keyhouse.storage.identifiers import is_id, new_id
from keyhouse.storage.statements import Row, Statement, Transaction, insert_into

_COLUMNS = "id, name, slug, created_at"
_INSERT = insert_into("organizations", _COLUMNS)
_GET = Statement("SELECT", _COLUMNS, "FROM organizations WHERE id = :id")
_LIST = Statement("SELECT", _COLUMNS, "FROM organizations ORDER BY created_at DESC, id DESC")
_COUNT = Statement("SELECT count(*) FROM organizations")


def count_organizations(tx: Transaction) -> int:
    """How many organizations there are."""
    return int(tx.rows(_COUNT)[0][0])


def put_organization(tx: Transaction, name: str, slug: str) -> Organization:
    """Store a new organization. Raises ConstraintBroken if the slug is taken."""
    organization_id, now = new_id("organization"), now_us()
    tx.run(_INSERT, id=organization_id, slug=slug, name=name, created_at=now)
    return Organization(organization_id, name, slug, to_datetime(now))


def get_organization(tx: Transaction, organization_id: str) -> Organization | None:
    """An organization, or None."""
    row = tx.row(_GET, id=organization_id) if is_id(organization_id) else None
    return None if row is None else _organization(row)


def list_organizations(tx: Transaction) -> list[Organization]:
    """Every organization, newest first."""
    return [_organization(row) for row in tx.rows(_LIST)]


def _organization(row: Row) -> Organization:
    organization_id, name, slug, created_at = row
    return Organization(organization_id, name, slug, to_datetime(created_at))
