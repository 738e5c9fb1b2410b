"""The registry, held against a table written by hand from the contract, section 6. R required, O optional, P public, B may be blank."""

from pathlib import Path

import pytest

from keyhouse.catalog.catalog import BUNDLED_PROVIDERS, load_catalog
from keyhouse.catalog.provider_file import read_provider_file
from keyhouse.domain.provider_spec import ProviderSpec

CATALOG = load_catalog()

REGISTRY: list[tuple[str, str, dict[str, str]]] = [
    ("custom", "Custom (OpenAI-compatible)", {"CUSTOM_BASE_URL": "OP", "CUSTOM_API_KEY": "O"}),
    (
        "openai_codex",
        "Codex (OpenAI account)",
        {
            "CODEX_ACCESS_TOKEN": "R",
            "CODEX_REFRESH_TOKEN": "R",
            "CODEX_ID_TOKEN": "RB",
            "CODEX_ACCOUNT_ID": "RB",
            "CODEX_PLAN": "RB",
            "CODEX_EMAIL": "RB",
            "CODEX_TOKENS_SAVED_AT": "RB",
        },
    ),
    ("openai", "OpenAI", {"OPENAI_API_KEY": "O", "OPENAI_BASE_URL": "OP"}),
    ("anthropic", "Anthropic", {"ANTHROPIC_API_KEY": "O", "ANTHROPIC_BASE_URL": "OP"}),
    ("gemini", "Gemini", {"GEMINI_API_KEY": "R", "GEMINI_PROJECT": "OP", "GEMINI_LOCATION": "OP"}),
    (
        "google_agent_platform",
        "Google Agent Platform",
        {"GOOGLE_AGENT_PLATFORM_API_KEY": "R", "GOOGLE_AGENT_PLATFORM_PROJECT": "RP", "GOOGLE_AGENT_PLATFORM_LOCATION": "RP"},
    ),
    ("elevenlabs", "ElevenLabs", {"ELEVENLABS_API_KEY": "R", "ELEVENLABS_WEBHOOK_SECRET": "O", "ELEVENLABS_BASE_URL": "O"}),
    (
        "azure",
        "Azure OpenAI",
        {
            "AZURE_OPENAI_API_KEY": "O",
            "AZURE_OPENAI_ENDPOINT": "OP",
            "AZURE_OPENAI_API_VERSION": "OP",
            "AZURE_API_GATEWAY_BASE_URL": "OP",
            "AZURE_API_GATEWAY_VERSION": "OP",
        },
    ),
    (
        "bedrock",
        "Bedrock",
        {
            "AWS_ACCESS_KEY_ID": "O",
            "AWS_SECRET_ACCESS_KEY": "O",
            "AWS_REGION_NAME": "OP",
            "AWS_SESSION_TOKEN": "O",
            "AWS_BEARER_TOKEN_BEDROCK": "O",
        },
    ),
    ("vertex_ai", "Vertex AI", {"GOOGLE_APPLICATION_CREDENTIALS": "R", "VERTEXAI_PROJECT": "RP", "VERTEXAI_LOCATION": "RP"}),
    ("deepseek", "DeepSeek", {"DEEPSEEK_API_KEY": "R"}),
    ("xai", "xAI", {"XAI_API_KEY": "R"}),
    ("cerebras", "Cerebras", {"CEREBRAS_API_KEY": "R"}),
    ("groq", "Groq", {"GROQ_API_KEY": "R"}),
    ("voyage", "Voyage AI", {"VOYAGE_API_KEY": "R"}),
    ("azure_safety", "Azure Safety", {"AZURE_CONTENT_SAFETY_ENDPOINT": "RP", "AZURE_CONTENT_SAFETY_KEY": "R"}),
    ("mistral", "Mistral AI", {"MISTRAL_API_KEY": "R"}),
    ("cohere", "Cohere", {"COHERE_API_KEY": "R"}),
    ("openrouter", "OpenRouter", {"OPENROUTER_API_KEY": "R"}),
    ("together", "Together AI", {"TOGETHER_API_KEY": "R"}),
    ("fireworks", "Fireworks AI", {"FIREWORKS_API_KEY": "R"}),
    ("perplexity", "Perplexity", {"PERPLEXITY_API_KEY": "R"}),
    ("moonshot", "Moonshot AI", {"MOONSHOT_API_KEY": "R"}),
    ("ollama", "Ollama", {"OLLAMA_BASE_URL": "RP", "OLLAMA_API_KEY": "O"}),
    ("vllm", "vLLM", {"VLLM_BASE_URL": "RP", "VLLM_API_KEY": "O"}),
]
IDS = [provider for provider, _, _ in REGISTRY]


