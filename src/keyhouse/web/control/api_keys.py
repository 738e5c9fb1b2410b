"""The routes of an organization's API keys."""

from functools import partial
from typing import Annotated, Literal

from pydantic import MISSING, BaseModel, BeforeValidator, Field
from pydantic_core import PydanticCustomError

from keyhouse.domain.model_provider import ABSENT
from keyhouse.domain.tenancy import ApiKey, Permission, PermissionMode, Role, RoleBinding, ScopeType
from keyhouse.services.api_keys import ApiKeyRequest, ApiKeys, ApiKeyUpdate
from keyhouse.web.control.access import Access, admin_only
from keyhouse.web.control.answers import Pagination, iso, page_json
from keyhouse.web.control.fields import Description, FutureMoment, Name, ScopeId
from keyhouse.web.control.paging import PageQuery, paging_of
from keyhouse.web.control.routing import Answer, Call, Operation, Route, json_answer
from keyhouse.web.control.schemas import Body, FieldProblem

_ALL = "/api/api-keys"
_ONE = "/api/api-keys/{id}"
_TAG = "API keys"
_MOST_SCOPES = 100


def _no_people(value: object) -> object:
    if value == "personal":
        raise PydanticCustomError("no_personal_keys", "Keyhouse has no human users, so there are no personal keys: make a service key")
    return value


KeyType = Annotated[Literal["service"], BeforeValidator(_no_people)]
# Words of the contract: strict validation would ask for the enum's own members, which JSON has not.
AnyMode = Annotated[PermissionMode, Field(strict=False)]
Permissions = Annotated[list[Annotated[Permission, Field(strict=False)]], Field(min_length=1, max_length=len(Permission))]


class BindingBody(Body):
    """A role on one organization, team or project."""

    role: Annotated[Role, Field(strict=False)]
    scopeType: Annotated[ScopeType, Field(strict=False)]
    scopeId: ScopeId


Bindings = Annotated[list[BindingBody], Field(min_length=1, max_length=_MOST_SCOPES)]
ProjectIds = Annotated[list[ScopeId], Field(min_length=1, max_length=_MOST_SCOPES)]


class ApiKeyBody(Body):
    """A new API key. Without bindings and projectIds it is ADMIN on the organization; an empty list of either is refused."""

    keyType: KeyType
    name: Name
    description: Description | MISSING = MISSING
    expiresAt: FutureMoment | MISSING = MISSING
    permissionMode: AnyMode | MISSING = MISSING
    permissions: Permissions | MISSING = MISSING
    bindings: Bindings | MISSING = MISSING
    projectIds: ProjectIds | MISSING = MISSING


class ApiKeyUpdateBody(Body):
    """What changes of an API key. Bindings are replaced as a whole; `null` clears the description or the expiry."""

    name: Name | MISSING = MISSING
    description: Description | MISSING | None = MISSING
    expiresAt: FutureMoment | MISSING | None = MISSING
    permissionMode: AnyMode | MISSING = MISSING
    permissions: Permissions | MISSING = MISSING
    bindings: Bindings | MISSING = MISSING
    projectIds: ProjectIds | MISSING = MISSING


class NewApiKeyShape(BaseModel):
    """An API key that was just made."""

    id: str
    name: str
    createdAt: str


class CreatedApiKeyAnswer(BaseModel):
    """A new API key and its token, which is shown this once."""

    token: str
    apiKey: NewApiKeyShape


class BindingShape(BaseModel):
    """A role on one organization, team or project."""

    role: Role
    scopeType: ScopeType
    scopeId: str


class ApiKeyShape(NewApiKeyShape):
    """An API key, without its token. `permissions` are those of a restricted key; `roleBindings` repeats `bindings`; `lastUsedAt` is noted
    about a minute late."""

    description: str | None
    keyType: Literal["service"]
    permissionMode: PermissionMode
    permissions: list[Permission]
    expiresAt: str | None
    revokedAt: str | None
    lastUsedAt: str | None
    bindings: list[BindingShape]
    roleBindings: list[BindingShape]


class UpdatedApiKeyShape(ApiKeyShape):
    """An API key after a change."""

    success: Literal[True]


class ApiKeysAnswer(BaseModel):
    """A page of API keys."""

    data: list[ApiKeyShape]
    pagination: Pagination


class SuccessAnswer(BaseModel):
    """It was done."""

    success: Literal[True]


class ApiKeyHandlers:
    """One method a route."""

    def __init__(self, service: ApiKeys) -> None:
        self._service = service

    async def list_all(self, call: Call) -> Answer:
        """A page of the organization's API keys."""
        paging = paging_of(call.query)
        keys, total = await self._service.list(call.caller, paging)
        return Answer(page_json([_api_key(key) for key in keys], paging, total))

    async def create(self, call: Call) -> Answer:
        """Create."""
        api_key, token = await self._service.create(call.caller, to_request(call.body))
        return json_answer({"token": token, "apiKey": _new_api_key(api_key)}, status=201)

    async def get(self, call: Call) -> Answer:
        """One API key."""
        return json_answer(_api_key(await self._service.get(call.caller, call.path["id"])))

    async def update(self, call: Call) -> Answer:
        """Change."""
        changed = await self._service.update(call.caller, call.path["id"], _to_update(call.body))
        return json_answer({**_api_key(changed), "success": True})

    async def revoke(self, call: Call) -> Answer:
        """Revoke."""
        await self._service.revoke(call.caller, call.path["id"])
        return json_answer({"success": True})


