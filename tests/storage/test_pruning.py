"""What is old is forgotten: nothing of what is in force, no secret that a kept state shares, and every secret that none has any more."""

import asyncio
import json
from dataclasses import replace
from pathlib import Path

import pytest

from keyhouse.domain.errors import Code, Error
from keyhouse.domain.headers import ExtraHeader
from keyhouse.domain.model_provider import ModelProviderUpdate
from keyhouse.domain.paging import Paging
from keyhouse.domain.tenancy import Caller, Role, RoleBinding, ScopeType
from keyhouse.services.databases import Pruned, prune
from keyhouse.services.encryption_keys import status
from keyhouse.services.model_providers import ModelProviders
from keyhouse.services.projects import ProjectRequest, Projects
from keyhouse.settings import Settings
from keyhouse.storage.history import list_audit
from keyhouse.storage.opening import Storage
from keyhouse.storage.pruning import forget_states
from keyhouse.storage.statements import Statement
from tests.conftest import PostgresServer
from tests.storage.filled_houses import plaintexts
from tests.storage.held_writes import Held, waits_for_a_lock
from tests.storage.houses import openai_key, project_caller, providers_of, run_on, sealed_values, settings_of

_AGE = Statement("UPDATE model_provider_history SET at = 1 WHERE version <= :version")
_OLDEST = Statement(
    "SELECT blob FROM sealed_values JOIN model_provider_history ON sealed_values.id = credentials_id ORDER BY version LIMIT 1"
)
_AGE_RECORDS = Statement("UPDATE audit_log SET at = 1")
PROVIDER = "openai"


@pytest.fixture
def settings(tmp_path: Path, database_url: str) -> Settings:
    return settings_of(tmp_path, database_url)


async def written(storage: Storage, *secrets: str) -> tuple[Caller, ModelProviders]:
    caller, providers = await project_caller(storage), providers_of(storage)
    for secret in secrets:
        await providers.upsert(caller, PROVIDER, openai_key(secret), None)
    return caller, providers


async def age(storage: Storage, version: int) -> None:
    await storage.database.write(lambda tx: tx.run(_AGE, version=version))


async def pruned(storage: Storage, **days: int) -> Pruned:
    return [progress async for progress in prune(storage, **days)][-1]


async def openai_secrets(storage: Storage) -> set[str]:
    return {json.loads(value)["OPENAI_API_KEY"] for value in await plaintexts(storage) if value.startswith(b'{"OPENAI')}


async def versions(providers: ModelProviders, caller: Caller) -> list[int]:
    entries, _ = await providers.history(caller.project_id or "", PROVIDER, Paging(1, 100))
    return [entry.version for entry in entries]


def test_old_states_go_with_their_secrets_and_the_one_in_force_stays(settings: Settings) -> None:
    async def main(storage: Storage) -> None:
        caller, providers = await written(storage, "sk-1", "sk-2", "sk-3", "sk-4")
        await age(storage, 3)
        assert await pruned(storage, history_days=30) == Pruned(states=2, values=2)
        assert await versions(providers, caller) == [4, 3]
        assert await openai_secrets(storage) == {"sk-3", "sk-4"}
        await age(storage, 4)
        assert await pruned(storage, history_days=30) == Pruned(states=1, values=1)
        assert await versions(providers, caller) == [4]
        assert await openai_secrets(storage) == {"sk-4"}
        assert await pruned(storage, history_days=30) == Pruned()
        assert (await status(storage.database, storage.keys)).unreadable == 0
        with pytest.raises(Error) as refused:
            await providers.roll_back(caller, PROVIDER, 2, None)
        assert refused.value.code is Code.VERSION_NOT_FOUND
        await providers.upsert(caller, PROVIDER, openai_key("sk-5"), None)
        assert await versions(providers, caller) == [5, 4]

    run_on(settings, main)


def test_what_was_changed_lately_can_be_rolled_back_however_old_the_state_before_it_is(settings: Settings) -> None:
    async def main(storage: Storage) -> None:
        caller, providers = await written(storage, "sk-good", "sk-mistaken")
        await age(storage, 1)
        assert await pruned(storage, history_days=30) == Pruned()
        await providers.roll_back(caller, PROVIDER, 1, None)
        assert await openai_secrets(storage) >= {"sk-good"}

    run_on(settings, main)