def marks(spec: ProviderSpec) -> dict[str, str]:
    return {
        field.name: ("R" if field.required else "O") + ("P" if field.public else "") + ("B" if field.may_be_blank else "")
        for field in spec.fields
    }


def test_registry_has_the_contracts_providers_in_its_order() -> None:
    assert [(spec.id, spec.name) for spec in CATALOG.providers.values()] == [(provider, name) for provider, name, _ in REGISTRY]


@pytest.mark.parametrize(("provider", "fields"), [(provider, fields) for provider, _, fields in REGISTRY], ids=IDS)
def test_fields_are_required_and_public_as_the_contract_says(provider: str, fields: dict[str, str]) -> None:
    assert marks(CATALOG.providers[provider]) == fields


@pytest.mark.parametrize("path", sorted(BUNDLED_PROVIDERS.glob("*.toml")), ids=lambda path: path.stem)
def test_every_file_reads_on_its_own_and_labels_its_fields_for_people(path: Path) -> None:
    _, spec = read_provider_file(path.name, path.read_text(encoding="utf-8"))

    assert spec == CATALOG.providers[path.stem]
    assert all(field.label for field in spec.all_fields)
    assert len({field.label for field in spec.all_fields}) == len(spec.all_fields)


@pytest.mark.parametrize("provider", IDS)
def test_all_but_custom_and_azure_accept_managed(provider: str) -> None:
    spec = CATALOG.providers[provider]

    assert spec.accepts_managed == (provider not in ("custom", "azure"))
    assert spec.is_public("MANAGED") == spec.accepts_managed


def test_only_azure_keeps_unknown_fields_and_knows_an_alias() -> None:
    assert [spec.id for spec in CATALOG.providers.values() if spec.keeps_unknown_fields] == ["azure"]
    assert {spec.id: dict(spec.aliases) for spec in CATALOG.providers.values() if spec.aliases} == {
        "azure": {"AZURE_API_KEY": "AZURE_OPENAI_API_KEY"}
    }


def test_one_of_key_and_address_is_needed_by_openai_and_anthropic() -> None:
    assert {spec.id: spec.at_least_one for spec in CATALOG.providers.values() if spec.at_least_one} == {
        "openai": ("OPENAI_API_KEY", "OPENAI_BASE_URL"),
        "anthropic": ("ANTHROPIC_API_KEY", "ANTHROPIC_BASE_URL"),
    }


def test_geminis_project_and_location_go_together_and_are_trimmed() -> None:
    assert {spec.id: spec.together for spec in CATALOG.providers.values() if spec.together} == {
        "gemini": (("GEMINI_PROJECT", "GEMINI_LOCATION"),)
    }
    assert {field.name for spec in CATALOG.providers.values() for field in spec.fields if field.trimmed} == {
        "GEMINI_PROJECT",
        "GEMINI_LOCATION",
    }


def test_the_agent_platform_can_no_longer_be_added_and_is_never_called() -> None:
    assert [spec.id for spec in CATALOG.providers.values() if spec.deprecated] == ["google_agent_platform"]
    assert CATALOG.providers["google_agent_platform"].calling is None


def test_only_azure_safety_is_of_the_safety_kind_and_it_is_never_called() -> None:
    assert [(spec.id, spec.calling) for spec in CATALOG.providers.values() if spec.kind == "safety"] == [("azure_safety", None)]