def api_key_routes(service: ApiKeys) -> list[Route]:
    """Every route of API keys, over one service."""
    handlers = ApiKeyHandlers(service)
    return [*_reading(handlers), *_writing(handlers)]


def _reading(handlers: ApiKeyHandlers) -> list[Route]:
    view = partial(Route, "GET", access=Access.ORGANIZATION, permission=Permission.VIEW)
    what = "List the organization's API keys, newest first"
    return [
        view(_ALL, handlers.list_all, Operation("getApiApi-keys", what, {200: ApiKeysAnswer}, _TAG, query=PageQuery)),
        view(_ONE, handlers.get, Operation("getApiApi-keysById", "Get one API key, without its token", {200: ApiKeyShape}, _TAG)),
    ]


def _writing(handlers: ApiKeyHandlers) -> list[Route]:
    change = partial(Route, access=Access.ORGANIZATION, authorize=admin_only)
    revoked = "Revoke an API key: it stops at once. Needs ADMIN on the organization"
    return [
        change(
            "POST",
            _ALL,
            handlers.create,
            Operation("postApiApi-keys", "Create an API key. Needs ADMIN on the organization", {201: CreatedApiKeyAnswer}, _TAG),
            body=ApiKeyBody,
            problems=problems,
        ),
        change(
            "PATCH",
            _ONE,
            handlers.update,
            Operation("patchApiApi-keysById", "Change an API key. Needs ADMIN on the organization", {200: UpdatedApiKeyShape}, _TAG),
            body=ApiKeyUpdateBody,
            problems=_scope_problems,
        ),
        change("DELETE", _ONE, handlers.revoke, Operation("deleteApiApi-keysById", revoked, {200: SuccessAnswer}, _TAG)),
    ]


def problems(body: ApiKeyBody) -> list[FieldProblem]:
    """What the schema of a new key cannot say."""
    restricted = body.permissionMode is PermissionMode.RESTRICTED
    found = _scope_problems(body)
    if restricted and body.permissions is MISSING:
        found.append(("permissions", "missing", "permissionMode restricted needs the permissions that the key may use"))
    if not restricted and body.permissions is not MISSING:
        found.append(("permissions", "not_allowed", "belong to permissionMode restricted"))
    return found


def _scope_problems(body: ApiKeyBody | ApiKeyUpdateBody) -> list[FieldProblem]:
    both = body.bindings is not MISSING and body.projectIds is not MISSING
    return [("(root)", "ambiguous", "give either bindings or projectIds")] if both else []


def to_request(body: ApiKeyBody) -> ApiKeyRequest:
    """What the body says, in the service's words."""
    return ApiKeyRequest(
        name=body.name,
        description="" if body.description is MISSING else body.description,
        permission_mode=PermissionMode.ALL if body.permissionMode is MISSING else body.permissionMode,
        permissions=_to_permissions(body) or frozenset(),
        bindings=_to_bindings(body),
        expires_at=None if body.expiresAt is MISSING else body.expiresAt,
    )


def _to_update(body: ApiKeyUpdateBody) -> ApiKeyUpdate:
    return ApiKeyUpdate(
        name=None if body.name is MISSING else body.name,
        description=None if body.description is MISSING else body.description or "",
        permission_mode=None if body.permissionMode is MISSING else body.permissionMode,
        permissions=_to_permissions(body),
        bindings=_to_bindings(body),
        expires_at=ABSENT if body.expiresAt is MISSING else body.expiresAt,
    )


def _to_permissions(body: ApiKeyBody | ApiKeyUpdateBody) -> frozenset[Permission] | None:
    return None if body.permissions is MISSING else frozenset(body.permissions)


def _to_bindings(body: ApiKeyBody | ApiKeyUpdateBody) -> tuple[RoleBinding, ...] | None:
    if body.projectIds is not MISSING:
        return tuple(RoleBinding(Role.ADMIN, ScopeType.PROJECT, project_id) for project_id in body.projectIds)
    if body.bindings is not MISSING:
        return tuple(RoleBinding(bound.role, bound.scopeType, bound.scopeId) for bound in body.bindings)
    return None


def _new_api_key(api_key: ApiKey) -> dict[str, object]:
    return {"id": api_key.id, "name": api_key.name, "createdAt": iso(api_key.created_at)}


def _api_key(api_key: ApiKey) -> dict[str, object]:
    bindings = [{"role": bound.role, "scopeType": bound.scope_type, "scopeId": bound.scope_id} for bound in api_key.bindings]
    restricted = api_key.permission_mode is PermissionMode.RESTRICTED
    return {
        **_new_api_key(api_key),
        "description": api_key.description or None,
        "keyType": "service",
        "permissionMode": api_key.permission_mode,
        "permissions": sorted(api_key.permissions or ()) if restricted else [],
        "expiresAt": None if api_key.expires_at is None else iso(api_key.expires_at),
        "revokedAt": None if api_key.revoked_at is None else iso(api_key.revoked_at),
        "lastUsedAt": None if api_key.last_used_at is None else iso(api_key.last_used_at),
        "bindings": bindings,
        "roleBindings": bindings,
    }
