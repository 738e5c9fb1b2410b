"""The route of model defaults: a project's own view of which model is taken where none is named."""

from typing import Literal

from pydantic import BaseModel

from keyhouse.domain.tenancy import Permission, Project, ScopeType
from keyhouse.services.model_defaults import ModelDefaults, ProjectDefaults
from keyhouse.web.control.answers import iso
from keyhouse.web.control.routing import Answer, Call, Operation, Route, json_answer


class DefaultsScopeShape(BaseModel):
    """Where the project lies."""

    projectId: str
    teamId: str
    organizationId: str
    organizationName: str


class EffectiveShape(BaseModel):
    """A model that is taken, and the id of what says so."""

    model: str
    source: Literal["project"]
    scope: str


class EffectiveDefaultsShape(BaseModel):
    """The model for each use; null where nobody named one."""

    DEFAULT: EffectiveShape | None
    FAST: EffectiveShape | None
    EMBEDDINGS: EffectiveShape | None


class NamedScopeShape(BaseModel):
    """A scope by its name."""

    type: ScopeType
    id: str
    name: str


class DefaultsConfigShape(BaseModel):
    """What one scope says. Its times are the project's."""

    id: str
    config: dict[str, str]
    scopes: list[NamedScopeShape]
    createdAt: str
    updatedAt: str


class ModelDefaultsAnswer(BaseModel):
    """The defaults of a project."""

    scope: DefaultsScopeShape
    effective: EffectiveDefaultsShape
    configs: list[DefaultsConfigShape]


def model_default_routes(service: ModelDefaults) -> list[Route]:
    """The route of model defaults, over its service."""

    async def get(call: Call) -> Answer:
        return json_answer(_defaults(await service.get(call.project_id)))

    operation = Operation(
        "getApiModel-defaults", "Get the models that the project takes where none is named", {200: ModelDefaultsAnswer}, "Model providers"
    )
    return [Route("GET", "/api/model-defaults", get, operation, permission=Permission.VIEW)]


def _defaults(found: ProjectDefaults) -> dict[str, object]:
    project, model = found.project, found.project.default_model
    effective = {"model": model, "source": "project", "scope": project.id} if model else None
    return {
        "scope": {
            "projectId": project.id,
            "teamId": project.team_id,
            "organizationId": project.organization_id,
            "organizationName": found.organization_name,
        },
        "effective": {"DEFAULT": effective, "FAST": None, "EMBEDDINGS": None},
        "configs": [_config(project)] if model else [],
    }


def _config(project: Project) -> dict[str, object]:
    return {
        "id": project.id,
        "config": {"DEFAULT": project.default_model},
        "scopes": [{"type": ScopeType.PROJECT, "id": project.id, "name": project.name}],
        "createdAt": iso(project.created_at),
        "updatedAt": iso(project.updated_at),
    }
