"""A look into the database with the keys of the house: what is stored, opened."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

from keyhouse.app import open_storage
from keyhouse.domain.model_provider import ModelProvider
from keyhouse.domain.paging import Paging
from keyhouse.storage.history import list_history, state_at
from keyhouse.storage.model_providers import list_stored
from keyhouse.storage.opening import Storage
from keyhouse.storage.statements import Transaction
from tests.conftest import ServedHouse


class OpenedDatabase:
    """Another process's view of a house's database, of one project at a time."""

    def __init__(self, storage: Storage, runner: asyncio.Runner, project_id: str) -> None:
        self._storage, self._runner = storage, runner
        self.project_id = project_id

    def provider(self, provider: str) -> ModelProvider:
        """What is stored of a provider, opened."""
        stored = self._runner.run(self._storage.database.read(lambda tx: list_stored(tx, self._storage.box, self.project_id)))
        return stored[provider].provider if provider in stored else ModelProvider(provider)

    def history(self, provider: str) -> list[ModelProvider]:
        """The states that a provider's history keeps, newest first; `version` says which."""

        def work(tx: Transaction) -> list[ModelProvider]:
            entries, _ = list_history(tx, self.project_id, provider, Paging(1, 1000))
            found = ((entry.version, state_at(tx, self._storage.box, self.project_id, provider, entry.version)) for entry in entries)
            return [replace(state[2].provider, version=version) for version, state in found if state is not None]

        return self._runner.run(self._storage.database.read(work))


@contextmanager
def opened_database(house: ServedHouse) -> Iterator[OpenedDatabase]:
    """Open the database of a served house beside it."""
    with asyncio.Runner() as runner:
        storage = runner.run(open_storage(house.settings))
        yield OpenedDatabase(storage, runner, house.keys.project_id)
        runner.run(storage.database.close())
