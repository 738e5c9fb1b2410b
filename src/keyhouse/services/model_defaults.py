"""The use cases of model defaults: which model a project takes where none is named, where that is said, and which of them end soon."""

import datetime

import msgspec

from keyhouse.catalog.catalog import Catalog
from keyhouse.domain.tenancy import Project
from keyhouse.storage.database import Database
from keyhouse.storage.opening import Storage
from keyhouse.storage.project_records import DefaultOf, get_project_and_organization, list_projects_with_default
from keyhouse.storage.projects import project_gone


class ProjectDefaults(msgspec.Struct, frozen=True):
    """A project, with its default model, and its organization's name."""

    project: Project
    organization_name: str


class RetiringDefault(msgspec.Struct, frozen=True):
    """A project whose default model ends on a day, or has ended."""

    of: DefaultOf
    retires_on: datetime.date


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


async def retiring_defaults(database: Database, catalog: Catalog, by: datetime.date) -> tuple[RetiringDefault, ...]:
    """The default models of all projects that their providers end on this day or have ended before it, the earliest first."""
    retiring = catalog.retiring(by)
    found = await database.read(lambda tx: list_projects_with_default(tx, list(retiring))) if retiring else []
    return tuple(sorted((RetiringDefault(one, retiring[one.model]) for one in found), key=lambda one: one.retires_on))
