"""The use cases of models: what a call of one needs, which there are, and why a name means what it means. From memory once warm."""

import datetime
from collections.abc import Sequence
from typing import get_args

import msgspec

from keyhouse.catalog.catalog import Catalog
from keyhouse.domain.calling import EndpointName
from keyhouse.domain.errors import Error
from keyhouse.domain.target import Target
from keyhouse.services.opened_projects import OpenedProject, OpenedProjects, OpenedProvider
from keyhouse.services.resolution import Choice, choose, endpoints_of, has_endpoint, model_names, route_of
from keyhouse.services.targets import target_of
from keyhouse.storage.database import ChangeNotice

_LONGEST_REMEMBERED_NAME = 256


class Explanation(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a name means. `endpoints` are those that the provider has for the model, `retires_on` the day on which it ends it, if known."""

    provider: str
    model_id: str
    rule: str
    reason: str
    others: tuple[str, ...]
    endpoints: tuple[str, ...]
    retires_on: datetime.date | None = None


class ListedModel(msgspec.Struct, frozen=True):
    """A model as a list shows it: `id` is `provider/model`. Limits are in tokens, None where they are not known."""

    id: str
    provider: str
    display_name: str
    max_input_tokens: int | None = None
    max_output_tokens: int | None = None


class ChatModel(msgspec.Struct, frozen=True):
    """A model that can be talked to: `id` is `provider/model`. `is_own`: the project declares it; `retires_on` where its end is known."""

    id: str
    provider: str
    model_id: str
    display_name: str
    is_own: bool
    retires_on: datetime.date | None = None


class Models:
    """The models of projects. Its callers were admitted."""

    def __init__(self, projects: OpenedProjects, catalog: Catalog) -> None:
        self._projects = projects
        self._catalog = catalog
        self.changes = projects.changes
        """Of the projects whose targets `remembered_target` finds."""

    def remembered_target(self, project_id: str, endpoint: EndpointName, model: str | None, voice: str = "") -> Target | None:
        """The same as `target`, where it was asked for before and nothing has changed; None where it has to be made."""
        project = self._projects.remembered(project_id)
        return None if project is None else project.targets.get((endpoint, model, voice))

    async def target(self, project_id: str, endpoint: EndpointName, model: str | None, voice: str = "") -> Target:
        """What a call of this model on this endpoint needs.

        Raises Error `missing_model`, `model_not_found`; `unsupported_endpoint`, `provider_incomplete` and `credentials_unreadable`, whose
        details hold what was `chosen`, provider and model;
        `storage_unavailable` for a project that is not in memory while the database is away.
        """
        project = await self._projects.get(project_id)
        key = (endpoint, model, voice)
        target: Target | None = project.targets.get(key)
        if target is None:
            choice = choose(project, self._catalog, model, endpoint)
            try:
                target = target_of(choice, project, self._catalog, endpoint, voice)
            except Error as error:
                error.details = {**error.details, "chosen": (choice.provider.spec.id, choice.model_id)}
                raise
            if len(model or "") + len(voice) <= _LONGEST_REMEMBERED_NAME:
                project.targets.put(key, target)
        return target

    async def list(self, project_id: str) -> Sequence[ListedModel]:
        """Every model of the enabled providers that is declared or known, in a fixed order."""
        project = await self._projects.get(project_id)
        return [self._listed(project, name) for name in model_names(project, self._catalog)]

    async def chat_models(self, project_id: str) -> tuple[Sequence[ChatModel], str | None]:
        """The models of the enabled providers that answer chat, those that the project declares first of each, and its default model."""
        project = await self._projects.get(project_id)
        found = [model for provider in project.providers.values() for model in _chat_models(provider, self._catalog)]
        return found, project.default_model

    async def explain(self, project_id: str, model: str) -> Explanation:
        """What a name means in a project, and why. Raises Error as `target` does."""
        project = await self._projects.get(project_id)
        choice = choose(project, self._catalog, model, "chat")
        provider_id, model_id = choice.provider.spec.id, choice.model_id
        known, endpoints = self._catalog.model(provider_id, model_id), tuple(_endpoints(choice))
        retires_on = known.retires_on if known else None
        return Explanation(provider_id, model_id, choice.rule.value, choice.reason, choice.others, endpoints, retires_on)

    def _listed(self, project: OpenedProject, name: str) -> ListedModel:
        provider_id, _, model_id = name.partition("/")
        declared = project.providers[provider_id].models.get(model_id, ())
        known = self._catalog.model(provider_id, model_id)
        display_name = declared[0].display_name if declared else model_id
        if known is None:
            return ListedModel(name, provider_id, display_name)
        return ListedModel(name, provider_id, display_name, known.context_window, known.max_output_tokens)

    def forget(self, notices: Sequence[ChangeNotice] | None) -> None:
        """Drop what the notices name."""
        self._projects.forget(notices)


def _chat_models(provider: OpenedProvider, catalog: Catalog) -> list[ChatModel]:
    declared = {name: models[0].display_name for name, models in provider.models.items() if any(model.mode == "chat" for model in models)}
    known = [name for name in catalog.models(provider.spec.id, "chat") if name not in provider.models]
    names, ends = {**declared, **dict(zip(known, known, strict=True))}, catalog.ends(provider.spec.id)
    return [
        ChatModel(f"{provider.spec.id}/{name}", provider.spec.id, name, shown, name in declared, ends.get(name))
        for name, shown in names.items()
        if has_endpoint(provider, "chat", name)
    ]


def _endpoints(choice: Choice) -> list[str]:
    route, _ = route_of(choice.provider)
    return [name for name in get_args(EndpointName) if endpoints_of(route, name, choice.model_id)]
