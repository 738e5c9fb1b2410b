"""The organization's audit log: what its records are about by name, and those of one thing, one person or one kind of action."""

from collections.abc import Callable, Collection, Mapping
from typing import Any
from urllib.parse import urlencode

import msgspec
from starlette.responses import Response

from keyhouse.domain.audit import SEARCHED_RECORDS, AuditSearch, Named
from keyhouse.domain.paging import Paging
from keyhouse.domain.tenancy import Caller
from keyhouse.services.audit import Audit
from keyhouse.web.pages.paging import PER_PAGE, list_page
from keyhouse.web.pages.site import Page
from keyhouse.web.pages.visit import Visit

# What people choose among: what it is called, and the pattern of its actions.
_KINDS = {
    "": ("Everything", "%"),
    "project-keys": ("Project keys shown or replaced", "project.key_%"),
    "providers": ("Providers", "model_provider.%"),
    "api-keys": ("API keys", "api_key.%"),
    "projects": ("Projects", "project.%"),
    "teams": ("Teams", "team.%"),
    "sign-ins": ("Sign-ins to these pages", "session.%"),
    "encryption-keys": ("Encryption keys", "encryption_key.%"),
}


class Thing(msgspec.Struct, frozen=True):
    """What a record is about: its name and the page that shows it, each empty where there is none any more."""

    id: str
    name: str = ""
    address: str = ""


class AuditPages:
    """See the module. `provider_name` is what people call a provider."""

    def __init__(self, audit: Audit, provider_name: Callable[[str], str]) -> None:
        self._audit = audit
        self._provider_name = provider_name

    def pages(self) -> list[Page]:
        """Every address."""
        return [Page("GET", "/organization/audit", self.show)]

    async def show(self, visit: Visit) -> Response:
        """Every write, newest first, or those that are asked for."""
        query = visit.request.query_params
        about, kind = query.get("about", ""), query.get("kind", "")
        _, actions = _KINDS.get(kind, _KINDS[""])
        records, total = await self._audit.list(visit.caller, Paging(visit.page_number(), PER_PAGE), AuditSearch(about, actions))
        things = await self._things(visit.caller, {about, *(record.target for record in records)})
        shown = [(record, self._thing(record.target, things)) for record in records]
        kinds = [(name, words) for name, (words, _) in _KINDS.items()]
        values: dict[str, Any] = {"about": self._thing(about, things), "kind": kind, "kinds": kinds, "searched": SEARCHED_RECORDS}
        return list_page(visit, "audit.html", total, records=shown, total=total, **values)

    async def _things(self, caller: Caller, targets: Collection[str]) -> Mapping[str, Thing]:
        """Whatever the targets are about and has a name, by its id."""
        named = await self._audit.named(caller, {target.partition("/")[0] for target in targets})
        return {one.id: Thing(one.id, one.name, _address(one)) for one in named}

    def _thing(self, target: str, things: Mapping[str, Thing]) -> Thing:
        where, _, provider = target.partition("/")
        thing = things.get(where)
        if thing is None:
            return Thing(target)
        if not provider:
            return thing
        return Thing(target, f"{self._provider_name(provider)} of {thing.name}", f"{thing.address}/{provider}/history")


def _address(named: Named) -> str:
    if named.kind == "project":
        return f"/projects/{named.id}/providers"
    if named.kind == "team":
        return f"/organization/projects?{urlencode({'q': named.name})}"
    return f"/organization/keys?q={named.id}"
