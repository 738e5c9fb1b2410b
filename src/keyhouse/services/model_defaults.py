"""The use case of model defaults: which model a project takes where none is named, and where that is said."""

from dataclasses import dataclass

from keyhouse.domain.tenancy import Project
from keyhouse.storage.opening import Storage
from keyhouse.storage.project_records import get_project
from keyhouse.storage.projects import ProjectScope, get_project_scope
from keyhouse.storage.statements import Transaction


@dataclass(frozen=True, slots=True)
class ProjectDefaults:
    """Where a project lies, and the project with its default model."""

    scope: ProjectScope
    project: Project | None


class ModelDefaults:
    """See the module. A project says its own default, with the `defaultModel` of a provider; nobody else says one for it."""

    def __init__(self, storage: Storage) -> None:
        self._storage = storage

    async def get(self, project_id: str) -> ProjectDefaults:
        """The defaults of a project whose caller's rights were checked. Raises Error `invalid_credentials` where it is gone."""

        def work(tx: Transaction) -> ProjectDefaults:
            scope = get_project_scope(tx, project_id)
            record = get_project(tx, scope.organization_id, project_id)
            return ProjectDefaults(scope, record.project if record else None)

        return await self._storage.database.read(work)
