"""Loading: what the catalogue answers, and what it says when a file is bad."""

import json
import shutil
from datetime import date
from pathlib import Path

import msgspec
import pytest

from keyhouse.catalog.catalog import BUNDLED_MODELS_FILE, BUNDLED_PROVIDERS, load_catalog, load_catalog_from
from keyhouse.catalog.models_file import CatalogModel, models_digest, read_models_file
from keyhouse.catalog.provider_file import read_provider_file
from keyhouse.domain.errors import Code, Error

CATALOG = load_catalog()
GOOD = """
position = 10
id = "acme"
name = "Acme"
base_url = "https://api.acme.example"
[fields]
ACME_API_KEY = { label = "API key", required = true }
[calling]
sign = { way = "bearer", token = "ACME_API_KEY" }
[calling.endpoints]
chat = "/v1/chat/completions"
"""
SOURCE = {"name": "a-package", "version": "1", "licence": "MIT"}


def models_file(folder: Path, **changes: object) -> Path:
    path = folder / "models.json"
    content = {"source": SOURCE, "generated_at": "2030-01-02", "models": {"openai": [{"id": "gpt-9"}]}} | changes
    path.write_text(json.dumps(content), encoding="utf-8")
    return path


def message_of(path: Path) -> str:
    with pytest.raises(Error) as caught:
        load_catalog(path)
    assert caught.value.code is Code.CONFIGURATION
    return caught.value.message


def test_models_are_ids_without_the_providers_prefix() -> None:
    assert "gpt-4o" in CATALOG.models("openai", "chat")
    assert "anthropic/claude-opus-5.5" in CATALOG.models("openrouter", "chat")
    assert not [model for provider in CATALOG.providers for model in CATALOG.models(provider, "chat") if model.startswith(f"{provider}/")]


def test_fast_models_of_fireworks_are_routers() -> None:
    fast = [model for model in CATALOG.models("fireworks", "chat") if model.endswith("fast")]

    assert fast
    assert all(model.startswith("accounts/fireworks/routers/") for model in fast)


@pytest.mark.parametrize("provider", ["openai", "gemini", "voyage"])
def test_openai_gemini_and_voyage_have_embedding_models(provider: str) -> None:
    assert CATALOG.models(provider, "embedding")


@pytest.mark.parametrize("provider", ["azure", "custom", "ollama", "vllm", "azure_safety", "openai_codex", "google_agent_platform"])
def test_what_operators_deploy_or_nobody_calls_has_no_models(provider: str) -> None:
    assert CATALOG.models(provider, "chat") == CATALOG.models(provider, "embedding") == ()


@pytest.mark.parametrize("provider", ["elevenlabs", "voyage"])
def test_providers_without_chat_have_no_chat_models(provider: str) -> None:
    assert CATALOG.models(provider, "chat") == ()


@pytest.mark.parametrize("provider", ["anthropic", "bedrock", "cerebras", "deepseek", "groq", "mistral", "vertex_ai", "xai"])
def test_providers_list_the_chat_models_that_are_known(provider: str) -> None:
    assert CATALOG.models(provider, "chat")


def test_lists_of_all_providers_together_stay_moderate() -> None:
    listed = {name: [CATALOG.models(name, "chat"), CATALOG.models(name, "embedding")] for name in CATALOG.providers}

    assert len(msgspec.json.encode(listed)) < 40_000


def test_a_models_facts_are_known() -> None:
    model = CATALOG.model("openai", "gpt-4o")
    assert model is not None

    assert (model.mode, model.context_window, model.max_output_tokens) == ("chat", 128_000, 16_384)
    assert model.multimodal_inputs == ("image", "file")
    assert "temperature" in (model.supported_parameters or ())
    assert model.prices["output"] > model.prices["input"] > 0


def test_prices_of_long_requests_are_known() -> None:
    model = CATALOG.model("gemini", "gemini-3.1-pro-preview")
    assert model is not None
    (tier,) = model.price_tiers

    assert tier.above_tokens == 200_000
    assert tier.prices["input"] > model.prices["input"]


def test_unknown_providers_and_models_have_nothing() -> None:
    assert CATALOG.models("nobody", "chat") == ()
    assert CATALOG.model("nobody", "gpt-4o") is None
    assert CATALOG.model("openai", "nothing") is None


def test_provenance_is_inside() -> None:
    assert (CATALOG.source.name, CATALOG.source.licence) == ("genai-prices", "MIT")
    assert CATALOG.source.version
    assert CATALOG.generated_at >= "2026-11-23"


