"""What the history says of public values: before and after, derived from the stored states; and of secrets nothing."""

from pathlib import Path
from typing import Any

from keyhouse.domain.headers import ExtraHeader
from keyhouse.domain.model import CustomModel
from keyhouse.domain.model_provider import ModelProviderUpdate
from keyhouse.domain.paging import Paging
from keyhouse.domain.public_difference import Difference
from keyhouse.services.model_providers import ModelProviders
from keyhouse.storage.opening import Storage
from tests.storage.houses import project_caller, providers_of, run_on, settings_of

SECRET, OTHER = "sk-planted-history-1", "sk-planted-history-2"


def model(name: str, **declared: Any) -> CustomModel:
    return CustomModel(name, name, "chat", **declared)


async def told(providers: ModelProviders, project_id: str, provider: str = "openai", page: int = 1) -> list[dict[str, Difference]]:
    """Every change, newest first, by the name of its fields."""
    entries, _ = await providers.history(project_id, provider, Paging(page, 2))
    differences = await providers.differences(project_id, provider, entries)
    return [
        {change.name: shown for change, shown in zip(entry.fields, of_entry, strict=True)}
        for entry, of_entry in zip(entries, differences, strict=True)
    ]


def test_public_values_are_told_before_and_after_and_secrets_are_not(tmp_path: Path, database_url: str) -> None:
    async def work(storage: Storage) -> None:
        caller, providers = await project_caller(storage), providers_of(storage)
        project_id = caller.project_id or ""
        url, other_url = "https://one.example/v1", "https://two.example/v1"
        updates = (
            ModelProviderUpdate(enabled=True, custom_keys={"OPENAI_API_KEY": SECRET, "OPENAI_BASE_URL": url}, default_model="gpt-5"),
            ModelProviderUpdate(
                enabled=False,
                custom_keys={"OPENAI_API_KEY": OTHER, "OPENAI_BASE_URL": other_url},
                custom_models=(model("kept"), model("gone")),
                default_model="",
            ),
            ModelProviderUpdate(enabled=False, custom_models=(model("kept", max_tokens=5), model("new"))),
        )
        for update in updates:
            await providers.upsert(caller, "openai", update, None)
        newest, second = await told(providers, project_id)
        [first] = await told(providers, project_id, page=2)
        assert newest == {"customModels": Difference(("gone",), ("new",), ("kept",))}
        assert second == {
            "enabled": Difference(("on",), ("off",)),
            "customModels": Difference((), ("kept", "gone")),
            "customKeys.OPENAI_API_KEY": Difference(),
            "customKeys.OPENAI_BASE_URL": Difference((url,), (other_url,)),
            "defaultModel": Difference(("openai/gpt-5",), ()),
        }
        assert first["enabled"] == Difference((), ("on",))
        assert first["customKeys.OPENAI_BASE_URL"] == Difference((), (url,))
        assert first["defaultModel"] == Difference((), ("openai/gpt-5",))

    run_on(settings_of(tmp_path, database_url), work)


def test_what_was_destroyed_with_its_secrets_is_not_made_up(tmp_path: Path, database_url: str) -> None:
    async def work(storage: Storage) -> None:
        caller, providers = await project_caller(storage), providers_of(storage)
        stored = ModelProviderUpdate(enabled=True, custom_keys={"OLLAMA_BASE_URL": "http://127.0.0.1:11434/v1"})
        await providers.upsert(caller, "ollama", stored, None)
        await providers.delete(caller, "ollama", None)
        deleted, created = await told(providers, caller.project_id or "", "ollama")
        assert deleted["customKeys.OLLAMA_BASE_URL"] == Difference()
        assert created["customKeys.OLLAMA_BASE_URL"] == Difference()
        assert deleted["enabled"] == Difference(("on",), ("off",))

    run_on(settings_of(tmp_path, database_url), work)


def test_an_order_of_headers_is_told_by_their_names(tmp_path: Path) -> None:
    async def work(storage: Storage) -> None:
        caller, providers = await project_caller(storage), providers_of(storage)
        one, other = ExtraHeader("X-One", SECRET), ExtraHeader("X-Other", OTHER)
        for headers in ((one, other), (other, one)):
            await providers.upsert(caller, "openai", ModelProviderUpdate(enabled=True, extra_headers=headers), None)
        newest, first = await told(providers, caller.project_id or "")
        assert newest == {"extraHeaders": Difference(("X-One, X-Other",), ("X-Other, X-One",))}
        assert first["extraHeaders.X-One"] == Difference()

    run_on(settings_of(tmp_path, f"sqlite:///{tmp_path / 'keyhouse.db'}"), work)
