"""The last test of a provider as it is kept, on both databases."""

import asyncio
from pathlib import Path

import pytest

from keyhouse.domain.headers import ExtraHeader
from keyhouse.domain.model import CustomModel
from keyhouse.domain.model_provider import ModelProviderUpdate
from keyhouse.domain.tenancy import Actor
from keyhouse.domain.verdict import ConnectionResult, LastTest, Verdict
from keyhouse.storage.connection_tests import list_tests, put_test
from keyhouse.storage.model_providers import StoredProvider, list_stored
from keyhouse.storage.opening import Storage
from tests.conftest import PostgresServer
from tests.storage.held_writes import Held, waits_for_a_lock
from tests.storage.houses import openai_key, project_caller, providers_of, run_on, settings_of

SOMEBODY = Actor("key_1", "Somebody")
REFUSED = ConnectionResult(Verdict.KEY_REFUSED, "The provider refused the stored credentials.", 401)
UNREACHABLE = ConnectionResult(Verdict.UNREACHABLE, "Nobody answers.")


async def stored(storage: Storage) -> StoredProvider:
    project_id = (await project_caller(storage)).project_id or ""
    return (await storage.database.read(lambda tx: list_stored(tx, storage.box, project_id)))["openai"]


async def keep(storage: Storage, tested: StoredProvider, result: ConnectionResult = REFUSED) -> None:
    await storage.database.write(lambda tx: put_test(tx, tested, result, SOMEBODY))


async def last(storage: Storage) -> LastTest | None:
    project_id = (await project_caller(storage)).project_id or ""
    return (await storage.database.read(lambda tx: list_tests(tx, project_id))).get("openai")


def test_the_last_test_is_kept_and_outlives_the_process(tmp_path: Path, database_url: str) -> None:
    settings = settings_of(tmp_path, database_url)

    async def test_twice(storage: Storage) -> None:
        await providers_of(storage).upsert(await project_caller(storage), "openai", openai_key("sk-1"), None)
        assert await last(storage) is None
        await keep(storage, await stored(storage), UNREACHABLE)
        await keep(storage, await stored(storage))

    run_on(settings, test_twice)
    found = run_on(settings, last)
    assert found is not None
    assert (found.result, found.actor, found.is_current) == (REFUSED, SOMEBODY, True)


def test_a_changed_credential_makes_it_old_and_the_way_back_makes_it_current(tmp_path: Path, database_url: str) -> None:
    async def currents(storage: Storage) -> list[bool]:
        caller, providers = await project_caller(storage), providers_of(storage)
        await providers.upsert(caller, "openai", openai_key("sk-1"), None)
        await keep(storage, await stored(storage))
        found = []
        for update in (
            ModelProviderUpdate(enabled=False),
            openai_key("sk-2"),
            None,
            ModelProviderUpdate(enabled=True, custom_models=()),
        ):
            if update is None:
                await providers.roll_back(caller, "openai", 1, None)
            else:
                await providers.upsert(caller, "openai", update, None)
            test = await last(storage)
            assert test is not None
            found.append(test.is_current)
        return found

    assert run_on(settings_of(tmp_path, database_url), currents) == [True, False, True, True]


@pytest.mark.parametrize(
    "changed",
    [
        ModelProviderUpdate(enabled=True, custom_models=(CustomModel("m", "M", "chat"),)),
        ModelProviderUpdate(enabled=True, custom_embeddings_models=(CustomModel("e", "E", "embedding"),)),
        ModelProviderUpdate(enabled=True, extra_headers=(ExtraHeader("X-Team", "blue"),)),
    ],
    ids=["models", "embeddings models", "headers"],
)
def test_whatever_else_it_depends_on_makes_it_old_too(tmp_path: Path, database_url: str, changed: ModelProviderUpdate) -> None:
    async def is_current(storage: Storage) -> bool:
        caller, providers = await project_caller(storage), providers_of(storage)
        await providers.upsert(caller, "openai", openai_key("sk-1"), None)
        await keep(storage, await stored(storage))
        await providers.upsert(caller, "openai", changed, None)
        test = await last(storage)
        assert test is not None
        return test.is_current

    assert not run_on(settings_of(tmp_path, database_url), is_current)


def test_it_goes_with_its_provider_and_a_new_one_has_none(tmp_path: Path, database_url: str) -> None:
    async def work(storage: Storage) -> list[LastTest | None]:
        caller, providers = await project_caller(storage), providers_of(storage)
        await providers.upsert(caller, "openai", openai_key("sk-1"), None)
        before = await stored(storage)
        await keep(storage, before)
        await providers.delete(caller, "openai", None)
        # A test that was under way when its provider was deleted.
        await keep(storage, before)
        gone = await last(storage)
        await providers.upsert(caller, "openai", openai_key("sk-1"), None)
        return [gone, await last(storage)]

    assert run_on(settings_of(tmp_path, database_url), work) == [None, None]


def test_a_provider_is_deleted_while_its_first_test_is_being_kept(tmp_path: Path, postgres_server: PostgresServer) -> None:
    settings = settings_of(tmp_path, postgres_server.new_database())

    async def work(storage: Storage) -> LastTest | None:
        caller, providers = await project_caller(storage), providers_of(storage)
        await providers.upsert(caller, "openai", openai_key("sk-1"), None)
        tested, held = await stored(storage), Held()
        keeping = asyncio.create_task(storage.database.write(lambda tx: (put_test(tx, tested, REFUSED, SOMEBODY), held.wait(tx))))
        await held.done.wait()
        deleting = asyncio.create_task(providers.delete(caller, "openai", None))
        await waits_for_a_lock(settings)
        held.let_go()
        await asyncio.gather(keeping, deleting)
        return await last(storage)

    assert run_on(settings, work) is None
