"""Storages to test with, opened as a server or a command opens them."""

import asyncio
import functools
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TypeVar

from keyhouse.app import opened_storage as opened
from keyhouse.catalog.catalog import Catalog, load_catalog
from keyhouse.domain.model_provider import ModelProviderUpdate
from keyhouse.domain.tenancy import Actor, Caller, Permission
from keyhouse.services.first_start import furnish
from keyhouse.services.model_providers import ModelProviders
from keyhouse.settings import Settings
from keyhouse.storage.opening import Storage
from keyhouse.storage.sealed_values import BEFORE_ALL, SealedValue, list_sealed
from keyhouse.storage.statements import Statement, Transaction
from keyhouse.web.control.schemas import EntryEncoder

T = TypeVar("T")
_PROJECTS = Statement("SELECT id, organization_id FROM projects ORDER BY created_at")


def settings_of(folder: Path, database_url: str, **options: object) -> Settings:
    return Settings(data_dir=folder, database_url=database_url, **options)  # type: ignore[arg-type]


def run_on(settings: Settings, work: Callable[[Storage], Awaitable[T]]) -> T:
    """Open a storage, run `work` on it, and close it again."""

    async def main() -> T:
        async with opened(settings) as storage:
            return await work(storage)

    return asyncio.run(main())


async def project_caller(storage: Storage) -> Caller:
    """A caller with every right on the project of the first start, which is made if it is not there."""
    await furnish(storage)
    project_id, organization_id = await storage.database.read(_first_project)
    return Caller(Actor("test", "a test"), organization_id, project_id, frozenset(Permission))


def _first_project(tx: Transaction) -> tuple[str, str]:
    project_id, organization_id = tx.rows(_PROJECTS)[0]
    return project_id, organization_id


@functools.cache
def catalog_and_encoder() -> tuple[Catalog, EntryEncoder]:
    catalog = load_catalog(None)
    return catalog, EntryEncoder(catalog)


def providers_of(storage: Storage, other: Catalog | None = None) -> ModelProviders:
    """The use cases of providers, by another catalogue than the bundled one where one is given."""
    catalog, encoder = catalog_and_encoder() if other is None else (other, EntryEncoder(other))
    return ModelProviders(storage, catalog, encoder.encode_all, encoder.encode_one, keep_secrets=False)


def openai_key(secret: str) -> ModelProviderUpdate:
    return ModelProviderUpdate(enabled=True, custom_keys={"OPENAI_API_KEY": secret})


async def store_secrets(storage: Storage, *secrets: str) -> None:
    """Store each as OpenAI's key, one after the other: the last one is in force, the others lie in the history."""
    caller, providers = await project_caller(storage), providers_of(storage)
    for secret in secrets:
        await providers.upsert(caller, "openai", openai_key(secret), None)


async def sealed_values(storage: Storage) -> list[SealedValue]:
    return list(await storage.database.read(lambda tx: list_sealed(tx, BEFORE_ALL, 100_000)))
