"""The use case of model defaults: which model a project takes where none is named, and where that is said."""

import msgspec

from keyhouse.domain.tenancy import Project
from keyhouse.storage.opening import Storage
from keyhouse.storage.project_records import get_project_and_organization
from keyhouse.storage.projects import project_gone


class ProjectDefaults(msgspec.Struct, frozen=True):
    """A project, with its default model, and its organization's name."""

    project: Project
    organization_name: str


class ModelDefaults:
    """See the module. A project says its own default, with the `defaultModel` of a provider; nobody else says one for it."""

    def __init__(self, storage: Storage) -> None:
        self._storage = storage

    async def get(self, project_id: str) -> ProjectDefaults:
        """The defaults of a project whose caller's rights were checked. Raises Error `invalid_credentials` where it is gone."""
        found = await self._storage.database.read(lambda tx: get_project_and_organization(tx, project_id))
        if found is None:
            raise project_gone()
        return ProjectDefaults(*found)

    async def project(self, project_id: str) -> Project:
        """The project alone."""
        return (await self.get(project_id)).project
