"""Storages on PostgreSQL whose writes from memory are watched."""

import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import psycopg

from keyhouse.domain.model_provider import ModelProviderUpdate
from keyhouse.domain.tenancy import Actor, Caller, Permission
from keyhouse.services.model_providers import ModelProviders
from keyhouse.settings import Settings
from keyhouse.storage.database import Work
from keyhouse.storage.model_providers import list_stored
from keyhouse.storage.opening import Storage
from keyhouse.storage.postgres import PostgresDatabase
from keyhouse.storage.postgres_drafts import Came, Drafted, Drafts
from keyhouse.storage.project_records import NewProject, put_project
from keyhouse.storage.statements import Statement
from tests.storage.houses import openai_key, opened, project_caller, providers_of

LINES = "FROM pg_stat_activity WHERE datname = current_database() AND query LIKE '%WITH draft AS%' AND pid <> pg_backend_pid()"
_TEAMS = Statement("SELECT id, organization_id FROM teams")


@dataclass
class Watched:
    """One process's storage and providers, and what came of each draft since they were watched."""

    storage: Storage
    providers: ModelProviders
    callers: list[Caller]
    came: list[Came] = field(default_factory=list)

    @property
    def drafts(self) -> Drafts:
        assert isinstance(self.storage.database, PostgresDatabase)
        return self.storage.database._drafts

    async def put(self, number: int, update: ModelProviderUpdate | str) -> None:
        """A PUT to one of the projects, of an OpenAI key where nothing else is said."""
        given = openai_key(update) if isinstance(update, str) else update
        await self.providers.upsert(self.callers[number], "openai", given, None)

    async def warm(self) -> None:
        """Write twice to each project: then all of them are remembered, and there is a connection for drafts."""
        for number in range(len(self.callers)):
            for secret in ("sk-first", "sk-second"):
                await self.put(number, secret)
        await self.drafts.opened()
        self.came.clear()


@contextlib.asynccontextmanager
async def watched(settings: Settings, callers: list[Caller] | None = None, projects: int = 2) -> AsyncIterator[Watched]:
    """A process, of which drafts of writes are noted. It makes so many projects where no callers are given."""
    async with opened(settings) as storage:
        providers = providers_of(storage)
        storage.database.on_changes = providers.forget
        found = Watched(storage, providers, callers if callers is not None else await _callers(storage, projects))
        write = found.drafts.write

        async def watched_write(project_id: str, work: Work[object]) -> Drafted:
            drafted = await write(project_id, work)
            found.came.append(drafted.came)
            return drafted

        found.drafts.write = watched_write  # type: ignore[method-assign]
        yield found


async def _callers(storage: Storage, projects: int) -> list[Caller]:
    await project_caller(storage)
    team_id, organization_id = (await storage.database.read(lambda tx: tx.rows(_TEAMS)))[0]
    callers = []
    for number in range(projects):
        new = NewProject(organization_id, team_id, f"Project {number}", f"project-{number}", "other", "other")
        project, _ = await storage.database.write(lambda tx, new=new: put_project(tx, storage.box, new))  # type: ignore[misc]
        callers.append(Caller(Actor("test", "a test"), organization_id, project.id, frozenset(Permission)))
    return callers


def asked(settings: Settings, query: str, *values: object) -> list[tuple[object, ...]]:
    """What another connection is told."""
    with psycopg.connect(settings.url, autocommit=True) as connection:
        return connection.execute(query.encode(), values or None).fetchall()


def versions(settings: Settings, caller: Caller) -> list[object]:
    """Of a project's history, as they lie there."""
    found = asked(settings, "SELECT version FROM model_provider_history WHERE project_id = %s ORDER BY version", caller.project_id)
    return [row[0] for row in found]


async def secret_of(process: Watched, number: int) -> str:
    """OpenAI's key of a project, read anew and opened."""
    box, project_id = process.storage.box, process.callers[number].project_id or ""
    stored = await process.storage.database.read(lambda tx: list_stored(tx, box, project_id))
    return stored["openai"].provider.credentials.opened()["OPENAI_API_KEY"]
