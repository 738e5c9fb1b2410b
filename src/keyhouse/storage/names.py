"""What people call the projects, teams and API keys of an organization, by their ids."""

from collections.abc import Collection

from keyhouse.domain.audit import Named
from keyhouse.storage import encoding
from keyhouse.storage.statements import Statement, Transaction, is_one_of

_ONE_OF = f"organization_id = :organization_id AND {is_one_of('id', 'ids')}"
_NAMES = Statement(
    f"SELECT 'project', id, name FROM projects WHERE archived_at IS NULL AND {_ONE_OF} UNION ALL",  # noqa: S608 - names of ours
    f"SELECT 'team', id, name FROM teams WHERE archived_at IS NULL AND {_ONE_OF} UNION ALL",  # noqa: S608 - names of ours
    f"SELECT 'api_key', id, name FROM api_keys WHERE {_ONE_OF}",  # noqa: S608 - names of ours
)


def list_named(tx: Transaction, organization_id: str, ids: Collection[str]) -> list[Named]:
    """What is there under these ids, in no order."""
    return [Named(*row) for row in tx.rows(_NAMES, organization_id=organization_id, ids=encoding.encoded(list(ids)))]
