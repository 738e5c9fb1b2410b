"""The providers of a project: the list, the switch, and a provider's history with its way back."""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
from msgspec.structs import replace
from starlette.responses import Response

from keyhouse.domain.history import HistoryEntry
from keyhouse.domain.model_provider import ModelProviderUpdate
from keyhouse.domain.paging import Paging
from keyhouse.domain.precondition import parse_if_match
from keyhouse.domain.provider_spec import ProviderSpec
from keyhouse.domain.tenancy import Project
from keyhouse.services.connection_test import ConnectionTest
from keyhouse.services.last_uses import LastUses, provider_use
from keyhouse.services.model_defaults import ModelDefaults
from keyhouse.services.model_providers import ModelProviders
from keyhouse.web.pages.paging import list_page
from keyhouse.web.pages.provider_views import ProviderView, change_in_words, provider_view
from keyhouse.web.pages.rendering import moved, page
from keyhouse.web.pages.rights import require_update, require_view
from keyhouse.web.pages.site import Page
from keyhouse.web.pages.visit import Visit, is_from_another_site
from keyhouse.web.whole_numbers import whole_number

_PER_PAGE = 20
_ALL = "/projects/{project}/providers"
_ONE = "/projects/{project}/providers/{provider}"


class ProviderPages:
    """See the module."""

    def __init__(self, providers: ModelProviders, defaults: ModelDefaults, tests: ConnectionTest, last_uses: LastUses) -> None:
        self._providers = providers
        self._defaults = defaults
        self._tests = tests
        self._last_uses = last_uses

    def pages(self) -> list[Page]:
        """Every address."""
        return [
            Page("GET", _ALL, self.show_all),
            Page("POST", f"{_ONE}/enabled", self.switch),
            Page("GET", f"{_ONE}/history", self.show_history),
            Page("POST", f"{_ONE}/rollback", self.roll_back),
            Page("POST", f"{_ONE}/delete", self.delete),
        ]

    async def show_all(self, visit: Visit) -> Response:
        """The list, or those of it that a search finds."""
        require_view(visit)
        project = await self._defaults.project(visit.project_id)
        entries = await self._entries(visit)
        views = await self._views(project, [entry for entry in entries.values() if "id" in entry])
        wanted = visit.wanted
        found = [view for view in views if _matches(view, wanted)]
        saved, testing = (_stored(entries, visit.request.query_params.get(name, "")) for name in ("saved", "test"))
        values: dict[str, Any] = {"project": project, "views": found, "total": len(views), "wanted": wanted, "saved": saved}
        values["deleted"] = self._deleted(entries, visit.request.query_params.get("deleted", ""))
        # The page starts that test by itself, which no link on another site should.
        values["testing"] = testing if visit.may_update and not is_from_another_site(visit.request) else ""
        return page(visit, "providers.html", names={view.id: view.spec.name for view in views}, **values)

    async def switch(self, visit: Visit) -> Response:
        """Turn a provider on or off; everything else stays as it is."""
        require_update(visit)
        provider, enabled = visit.path["provider"], visit.form.text("enabled") == "true"
        shown = await self._providers.upsert(visit.caller, provider, ModelProviderUpdate(enabled), None)
        if not visit.is_fragment:
            return moved(visit.request, f"/projects/{visit.project_id}/providers")
        project = await self._defaults.project(visit.project_id)
        views = await self._views(project, [msgspec.json.decode(shown.body)[provider]])
        return page(visit, "provider_card.html", project=project, view=views[0])

    async def show_history(self, visit: Visit) -> Response:
        """Who changed what, newest first."""
        require_view(visit)
        number, provider = visit.page_number(), visit.path["provider"]
        entries, total = await self._providers.history(visit.project_id, provider, Paging(number, _PER_PAGE))
        project, shown = await self._defaults.project(visit.project_id), await self._providers.get(visit.project_id, provider)
        view = provider_view(self._providers, project, msgspec.json.decode(shown.body))
        differences = await self._providers.differences(visit.project_id, provider, entries)
        changes = [
            (entry, [(change, change_in_words(view.spec, change), shown) for change, shown in zip(entry.fields, of_entry, strict=True)])
            for entry, of_entry in zip(entries, differences, strict=True)
        ]
        values: dict[str, Any] = {"changes": changes, "tag": shown.tag, "back": _back(entries, view)}
        return list_page(visit, "history.html", total, per_page=_PER_PAGE, project=project, view=view, **values)

    async def roll_back(self, visit: Visit) -> Response:
        """Back to a version."""
        require_update(visit)
        provider, version = visit.path["provider"], whole_number(visit.form.text("version")) or 0
        await self._providers.roll_back(visit.caller, provider, version, parse_if_match(visit.form.text("etag")))
        return moved(visit.request, f"/projects/{visit.project_id}/providers/{provider}/history?done=taken-back")

    async def delete(self, visit: Visit) -> Response:
        """Delete a provider and its secrets."""
        require_update(visit)
        await self._providers.delete(visit.caller, visit.path["provider"], parse_if_match(visit.form.text("etag")))
        return moved(visit.request, f"/projects/{visit.project_id}/providers?deleted={visit.path['provider']}")

    def _deleted(self, entries: Mapping[str, Any], named: str) -> ProviderSpec | None:
        """The provider that an address names, if it is one that is not stored."""
        return self._providers.spec(named) if named in entries and "id" not in entries[named] else None

    async def _entries(self, visit: Visit) -> Mapping[str, Any]:
        shown = await self._providers.list(visit.project_id)
        entries: Mapping[str, Any] = msgspec.json.decode(shown.body)
        return entries

    async def _views(self, project: Project, entries: Sequence[Mapping[str, Any]]) -> list[ProviderView]:
        project_id = project.id
        changes, tests = await self._providers.last_changes(project_id), await self._tests.last(project_id)
        uses = await self._last_uses.of([provider_use(project_id, entry["provider"]) for entry in entries])
        views = [provider_view(self._providers, project, entry) for entry in entries]
        return [
            replace(view, changed=changes.get(view.id), tested=tests.get(view.id), used_at=uses.get(provider_use(project_id, view.id)))
            for view in views
        ]


def _matches(view: ProviderView, wanted: str) -> bool:
    models = " ".join(model["modelId"] for model in view.custom_models)
    return wanted.lower() in f"{view.spec.name} {view.id} {models}".lower()


def _stored(entries: Mapping[str, Any], named: str) -> str:
    """The provider that an address names, if it is stored."""
    return named if named in entries and "id" in entries[named] else ""


def _back(entries: Sequence[HistoryEntry], view: ProviderView) -> int:
    """The version that is in force, which there is no way back to."""
    return entries[0].version if entries and view.is_stored else 0
