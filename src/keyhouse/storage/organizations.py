"""Organizations as they are stored."""

from sqlalchemy import bindparam, func, select

from keyhouse.domain.tenancy import Organization
from keyhouse.storage.clock import now_us, to_datetime
from keyhouse.storage.identifiers import is_id, new_id
from keyhouse.storage.statements import Row, Statement, Transaction, insert_row
from keyhouse.storage.tables import organizations

_columns = organizations.c
_all = select(_columns.id, _columns.name, _columns.slug, _columns.created_at)
_INSERT = insert_row(organizations)
_GET = Statement(_all.where(_columns.id == bindparam("id")))
_LIST = Statement(_all.order_by(_columns.created_at.desc(), _columns.id.desc()))
_COUNT = Statement(select(func.count()).select_from(organizations))


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