def test_every_provider_in_the_models_file_is_in_the_registry() -> None:
    assert set(read_models_file(BUNDLED_MODELS_FILE).models) <= set(CATALOG.providers)


def test_registry_cannot_be_changed() -> None:
    with pytest.raises(TypeError):
        CATALOG.providers["openai"] = CATALOG.providers["azure"]  # type: ignore[index]


def test_digest_is_equal_for_equal_files_and_changes_with_a_provider_or_a_model(tmp_path: Path) -> None:
    folder = Path(shutil.copytree(BUNDLED_PROVIDERS, tmp_path / "providers"))
    assert load_catalog_from(folder, BUNDLED_MODELS_FILE).digest == CATALOG.digest

    other_models = load_catalog(models_file(tmp_path)).digest
    groq = folder / "groq.toml"
    groq.write_text(groq.read_text(encoding="utf-8").replace('name = "Groq"', 'name = "GroqCloud"'), encoding="utf-8")
    other_provider = load_catalog_from(folder, BUNDLED_MODELS_FILE).digest

    assert len({CATALOG.digest, other_models, other_provider}) == 3


def test_an_operators_newer_models_file_takes_the_place_of_the_bundled_one(tmp_path: Path) -> None:
    catalog = load_catalog(models_file(tmp_path))

    assert catalog.models("openai", "chat") == ("gpt-9",)
    assert catalog.models("anthropic", "chat") == ()
    assert (catalog.generated_at, catalog.source.name) == ("2030-01-02", "a-package")


def test_a_newer_models_file_may_know_more_than_this_version(tmp_path: Path) -> None:
    newer = {"brand_new": [{"id": "m"}], "openai": [{"id": "gpt-9", "colour": "blue"}]}

    assert load_catalog(models_file(tmp_path, models=newer)).models("openai", "chat") == ("gpt-9",)


def test_a_models_file_may_say_when_a_model_ends_and_need_not(tmp_path: Path) -> None:
    models = {"openai": [{"id": "gpt-8", "retires_on": "2026-12-11"}, {"id": "gpt-9"}]}
    fitting = models_digest({"openai": (CatalogModel(id="gpt-8", retires_on=date(2026, 12, 11)), CatalogModel(id="gpt-9"))})

    catalog = load_catalog(models_file(tmp_path, models=models, digest=fitting))

    assert [model and model.retires_on for model in (catalog.model("openai", "gpt-8"), catalog.model("openai", "gpt-9"))] == [
        date(2026, 12, 11), None,
    ]  # fmt: skip


def test_digest_inside_a_models_file_must_fit_where_there_is_one(tmp_path: Path) -> None:
    fitting = models_digest({"openai": (CatalogModel(id="gpt-9"),)})

    assert load_catalog(models_file(tmp_path, digest=fitting)).models("openai", "chat") == ("gpt-9",)
    assert "does not match the digest inside it" in message_of(models_file(tmp_path, digest="0" * 64))


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"models": {"openai": [{"id": "x", "mode": "dance"}]}}, "Invalid enum value 'dance' - at `$.models[...][0].mode`"),
        ({"models": {"openai": [{"id": ""}]}}, "`$.models[...][0].id`"),
        ({"models": {"openai": [{"id": "x", "context_window": -1}]}}, "`$.models[...][0].context_window`"),
        ({"models": {"openai": [{"id": "x"}, {"id": "x"}]}}, "names the model x of openai twice"),
        ({"models": {"openai": [{"id": "x", "retires_on": "2026-02-30"}]}}, "RFC3339 encoded date - at `$.models[...][0].retires_on`"),
        ({"models": {"openai": [{"id": "x", "retires_on": "11 December 2026"}]}}, "`$.models[...][0].retires_on`"),
        ({"models": {"openai": [{"id": "x", "retires_on": 20261211}]}}, "`$.models[...][0].retires_on`"),
        ({"models": []}, "Expected `object`, got `array` - at `$.models`"),
        ({"generated_at": "yesterday"}, "`$.generated_at`"),
        ({"source": {"name": "x"}}, "`$.source`"),
    ],
)
def test_bad_models_file_is_named_with_its_key_and_what_to_do(tmp_path: Path, changes: dict[str, object], said: str) -> None:
    path = models_file(tmp_path, **changes)

    message = message_of(path)

    assert str(path) in message
    assert said in message
    assert "KEYHOUSE_MODELS_FILE" in message