def test_only_anthropics_temperature_ends_at_one() -> None:
    assert {spec.id: spec.temperature_range for spec in CATALOG.providers.values() if spec.temperature_range} == {"anthropic": (0, 1)}


def test_formats_are_as_the_contract_says() -> None:
    formats = {field.name: field.format for spec in CATALOG.providers.values() for field in spec.fields if field.format != "text"}

    assert formats == {
        "CUSTOM_BASE_URL": "url",
        "OPENAI_BASE_URL": "url",
        "ANTHROPIC_BASE_URL": "url",
        "ELEVENLABS_BASE_URL": "url",
        "AZURE_OPENAI_ENDPOINT": "url",
        "AZURE_API_GATEWAY_BASE_URL": "url",
        "AZURE_CONTENT_SAFETY_ENDPOINT": "url",
        "OLLAMA_BASE_URL": "url",
        "VLLM_BASE_URL": "url",
        "GOOGLE_APPLICATION_CREDENTIALS": "json_object",
    }
    hosts = {field.name: field.host_suffix for spec in CATALOG.providers.values() for field in spec.fields if field.host_suffix}
    assert hosts == {"ELEVENLABS_BASE_URL": "elevenlabs.io"}


def test_credentials_go_to_the_address_that_these_fields_hold() -> None:
    assert {spec.id: spec.address_fields for spec in CATALOG.providers.values() if spec.address_fields} == {
        "custom": ("CUSTOM_BASE_URL",),
        "openai": ("OPENAI_BASE_URL",),
        "anthropic": ("ANTHROPIC_BASE_URL",),
        "elevenlabs": ("ELEVENLABS_BASE_URL",),
        "azure": ("AZURE_API_GATEWAY_BASE_URL", "AZURE_OPENAI_ENDPOINT"),
        "azure_safety": ("AZURE_CONTENT_SAFETY_ENDPOINT",),
        "ollama": ("OLLAMA_BASE_URL",),
        "vllm": ("VLLM_BASE_URL",),
    }


@pytest.mark.parametrize("spec", CATALOG.providers.values(), ids=lambda spec: spec.id)
def test_every_field_that_holds_an_address_is_an_address_field(spec: ProviderSpec) -> None:
    assert {field.name for field in spec.fields if field.format == "url"} == set(spec.address_fields)


def test_spellings_lead_to_one_provider_and_are_no_ids() -> None:
    spellings = [name for spec in CATALOG.providers.values() for name in spec.spellings]

    assert len(spellings) == len(set(spellings))
    assert not set(spellings) & set(IDS)
    assert {name: spec.id for name in ("azure_openai", "vertex", "aws_bedrock") if (spec := CATALOG.provider_spelt(name))} == {
        "azure_openai": "azure",
        "vertex": "vertex_ai",
        "aws_bedrock": "bedrock",
    }


def test_no_spelling_hides_the_publisher_part_of_another_providers_model() -> None:
    publishers = {model.split("/")[0] for provider in IDS for model in CATALOG.models(provider, "chat") if "/" in model}

    assert publishers
    assert not publishers & {name for spec in CATALOG.providers.values() for name in spec.spellings}


def test_no_model_prefix_begins_with_another() -> None:
    prefixes = [prefix for spec in CATALOG.providers.values() for prefix in spec.model_prefixes]

    assert [(one, other) for one in prefixes for other in prefixes if one is not other and one.startswith(other)] == []


@pytest.mark.parametrize(
    ("model", "provider"), [("gpt-9", "openai"), ("claude-9", "anthropic"), ("gemini-9", "gemini"), ("nothing-9", None)]
)
def test_known_prefixes_lead_to_their_provider(model: str, provider: str | None) -> None:
    spec = CATALOG.provider_of_prefix(model)

    assert (spec.id if spec else None) == provider


def test_a_provider_is_found_by_its_exact_id_only() -> None:
    assert CATALOG.provider("azure") is CATALOG.providers["azure"]
    assert CATALOG.provider("azure_openai") is None
    assert [CATALOG.provider_spelt(name) for name in ("Azure", "__proto__", "")] == [None, None, None]