def test_so_many_days_may_be_more_than_time_has(settings: Settings) -> None:
    async def main(storage: Storage) -> None:
        await written(storage, "sk-1", "sk-2")
        assert await pruned(storage, history_days=10**15, audit_days=10**15) == Pruned()

    run_on(settings, main)


def test_nobody_brings_a_state_back_that_is_just_being_forgotten(tmp_path: Path, postgres_server: PostgresServer) -> None:
    """On SQLite there is one write at a time."""
    settings = settings_of(tmp_path, postgres_server.new_database())

    async def main(storage: Storage) -> None:
        caller, providers = await written(storage, "sk-1", "sk-2", "sk-3")
        await age(storage, 3)
        held = Held()
        forgetting = asyncio.create_task(storage.database.write(lambda tx: (forget_states(tx, caller.project_id or "", 2), held.wait(tx))))
        await held.done.wait()
        bringing_back = asyncio.create_task(providers.roll_back(caller, PROVIDER, 1, None))
        await waits_for_a_lock(settings)
        held.let_go()
        await forgetting
        with pytest.raises(Error) as refused:
            await bringing_back
        assert refused.value.code is Code.VERSION_NOT_FOUND

    run_on(settings, main)


def test_a_secret_that_a_kept_state_shares_stays(settings: Settings) -> None:
    async def main(storage: Storage) -> None:
        caller, providers = await written(storage, "sk-1", "sk-2")
        await providers.roll_back(caller, PROVIDER, 1, None)
        await providers.upsert(caller, PROVIDER, ModelProviderUpdate(enabled=False), None)
        await age(storage, 4)
        assert await pruned(storage, history_days=30) == Pruned(states=3, values=1)
        assert await openai_secrets(storage) == {"sk-1"}
        again = providers_of(storage)
        assert b'"OPENAI_API_KEY"' in (await again.list(caller.project_id or "")).body

    run_on(settings, main)


def test_headers_go_with_the_last_state_that_has_them(settings: Settings) -> None:
    async def main(storage: Storage) -> None:
        caller, providers = await written(storage, "sk-1")
        with_headers = ModelProviderUpdate(enabled=True, extra_headers=(ExtraHeader("X-Team", "planted"),))
        without = ModelProviderUpdate(enabled=True, extra_headers=())
        for update in (with_headers, openai_key("sk-2"), without):
            await providers.upsert(caller, PROVIDER, update, None)
        await age(storage, 3)
        assert await pruned(storage, history_days=30) == Pruned(states=2, values=1)
        assert any(b"planted" in text for text in await plaintexts(storage))
        await age(storage, 4)
        assert await pruned(storage, history_days=30) == Pruned(states=1, values=1)
        assert not any(b"planted" in text for text in await plaintexts(storage))
        assert await openai_secrets(storage) == {"sk-2"}

    run_on(settings, main)


async def other_project(storage: Storage, caller: Caller) -> Caller:
    admin = replace(caller, bindings=(RoleBinding(Role.ADMIN, ScopeType.ORGANIZATION, caller.organization_id),))
    made = await Projects(storage).create(admin, ProjectRequest("Other", "python", "none", new_team_name="Others"))
    return replace(caller, project_id=made.project.id)


def test_each_provider_of_each_project_keeps_the_state_it_has(settings: Settings) -> None:
    async def main(storage: Storage) -> None:
        caller, providers = await written(storage, "sk-1", "sk-2", "sk-3")
        await providers.upsert(await other_project(storage, caller), PROVIDER, openai_key("sk-other"), None)
        await providers.upsert(caller, "groq", ModelProviderUpdate(enabled=True, custom_keys={"GROQ_API_KEY": "gsk-1"}), None)
        await age(storage, 3)
        assert await pruned(storage, history_days=30) == Pruned(states=2, values=2)
        assert await openai_secrets(storage) == {"sk-3", "sk-other"}

    run_on(settings, main)


def test_what_one_project_forgets_takes_nothing_of_another(settings: Settings) -> None:
    async def main(storage: Storage) -> None:
        caller, providers = await written(storage, "sk-1", "sk-2", "sk-3")
        other = await other_project(storage, caller)
        for secret in ("sk-other-1", "sk-other-2", "sk-other-3"):
            await providers.upsert(other, PROVIDER, openai_key(secret), None)
        await age(storage, 2)
        assert await pruned(storage, history_days=30) == Pruned(states=2, values=2)
        assert await openai_secrets(storage) == {"sk-2", "sk-3", "sk-other-2", "sk-other-3"}

    run_on(settings, main)


