"""A furnished house and a walk through every page of it: what the checks of every page and the pictures share."""

from collections.abc import Callable
from dataclasses import dataclass

import httpx
from playwright.sync_api import Page, expect

from keyhouse.web.demo_upstream import KEY
from tests.conftest import ServedHouse
from tests.pages.browsing import Visitor

PLANTED = ("sk-planted-openai-55aa", "sk-planted-azure-7be1", "planted-header-91c0", "sk-planted-typed-0d4e")
_MODEL = {"modelId": "assistant-eu", "displayName": "Assistant, EU", "mode": "chat", "maxTokens": 128000}
_STORED: dict[str, dict[str, object]] = {
    "openai": {
        "enabled": True,
        "customKeys": {"OPENAI_API_KEY": PLANTED[0]},
        "extraHeaders": [{"key": "OpenAI-Organization", "value": PLANTED[2]}],
        "defaultModel": "gpt-6-luna",
    },
    "azure": {
        "enabled": True,
        "customKeys": {"AZURE_OPENAI_API_KEY": PLANTED[1], "AZURE_OPENAI_ENDPOINT": "https://our-team.openai.azure.com"},
        "customModels": [_MODEL | {"supportedParameters": ["temperature", "top_p"], "multimodalInputs": ["image"]}],
    },
    "anthropic": {"enabled": True, "customKeys": {"ANTHROPIC_API_KEY": PLANTED[0]}},
    "ollama": {"enabled": False, "customKeys": {"OLLAMA_BASE_URL": "http://127.0.0.1:11434/v1"}, "customModels": ["llama3.3:70b"]},
    "vertex_ai": {
        "enabled": True,
        "customKeys": {"GOOGLE_APPLICATION_CREDENTIALS": "{}", "VERTEXAI_PROJECT": "our-project", "VERTEXAI_LOCATION": "europe-west4"},
    },
}


def furnish(house: ServedHouse, demo: str) -> None:
    """Providers, some tested, projects, teams, keys and some history. `demo` is the address of the demo upstream."""
    client, admin = house.client(), house.client(house.keys.admin_key)
    for provider, body in _STORED.items():
        assert client.put(f"/api/model-providers/{provider}", json=body).status_code == 200
    client.put("/api/model-providers/openai", json={"enabled": False})
    client.put("/api/model-providers/openai", json={"enabled": True, "customModels": ["gpt-6-luna-tuned"]})
    _test(client, demo)
    for name in ("Search", "Support desk"):
        body = {"name": name, "language": "other", "framework": "other", "newTeamName": f"{name} team"}
        assert admin.post("/api/projects", json=body).status_code == 201
    made = admin.post("/api/api-keys", json={"keyType": "service", "name": "CI of the search team", "expiresAt": "2099-01-31T12:00:00Z"})
    admin.delete(f"/api/api-keys/{made.json()['apiKey']['id']}")
    admin.post("/api/api-keys", json={"keyType": "service", "name": "Dashboards", "permissionMode": "readonly"})


def _test(client: httpx.Client, demo: str) -> None:
    """One provider that works, one whose key is refused, one that nobody answers for, and one that was changed since."""
    limited = {"modelId": "demo", "displayName": "Demo", "mode": "chat", "maxTokens": 64}
    stored: dict[str, dict[str, object]] = {
        "custom": {"customKeys": {"CUSTOM_BASE_URL": f"{demo}/v1", "CUSTOM_API_KEY": KEY}, "customModels": [limited]},
        "voyage": {"customKeys": {"VOYAGE_API_KEY": "k"}},
        "vllm": {"customKeys": {"VLLM_BASE_URL": f"{demo}/v1", "VLLM_API_KEY": "sk-wrong"}, "customModels": ["our-llama"]},
    }
    for provider, body in stored.items():
        assert client.put(f"/api/model-providers/{provider}", json={"enabled": True, **body}).status_code == 200
    for provider in (*stored, "ollama"):
        assert client.post(f"/api/model-providers/{provider}/test").status_code == 200
    client.put("/api/model-providers/voyage", json={"enabled": True, "customKeys": {"VOYAGE_API_KEY": "another"}})


@dataclass(frozen=True)
class Stop:
    """A page of the walk, and what is done there before anybody looks."""

    name: str
    path: str
    then: Callable[[Page], None] = lambda page: None


def _edit(page: Page) -> None:
    page.get_by_role("link", name="Edit Azure OpenAI").click()
    page.get_by_text("Mode, limit, parameters, inputs").click()
    page.get_by_role("button", name="Header", exact=True).click()
    page.get_by_role("dialog").get_by_label("API key", exact=True).fill(PLANTED[3])
    page.locator(".sheet-body").evaluate("element => { element.scrollTop = 0; }")


def _list_models(page: Page) -> None:
    page.get_by_role("link", name="Edit Custom (OpenAI-compatible)").click()
    page.get_by_role("button", name="Pick from its list").click()
    expect(page.get_by_label("Search the list")).to_be_focused()


def _pick(page: Page) -> None:
    page.get_by_role("link", name="Add provider").click()
    expect(page.get_by_role("heading", name="Add a provider")).to_be_visible()


def _refuse(page: Page) -> None:
    page.get_by_role("link", name="Edit Ollama").click()
    page.get_by_label("Base URL").fill("nowhere")
    page.get_by_role("button", name="Save", exact=True).click()
    expect(page.get_by_role("alert")).to_be_visible()


def _ask(page: Page) -> None:
    page.get_by_text("System prompt, max tokens").click()
    page.get_by_label("System prompt").fill("You are a polite concierge.")
    page.get_by_label("Max tokens").fill("200")
    page.get_by_label("Message").fill("Which three sights of Oslo should nobody miss?")
    page.get_by_role("button", name="Send").click()
    expect(page.locator("[data-state]")).to_have_text("Complete")


def _choose(page: Page) -> None:
    page.get_by_role("combobox", name="Model").click()
    expect(page.get_by_role("listbox")).to_be_visible()


def _ask_in_vain(page: Page) -> None:
    page.get_by_role("combobox", name="Model").fill("groq/openai/gpt-oss-120b")
    page.get_by_label("Message").fill("Hello")
    page.get_by_role("button", name="Send").click()
    expect(page.locator("[data-state]")).to_have_text("No answer")


def _opened(button: str) -> Callable[[Page], None]:
    return lambda page: page.get_by_role("button", name=button).first.click()


def stops(visitor: Visitor) -> list[Stop]:
    """Every page, for an organization's admin."""
    return [
        Stop("providers", visitor.providers),
        Stop("provider-picker", visitor.providers, _pick),
        Stop("provider-edit", visitor.providers, _edit),
        Stop("provider-refused", visitor.providers, _refuse),
        Stop("provider-models", visitor.providers, _list_models),
        Stop("history", f"{visitor.providers}/openai/history"),
        Stop("history-back", f"{visitor.providers}/openai/history", _opened("Go back to this")),
        Stop("try", f"/projects/{visitor.house.keys.project_id}/try?provider=custom", _ask),
        Stop("try-models", f"/projects/{visitor.house.keys.project_id}/try", _choose),
        Stop("try-refused", f"/projects/{visitor.house.keys.project_id}/try", _ask_in_vain),
        Stop("project-key", f"/projects/{visitor.house.keys.project_id}/key"),
        Stop("projects", "/organization/projects"),
        Stop("api-keys", "/organization/keys"),
        Stop("api-key-make", "/organization/keys", _opened("Make a key")),
        Stop("audit", "/organization/audit"),
        Stop("status", "/organization/status"),
    ]
