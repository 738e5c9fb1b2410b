"""Keys: a project's own, and the API keys of the organization. A new one is shown once, in the answer that makes it."""

from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

from starlette.responses import Response

from keyhouse.domain.errors import Code, Error
from keyhouse.domain.paging import Paging
from keyhouse.domain.tenancy import ApiKey, Caller, Permission, Role, ScopeType
from keyhouse.services.api_keys import ApiKeys
from keyhouse.services.audit import Audit
from keyhouse.services.last_uses import LastUses
from keyhouse.services.model_defaults import ModelDefaults
from keyhouse.services.projects import Projects
from keyhouse.services.rights import require_organization_admin
from keyhouse.services.teams import Teams
from keyhouse.web.control.api_keys import ApiKeyBody, problems, to_request
from keyhouse.web.control.routing import validated
from keyhouse.web.errors import STATUS
from keyhouse.web.pages.paging import list_page, listed, whole
from keyhouse.web.pages.rendering import moved_back, page
from keyhouse.web.pages.rights import require_view
from keyhouse.web.pages.site import Page
from keyhouse.web.pages.visit import Form, Visit
from keyhouse.web.whole_numbers import whole_number

_LIFETIMES = (("", "It does not expire"), ("30", "30 days"), ("90", "90 days"), ("365", "One year"))
_MOST_DAYS = 99_999
_LISTED_PROJECTS = 1000
"""How many projects, the newest ones, a new key's can be picked from; of any other one its id is asked for."""


class KeyPages:
    """See the module."""

    def __init__(
        self, api_keys: ApiKeys, audit: Audit, projects: Projects, teams: Teams, defaults: ModelDefaults, last_uses: LastUses
    ) -> None:
        self._api_keys = api_keys
        self._audit = audit
        self._projects = projects
        self._teams = teams
        self._defaults = defaults
        self._last_uses = last_uses

    def pages(self) -> list[Page]:
        """Every address."""
        return [
            Page("GET", "/projects/{project}/key", self.show_project_key),
            Page("POST", "/projects/{project}/key", self.use_project_key),
            Page("GET", "/organization/keys", self.show_all),
            Page("POST", "/organization/keys", self.create),
            Page("POST", "/organization/keys/{key}/revoke", self.revoke),
        ]

    async def show_project_key(self, visit: Visit) -> Response:
        """What a project's key is for, without the key."""
        require_view(visit)
        return await self._project_key(visit, "")

    async def use_project_key(self, visit: Visit) -> Response:
        """Show the key, or give the project another one."""
        if visit.caller.is_project_key:
            raise Error(Code.PERMISSION_DENIED, "A project’s key shows no keys. Sign in with an API key of the organization.")
        work = self._projects.regenerate_key if visit.form.text("do") == "regenerate" else self._projects.open_key
        return await self._project_key(visit, await work(visit.caller, visit.project_id))

    async def show_all(self, visit: Visit) -> Response:
        """The organization's API keys."""
        return await self._list(visit)

    async def create(self, visit: Visit) -> Response:
        """Make a key and show it, or say what is wrong with the form."""
        require_organization_admin(visit.caller)
        try:
            request = to_request(validated(ApiKeyBody, _body(visit.form, visit.caller), problems))
            api_key, token = await self._api_keys.create(visit.caller, request)
        except Error as error:
            if error.code not in (Code.VALIDATION_ERROR, Code.BAD_REQUEST):
                raise
            field, problem = _problem(error)
            return await self._list(visit, STATUS[error.code], problem=problem, problem_field=field)
        return await self._list(visit, made=api_key, token=token)

    async def revoke(self, visit: Visit) -> Response:
        """Revoke a key. Sessions that stand for it end with it."""
        await self._api_keys.revoke(visit.caller, visit.path["key"])
        return moved_back(visit, "/organization/keys", "revoked")

    async def _project_key(self, visit: Visit, token: str) -> Response:
        project = await self._defaults.project(visit.project_id)
        rights = visit.caller.permissions if not visit.caller.is_project_key else frozenset[Permission]()
        values = {"may_see": Permission.UPDATE in rights, "may_replace": Permission.MANAGE in rights}
        regenerated = visit.form.text("do") == "regenerate"
        used_at = (await self._last_uses.of([visit.project_id])).get(visit.project_id)
        shown: dict[str, Any] = {"token": token, "regenerated": regenerated, "used_at": used_at, **values}
        return page(visit, "project_key.html", project=project, **shown)

    async def _list(self, visit: Visit, status: int = 200, **shown: Any) -> Response:
        require_organization_admin(visit.caller)
        caller = visit.caller
        keys, found, total = await listed(visit, partial(self._api_keys.list, caller), _words_of)
        projects, all_projects = await self._projects.list(caller, Paging(1, _LISTED_PROJECTS))
        teams = await whole(partial(self._teams.list, caller))
        named = await self._audit.named(caller, {bound.scope_id for key in keys for bound in key.bindings})
        names = {one.id: one.name for one in named}
        now = datetime.now(UTC)
        values: dict[str, Any] = {"made": None, "token": "", "problem": "", "problem_field": "", **shown}
        values |= {"projects": projects, "teams": teams, "unlisted_projects": all_projects - len(projects)}
        uses = await self._last_uses.of([key.id for key in keys])
        shown_keys = [(key, _grants(key, names), _state(key, now), uses.get(key.id)) for key in keys]
        own = caller.actor.id
        extra: dict[str, Any] = {"found": found, "total": total, "own": own, "roles": list(Role), "lifetimes": _LIFETIMES}
        return list_page(visit, "organization_keys.html", found, status, keys=shown_keys, form=visit.form, **values, **extra)


def _body(form: Form, caller: Caller) -> dict[str, Any]:
    unlisted = form.text("project").strip()
    scope_type, _, scope_id = (f"PROJECT:{unlisted}" if unlisted else form.text("scope")).partition(":")
    binding = {"role": form.text("role"), "scopeType": scope_type, "scopeId": scope_id or caller.organization_id}
    body: dict[str, Any] = {"keyType": "service", "name": form.text("name"), "description": form.text("description"), "bindings": [binding]}
    days = whole_number(form.text("days"))
    if days is not None and days <= _MOST_DAYS:
        body["expiresAt"] = (datetime.now(UTC) + timedelta(days=days)).isoformat()
    if chosen := form.all("permissions"):
        body |= {"permissionMode": "restricted", "permissions": chosen}
    return body


def _words_of(key: ApiKey) -> str:
    return f"{key.name} {key.description} {key.id}"


def _problem(error: Error) -> tuple[str, str]:
    """The field of the form that an error is about, or an empty string, and what is wrong."""
    names = {"name": "Give the key a name.", "description": "The description is too long or holds control characters."}
    return next(((field, names[field]) for field in error.fields if field in names), ("", error.message))


def _grants(key: ApiKey, names: dict[str, str]) -> list[str]:
    """What a key may do where, in words."""
    scopes = {ScopeType.ORGANIZATION: "the organization", ScopeType.TEAM: "team ", ScopeType.PROJECT: "project "}
    return [
        f"{bound.role.value.lower()} of {scopes[bound.scope_type]}"
        + ("" if bound.scope_type is ScopeType.ORGANIZATION else names.get(bound.scope_id, "that was archived"))
        for bound in key.bindings
    ]


def _state(key: ApiKey, now: datetime) -> str:
    if key.revoked_at is not None:
        return "revoked"
    return "active" if key.is_live(now) else "expired"