def test_no_file_of_sqlite_holds_what_was_forgotten(tmp_path: Path) -> None:
    async def main(storage: Storage) -> None:
        await written(storage, "sk-1", "sk-2")
        (oldest,) = (await storage.database.read(lambda tx: tx.rows(_OLDEST)))[0]
        held = [path for path in tmp_path.glob("keyhouse.db*") if oldest in path.read_bytes()]
        await age(storage, 2)
        assert await pruned(storage, history_days=30) == Pruned(states=1, values=1)
        assert held
        assert [path.name for path in tmp_path.glob("keyhouse.db*") if oldest in path.read_bytes()] == []

    run_on(settings_of(tmp_path, f"sqlite:///{tmp_path / 'keyhouse.db'}"), main)


def test_after_a_deletion_versions_go_on_counting(settings: Settings) -> None:
    async def main(storage: Storage) -> None:
        caller, providers = await written(storage, "sk-1", "sk-2")
        await providers.delete(caller, PROVIDER, None)
        await age(storage, 3)
        assert await pruned(storage, history_days=30) == Pruned(states=2)
        await providers.upsert(caller, PROVIDER, openai_key("sk-3"), None)
        assert await versions(providers, caller) == [4, 3]

    run_on(settings, main)


def test_what_a_change_made_of_a_forgotten_state_is_not_made_up(settings: Settings) -> None:
    async def main(storage: Storage) -> None:
        caller, providers = await written(storage, "sk-1")
        for address in ("https://one.example.com/v1", "https://two.example.com/v1"):
            keys = {"OPENAI_API_KEY": "sk-1", "OPENAI_BASE_URL": address}
            await providers.upsert(caller, PROVIDER, ModelProviderUpdate(enabled=True, custom_keys=keys), None)
        project_id = caller.project_id or ""
        entries, _ = await providers.history(project_id, PROVIDER, Paging(1, 10))
        assert [any(found) for found in await providers.differences(project_id, PROVIDER, entries)] == [True, True, True]
        await age(storage, 3)
        await pruned(storage, history_days=30)
        entries, _ = await providers.history(project_id, PROVIDER, Paging(1, 10))
        assert [any(found) for found in await providers.differences(project_id, PROVIDER, entries)] == [False]

    run_on(settings, main)


def test_old_records_of_the_audit_log_go_and_numbers_go_on(settings: Settings) -> None:
    async def main(storage: Storage) -> None:
        caller, _ = await written(storage, *(f"sk-{number}" for number in range(5)))
        before, _ = await storage.database.read(lambda tx: list_audit(tx, caller.organization_id, Paging(1, 1)))
        await storage.database.write(lambda tx: tx.run(_AGE_RECORDS))
        assert (await pruned(storage, audit_days=30)).records >= 5
        after, total = await storage.database.read(lambda tx: list_audit(tx, caller.organization_id, Paging(1, 10)))
        assert [(record.action, record.target) for record in after] == [("audit_log.pruned", "older than 30 days")]
        assert total == 1
        assert after[0].id > before[0].id

    run_on(settings, main)


def test_a_deletion_destroys_all_that_a_row_ever_sealed_and_nothing_else(settings: Settings) -> None:
    async def main(storage: Storage) -> None:
        caller, providers = await project_caller(storage), providers_of(storage)
        headers = tuple((ExtraHeader("X-Team", value),) for value in ("a", "b"))
        await providers.upsert(caller, "groq", ModelProviderUpdate(True, {"GROQ_API_KEY": "sk-groq"}, extra_headers=headers[0]), None)
        others = {value.context for value in await sealed_values(storage)}
        for round_of in range(2):
            for number, sent in enumerate(headers):
                key = {"OPENAI_API_KEY": f"sk-{round_of}-{number}"}
                await providers.upsert(caller, "openai", ModelProviderUpdate(True, key, extra_headers=sent), None)
            await providers.roll_back(caller, "openai", 4 * round_of + 1, None)
            assert len(await sealed_values(storage)) == len(others) + 4
            await providers.delete(caller, "openai", None)
            assert {value.context for value in await sealed_values(storage)} == others

    run_on(settings, main)
