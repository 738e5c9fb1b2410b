"""What the gateway needs of a project, opened and kept in memory until a change notice names the project. Writes nothing."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from keyhouse.catalog.catalog import Catalog
from keyhouse.domain.model import CustomModel
from keyhouse.domain.model_provider import ModelProvider
from keyhouse.domain.provider_spec import ProviderSpec
from keyhouse.services.kept import Kept, KeptByProject
from keyhouse.storage.database import OnChanges
from keyhouse.storage.model_providers import list_stored
from keyhouse.storage.opening import Storage
from keyhouse.storage.projects import get_project_head
from keyhouse.storage.statements import Transaction

_REMEMBERED_PROJECTS = 4096
_REMEMBERED_TARGETS = 512


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class OpenedProvider:
    """A provider of a project, with its credentials. `models` are those that the project declares, by id: one of each mode."""

    spec: ProviderSpec
    stored: ModelProvider
    models: Mapping[str, tuple[CustomModel, ...]]

    def __repr__(self) -> str:
        return "***"


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class OpenedProject:
    """A project as the gateway sees it. `providers` are the enabled ones that can be called, by id, in registry order.

    `disabled` are the ids of those that are stored and not enabled. `targets` is whatever was made of all this, and goes with it.
    """

    id: str
    revision: int
    default_model: str | None
    providers: Mapping[str, OpenedProvider]
    disabled: frozenset[str]
    targets: Kept[Any, Any] = field(default_factory=lambda: Kept(_REMEMBERED_TARGETS))

    def __repr__(self) -> str:
        return f"OpenedProject({self.id!r})"


class OpenedProjects:
    """Projects by id."""

    def __init__(self, storage: Storage, catalog: Catalog) -> None:
        self._storage = storage
        self._catalog = catalog
        self._kept: KeptByProject[OpenedProject] = KeptByProject(_REMEMBERED_PROJECTS, lambda: storage.box.generation)
        self.remembered: Callable[[str], OpenedProject | None] = self._kept.get
        """A project that is in memory."""
        self.changes = self._kept.changes
        """Of what `remembered` finds."""
        self.forget: OnChanges = self._kept.forget
        """Drops what notices name."""

    async def get(self, project_id: str) -> OpenedProject:
        """A project, from memory where it is there. Raises Error `storage_unavailable`, or `invalid_credentials` where it is gone."""
        kept = self._kept.get(project_id)
        if kept is None:
            kept = await self._kept.keep(project_id, self._storage.database.read(lambda tx: self._open(tx, project_id)))
        return kept

    def _open(self, tx: Transaction, project_id: str) -> OpenedProject:
        head = get_project_head(tx, project_id)
        stored = {provider: row.provider for provider, row in list_stored(tx, self._storage.box, project_id).items()}
        callable_specs = [spec for spec in self._catalog.providers.values() if spec.calling is not None and spec.kind == "llm"]
        enabled = [spec for spec in callable_specs if spec.id in stored and stored[spec.id].enabled]
        return OpenedProject(
            id=head.id,
            revision=head.revision,
            default_model=head.default_model,
            providers={spec.id: opened_provider(spec, stored[spec.id]) for spec in enabled},
            disabled=frozenset(spec.id for spec in callable_specs if spec.id in stored and not stored[spec.id].enabled),
        )


def opened_provider(spec: ProviderSpec, stored: ModelProvider) -> OpenedProvider:
    """A stored provider, enabled or not, with its models by id."""
    models: dict[str, tuple[CustomModel, ...]] = {}
    for model in (*stored.custom_models, *stored.custom_embeddings_models):
        models[model.model_id] = (*models.get(model.model_id, ()), model)
    return OpenedProvider(spec, stored, models)
