"""Writes to providers where what is remembered, or what is known of a provider, changed meanwhile."""

from dataclasses import replace
from pathlib import Path

import pytest

from keyhouse.catalog.catalog import Catalog, load_catalog
from keyhouse.catalog.models_file import ModelsFile, Source
from keyhouse.domain.credentials import MASK
from keyhouse.domain.errors import Code, Error
from keyhouse.domain.headers import ExtraHeader
from keyhouse.domain.model import CustomModel
from keyhouse.domain.model_provider import ModelProvider, ModelProviderUpdate
from keyhouse.services.opened_projects import opened_provider
from keyhouse.storage.key_file import write_key_file
from keyhouse.storage.key_ring import KeyRing
from keyhouse.storage.model_providers import list_stored
from keyhouse.storage.opening import Storage
from keyhouse.storage.projects import get_project_head
from tests.storage.houses import openai_key, project_caller, providers_of, run_on, settings_of


def use_another_ring(storage: Storage) -> None:
    other = KeyRing({"other": b"k" * 32}, "a test")
    write_key_file(storage.keys.file, other)
    storage.box.use(other)


def test_a_write_opens_anew_what_was_read_under_another_ring(tmp_path: Path, database_url: str) -> None:
    async def work(storage: Storage) -> None:
        caller, providers = await project_caller(storage), providers_of(storage)
        await providers.upsert(caller, "openai", openai_key("sk-planted"), None)
        right = storage.box.ring
        use_another_ring(storage)
        providers.forget(None)
        for _ in range(2):  # the first time the file is asked, the second time what was read is remembered
            assert MASK.encode() in (await providers.list(caller.project_id or "")).body
        # Its notice is still on the way: what is remembered was read without the key.
        storage.box.use(right)
        kept = ModelProviderUpdate(enabled=True, custom_keys={"OPENAI_API_KEY": MASK, "OPENAI_BASE_URL": "https://llm.example.com/v1"})
        with pytest.raises(Error) as refused:
            await providers.upsert(caller, "openai", kept, None)
        assert refused.value.code is Code.ENDPOINT_CHANGED, "it is known to be readable"

    run_on(settings_of(tmp_path, database_url), work)


def test_what_nobody_can_add_any_more_is_not_brought_back_either(tmp_path: Path, database_url: str) -> None:
    async def work(storage: Storage) -> None:
        caller, providers = await project_caller(storage), providers_of(storage)
        specs = load_catalog().providers.values()
        deprecated = next(spec for spec in specs if spec.deprecated)
        no_models = ModelsFile(Source("models", "1", "MIT"), "2026-11-30", {})
        before = providers_of(storage, Catalog([replace(spec, deprecated=False) for spec in specs], no_models, "before"))
        declared = ModelProviderUpdate(enabled=True, custom_models=(CustomModel("m", "m", "chat"),))
        await before.upsert(caller, deprecated.id, declared, None)
        await before.delete(caller, deprecated.id, None)
        with pytest.raises(Error) as refused:
            await providers.roll_back(caller, deprecated.id, 1, None)
        assert refused.value.code is Code.PROVIDER_DEPRECATED

    run_on(settings_of(tmp_path, database_url), work)


def test_what_says_nothing_any_more_is_stored_so(tmp_path: Path, database_url: str) -> None:
    """Only where nothing was stored is it not worth a row."""

    async def work(storage: Storage) -> None:
        caller, providers = await project_caller(storage), providers_of(storage)
        nothing = ModelProviderUpdate(enabled=False)
        before = await providers_of(storage).list(caller.project_id or "")
        untouched = await providers.upsert(caller, "openai", nothing, None)
        assert untouched == before
        stored = await providers.upsert(caller, "openai", ModelProviderUpdate(enabled=True), None)
        after = await providers.upsert(caller, "openai", nothing, None)
        assert (stored.revision, after.revision) == (untouched.revision + 1, untouched.revision + 2)
        assert not (await storage.database.read(lambda tx: list_stored(tx, storage.box, caller.project_id or "")))[
            "openai"
        ].provider.enabled

    run_on(settings_of(tmp_path, database_url), work)


def test_a_model_that_is_declared_for_two_modes_is_known_for_both() -> None:
    chat, embedding = CustomModel("m", "m", "chat"), CustomModel("m", "m", "embedding")
    stored = ModelProvider("openai", custom_models=(chat,), custom_embeddings_models=(embedding,))
    assert opened_provider(load_catalog().required("openai"), stored).models == {"m": (chat, embedding)}


def test_a_put_that_names_no_default_model_keeps_the_projects(tmp_path: Path, database_url: str) -> None:
    async def work(storage: Storage) -> None:
        caller, providers = await project_caller(storage), providers_of(storage)
        await providers.upsert(caller, "openai", ModelProviderUpdate(enabled=True, default_model="gpt-5"), None)
        await providers.upsert(caller, "groq", ModelProviderUpdate(enabled=True), None)
        await providers.roll_back(caller, "groq", 1, None)
        await providers.delete(caller, "groq", None)
        head = await storage.database.read(lambda tx: get_project_head(tx, caller.project_id or ""))
        assert head.default_model == "openai/gpt-5"

    run_on(settings_of(tmp_path, database_url), work)


def test_secrets_that_went_with_a_deletion_stay_gone_though_the_provider_is_stored_again(tmp_path: Path, database_url: str) -> None:
    async def work(storage: Storage) -> None:
        caller, providers = await project_caller(storage), providers_of(storage)
        for secret in (openai_key("sk-1"), ModelProviderUpdate(enabled=True, extra_headers=(ExtraHeader("X-Team", "planted"),))):
            await providers.upsert(caller, "openai", secret, None)
            await providers.delete(caller, "openai", None)
        await providers.upsert(caller, "openai", openai_key("sk-2"), None)
        for version in (1, 3):
            with pytest.raises(Error) as refused:
                await providers.roll_back(caller, "openai", version, None)
            assert refused.value.code is Code.SECRETS_DESTROYED

    run_on(settings_of(tmp_path, database_url), work)


def test_what_cannot_be_opened_is_not_brought_back(tmp_path: Path, database_url: str) -> None:
    async def work(storage: Storage) -> None:
        caller, providers = await project_caller(storage), providers_of(storage)
        for secret in ("sk-1", "sk-2"):
            await providers.upsert(caller, "openai", openai_key(secret), None)
        use_another_ring(storage)
        with pytest.raises(Error) as refused:
            await providers.roll_back(caller, "openai", 1, None)
        assert refused.value.code is Code.CREDENTIALS_UNREADABLE

    run_on(settings_of(tmp_path, database_url), work)


def test_headers_of_the_past_come_back_with_their_values(tmp_path: Path, database_url: str) -> None:
    async def work(storage: Storage) -> None:
        caller, providers = await project_caller(storage), providers_of(storage)
        header = ExtraHeader("X-Team", "planted")
        for headers in ((header,), ()):
            await providers.upsert(caller, "openai", replace(openai_key("sk-1"), extra_headers=headers), None)
        await providers.roll_back(caller, "openai", 1, None)
        stored = await storage.database.read(lambda tx: list_stored(tx, storage.box, caller.project_id or ""))
        assert stored["openai"].provider.extra_headers == (header,)

    run_on(settings_of(tmp_path, database_url), work)