@pytest.mark.parametrize("content", [b"", b"{", b"\xff\xfe", b"[]", b'{"models": {}}'])
def test_models_file_that_is_none_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "models.json"
    path.write_bytes(content)

    assert f"{path} is no models file" in message_of(path)


def test_models_file_that_is_not_there_or_a_folder_is_refused(tmp_path: Path) -> None:
    assert "cannot be read (No such file or directory)" in message_of(tmp_path / "gone.json")
    assert "cannot be read (Is a directory)" in message_of(tmp_path)


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("position = 10", "position = ", "is not valid TOML"),
        ("position = 10", "position = 'first'", "Expected `int`, got `str` - at `$.position`"),
        ("position = 10\n", "", "missing required field `position`"),
        ('id = "acme"', 'id = "other"', "the file is named after the provider, 'other' - at `$.id`"),
        ('name = "Acme"', 'name = "Acme"\nnickname = "A"', "unknown field `nickname`"),
        ("required = true", "required = 'yes'", "Expected `bool`, got `str` - at `$.fields[...].required`"),
        ("required = true", "secret = true", "unknown field `secret` - at `$.fields[...]`"),
        ("https://api", "http://api", "`$.base_url`"),
        ("ACME_API_KEY = {", "acme = {", "in `$.fields`"),
        ('token = "ACME_API_KEY"', 'token = "OTHER_KEY"', "OTHER_KEY is no field of this provider - at `$.calling.sign`"),
        ('way = "bearer"', 'way = "smile"', "Invalid enum value 'smile' - at `$.calling.sign.way`"),
        ('way = "bearer"', 'way = "header"', "`sign` names `header` for way header"),
        ('way = "bearer"', 'way = "google_token"', "`sign` by google_token needs service_account"),
        ("chat = ", "chatter = ", "Invalid enum value 'chatter'"),
        ('"/v1/chat', '"v1/chat', "`$.calling.endpoints[...]`"),
        ('"/v1/chat', '"/{ACME_REGION}/chat', "ACME_REGION is no field of this provider - at `$.calling`"),
        ("[fields]", 'address_fields = ["ACME_URL"]\n[fields]', "ACME_URL is no field of this provider - at `$.address_fields`"),
        ("[fields]", 'at_least_one = ["ACME_URL"]\n[fields]', "ACME_URL is no field of this provider - at `$.at_least_one`"),
        ("[fields]", 'together = [["ACME_URL"]]\n[fields]', "ACME_URL is no field of this provider - at `$.together`"),
        ("[fields]", 'aliases = { A = "ACME_URL" }\n[fields]', "ACME_URL is no field of this provider - at `$.aliases`"),
        ("[fields]", 'kind = "safety"\n[fields]', "a safety provider is never called - at `$.calling`"),
    ],
)
def test_bad_provider_file_is_named_with_its_key(old: str, new: str, said: str) -> None:
    assert read_provider_file("acme.toml", GOOD)[1].id == "acme"
    assert old in GOOD

    with pytest.raises(Error) as caught:
        read_provider_file("acme.toml", GOOD.replace(old, new))

    assert caught.value.code is Code.CONFIGURATION
    assert "The provider file acme.toml" in caught.value.message
    assert said in caught.value.message


@pytest.mark.parametrize(
    ("second", "said"),
    [
        (GOOD.replace("acme", "other"), "acme.toml and other.toml both claim 10"),
        (GOOD.replace("acme", "other").replace("10", "20").replace("[fields]", 'spellings = ["acme"]\n[fields]'), "both claim 'acme'"),
    ],
)
def test_provider_files_that_contradict_each_other_are_refused(tmp_path: Path, second: str, said: str) -> None:
    (tmp_path / "acme.toml").write_text(GOOD, encoding="utf-8")
    assert list(load_catalog_from(tmp_path, BUNDLED_MODELS_FILE).providers) == ["acme"]
    (tmp_path / "other.toml").write_text(second, encoding="utf-8")

    with pytest.raises(Error, match="provider file") as caught:
        load_catalog_from(tmp_path, BUNDLED_MODELS_FILE)

    assert said in caught.value.message


def test_a_provider_is_added_by_one_file(tmp_path: Path) -> None:
    folder = Path(shutil.copytree(BUNDLED_PROVIDERS, tmp_path / "providers"))
    (folder / "acme.toml").write_text(GOOD.replace("position = 10", "position = 35"), encoding="utf-8")

    providers = list(load_catalog_from(folder, BUNDLED_MODELS_FILE).providers)

    assert providers[providers.index("openai") + 1] == "acme"
    assert len(providers) == len(CATALOG.providers) + 1
