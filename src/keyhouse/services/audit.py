"""The use case of the audit log: it is read, a page at a time. Nothing is written here."""

from collections.abc import Collection, Sequence

from keyhouse.domain.audit import EVERYTHING, AuditRecord, AuditSearch, Named
from keyhouse.domain.paging import Paging
from keyhouse.domain.tenancy import Caller
from keyhouse.services.rights import require_organization_admin
from keyhouse.storage.history import list_audit
from keyhouse.storage.names import list_named
from keyhouse.storage.opening import Storage


class Audit:
    """What was written in an organization and to the installation that all of them share, which keys were shown, and by whom."""

    def __init__(self, storage: Storage) -> None:
        self._storage = storage

    async def list(self, caller: Caller, paging: Paging, search: AuditSearch = EVERYTHING) -> tuple[Sequence[AuditRecord], int]:
        """A page of the organization's audit log, newest first, and how many records there are. Needs ADMIN on the organization."""
        require_organization_admin(caller)
        return await self._storage.database.read(lambda tx: list_audit(tx, caller.organization_id, paging, search))

    async def named(self, caller: Caller, ids: Collection[str]) -> Sequence[Named]:
        """The projects, teams and API keys of the organization that are there under these ids. Needs ADMIN on the organization."""
        require_organization_admin(caller)
        return await self._storage.database.read(lambda tx: list_named(tx, caller.organization_id, ids))
