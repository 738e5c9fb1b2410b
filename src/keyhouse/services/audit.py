"""The use case of the audit log: it is read, a page at a time. Nothing is written here."""

from collections.abc import Sequence

from keyhouse.domain.audit import EVERYTHING, AuditRecord, AuditSearch
from keyhouse.domain.paging import Paging
from keyhouse.domain.tenancy import Caller
from keyhouse.services.rights import require_organization_admin
from keyhouse.storage.history import list_audit
from keyhouse.storage.opening import Storage


class Audit:
    """What was written in an organization and to the installation that all of them share, which keys were shown, and by whom."""

    def __init__(self, storage: Storage) -> None:
        self._storage = storage

    async def list(self, caller: Caller, paging: Paging, search: AuditSearch = EVERYTHING) -> tuple[Sequence[AuditRecord], int]:
        """A page of the organization's audit log, newest first, and how many records there are. Needs ADMIN on the organization."""
        require_organization_admin(caller)
        return await self._storage.database.read(lambda tx: list_audit(tx, caller.organization_id, paging, search))
