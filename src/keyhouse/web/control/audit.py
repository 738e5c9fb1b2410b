"""The route of the audit log."""

from pydantic import BaseModel

from keyhouse.domain.audit import AuditRecord
from keyhouse.services.audit import Audit
from keyhouse.web.control.access import Access
from keyhouse.web.control.answers import ActorShape, Pagination, actor_json, iso, page_json
from keyhouse.web.control.paging import PageQuery, paging_of
from keyhouse.web.control.routing import Answer, Call, Operation, Route


class AuditRecordShape(BaseModel):
    """One write, or one showing of a project's key, and who made it."""

    id: str
    at: str
    actor: ActorShape
    action: str
    target: str


class AuditAnswer(BaseModel):
    """A page of the audit log."""

    data: list[AuditRecordShape]
    pagination: Pagination


def audit_routes(service: Audit) -> list[Route]:
    """The route of the audit log, over its service."""

    async def list_all(call: Call) -> Answer:
        paging = paging_of(call.query)
        records, total = await service.list(call.caller, paging)
        return Answer(page_json([_record(record) for record in records], paging, total))

    operation = Operation(
        "getApiAudit",
        "List every write in the organization, every showing of a project's key, and writes to the installation, newest first. "
        "Needs ADMIN on the organization",
        {200: AuditAnswer},
        "Audit",
        query=PageQuery,
    )
    return [Route("GET", "/api/audit", list_all, operation, access=Access.ORGANIZATION)]


def _record(record: AuditRecord) -> dict[str, object]:
    return {
        "id": f"audit_{record.id}",
        "at": iso(record.at),
        "actor": actor_json(record.actor),
        "action": record.action,
        "target": record.target,
    }
