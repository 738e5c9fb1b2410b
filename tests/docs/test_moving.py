"""The page on moving here: all its commands are run in their order, and no secret is among their arguments."""

import json
import re
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from keyhouse.catalog.catalog import load_catalog
from keyhouse.domain.credentials import MASK
from tests.cli.commands import PATIENCE_S, Ran, Server, environment, start
from tests.conftest import ServedHouse, need_curl
from tests.gateway.conftest import Authority, authority  # noqa: F401 - a fixture
from tests.gateway.fault_upstream import ReceivedRequest
from tests.gateway_road import openai_api
from tests.gateway_road.internet import Internet
from tests.gateway_road.upstreams import Upstream, answered_by, json_answer, running_upstream

PAGE = (Path(__file__).parent.parent.parent / "docs" / "moving.md").read_text(encoding="utf-8")
COMMANDS = "".join(re.findall(r"^```sh\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE))
ADDRESS = "http://127.0.0.1:5560"
SECRETS = {
    name: f"planted-{name.lower()}"
    for name in (
        *("OPENAI_API_KEY", "ANTHROPIC_API_KEY", "GEMINI_API_KEY", "AZURE_API_KEY", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"),
        *("QWEN_API_KEY", "QWEN_TEAM", "GROQ_API_KEY", "MISTRAL_API_KEY", "MISTRAL_TEAM", "NEW_OPENAI_API_KEY"),
        *("LITELLM_MASTER_KEY", "PORTKEY_API_KEY", "LANGFUSE_PUBLIC_KEY", "LANGFUSE_SECRET_KEY"),
    )
}
# What LiteLLM 1.106.2 and Langfuse answer, as far as the page reads it.
LITELLM = {
    "data": [
        {
            "model_name": "support-chat",
            "litellm_params": {"api_base": "https://a.openai.azure.com", "api_version": "2024-10-21", "model": "azure/gpt-4o-eu"},
        },
        {"model_name": "qwen", "litellm_params": {"extra_headers": {"X-Team": "support"}, "model": "openai/qwen3-32b"}},
    ]
}
LANGFUSE = {
    "data": [
        {
            "provider": "my-azure",
            "adapter": "azure",
            "displaySecretKey": "...cret",
            "baseURL": "https://a.openai.azure.com/openai/deployments",
            "customModels": ["gpt-4o-eu"],
            "withDefaultModels": False,
            "extraHeaderKeys": ["X-Team"],
        }
    ]
}
PORTKEY = {
    "object": "list",
    "total": 1,
    "data": [{"ai_provider_id": "openai", "name": "Production", "status": "active", "slug": "openai-prod", "object": "integration"}],
}
# What stands in a config.json of Bifrost.
BIFROST = {
    "providers": {
        "azure": {
            "keys": [
                {
                    "name": "eu",
                    "value": "planted-bifrost",
                    "models": ["gpt-4o"],
                    "weight": 1.0,
                    "aliases": {"gpt-4o": "gpt-4o-eu"},
                    "azure_key_config": {"endpoint": "env.AZURE_ENDPOINT", "client_secret": "planted-bifrost", "api_version": "2024-10-21"},
                }
            ],
            "network_config": {"extra_headers": {"X-Team": "planted-bifrost"}},
        }
    }
}
ANSWERS = {
    "/models": {"data": [{"id": "gpt-6-luna"}, {"id": "support-chat"}, {"id": "gpt-4"}]},
    "/model/info": LITELLM,
    "/api/public/llm-connections": LANGFUSE,
    "/v1/integrations": PORTKEY,
}


def answered(request: ReceivedRequest) -> bytes:
    """What the providers, and the gateways that are left, answer."""
    path = request.line.split(b" ")[1].decode().partition("?")[0]
    if path.endswith("/chat/completions"):
        return openai_api.chat(json.loads(request.body))
    return next((json_answer(body) for ending, body in ANSWERS.items() if path.endswith(ending)), json_answer({}, b"404 Not Found"))


@dataclass(frozen=True)
class Moved:
    """What the commands did: what they printed, with which arguments programs ran, and the server and upstream that they spoke to."""

    ran: Ran
    arguments: str
    server: Server
    upstream: Upstream

    def entry(self, provider: str) -> Any:
        """What is stored for a provider."""
        command = ["keyhouse", "provider", "show", provider, "--json", "--project", "assistant"]
        return json.loads(subprocess.run(command, env=environment(**self.server.variables), check=True, capture_output=True).stdout)


def _watched(folder: Path) -> Path:
    """A folder of programs that note their arguments before they run."""
    need_curl()
    folder.mkdir()
    for name in ("keyhouse", "curl", "python3"):
        program = folder / name
        program.write_text(f'#!/bin/bash\nprintf "%s\\n" "{name} $*" >> {folder}/arguments\nPATH=${{PATH#*:}} exec {name} "$@"\n')
        program.chmod(0o755)
    return folder


@contextmanager
def _served(folder: Path, **variables: str) -> Iterator[Server]:
    server = start(folder, **variables)
    try:
        yield server
    finally:
        assert server.stop() == 0
        for stream in (server.process.stdout, server.process.stderr):
            assert stream is not None
            stream.close()


def _store_at_langwatch(house: ServedHouse) -> None:
    """What is there before, with secrets that nobody is told."""
    told = {"customKeys": {"MISTRAL_API_KEY": "of-langwatch"}, "extraHeaders": [{"key": "X-Team", "value": "of-langwatch"}]}
    models = [{"modelId": "house", "displayName": "House", "mode": "chat", "maxTokens": 4096}]
    put = house.client().put("/api/model-providers/mistral", json={"enabled": True, "customModels": models, **told})
    assert put.status_code == 200


@pytest.fixture(scope="module")
def moved(
    tmp_path_factory: pytest.TempPathFactory,
    authority: Authority,  # noqa: F811
    shared_sqlite_house: ServedHouse,
) -> Iterator[Moved]:
    """All of the page's commands, run as one session. The house is LangWatch, whose API it has."""
    _store_at_langwatch(shared_sqlite_house)
    folder = tmp_path_factory.mktemp("moving")
    watched = _watched(folder / "watched")
    (folder / "account.json").write_text(json.dumps({"type": "service_account", "private_key": "planted-account"}))
    (folder / "config.json").write_text(json.dumps(BIFROST))
    internet = Internet(lambda host, request: answered(request), authority.server_context)
    with running_upstream(internet.script) as proxy, running_upstream(answered_by(answered)) as upstream:
        # Each under another name: a secret stays with its address.
        at = upstream.address.replace("127.0.0.1", "localhost")
        given = {**dict.fromkeys(("AZURE_API_BASE", "OLLAMA_API_BASE", "PORTKEY_URL", "LANGFUSE_URL"), upstream.address), "LITELLM_URL": at}
        given |= {
            "AZURE_API_VERSION": "2024-10-21",
            "QWEN_API_BASE": f"{upstream.address}/v1",
            "LANGWATCH_URL": shared_sqlite_house.address,
        }
        prompted = (SECRETS["LITELLM_MASTER_KEY"], SECRETS["PORTKEY_API_KEY"])
        shell = environment(**SECRETS, **given)
        with _served(folder, HTTPS_PROXY=proxy.address, NO_PROXY="127.0.0.1", KEYHOUSE_CA_FILE=str(authority.ca_file)) as server:
            ended = subprocess.run(
                ["bash", "-euo", "pipefail", "-c", COMMANDS.replace(ADDRESS, server.address)],
                cwd=folder,
                env={**shell, "PATH": f"{watched}:{shell['PATH']}"},
                input="\n".join((server.admin_key, *prompted, shared_sqlite_house.keys.project_key, "")),
                capture_output=True,
                text=True,
                timeout=PATIENCE_S * 4,
                check=False,
            )
            assert ended.returncode == 0, ended.stdout + ended.stderr
            yield Moved(Ran(0, ended.stdout, ended.stderr), (watched / "arguments").read_text(), server, upstream)


def test_the_commands_store_what_they_say_and_let_an_application_call(moved: Moved) -> None:
    stored = {
        "openai": {"OPENAI_API_KEY": MASK},
        "anthropic": {"ANTHROPIC_API_KEY": MASK},
        "azure": {
            "AZURE_OPENAI_API_KEY": MASK,
            "AZURE_OPENAI_ENDPOINT": moved.upstream.address,
            "AZURE_OPENAI_API_VERSION": "2024-10-21",
        },
        "bedrock": {"AWS_ACCESS_KEY_ID": MASK, "AWS_SECRET_ACCESS_KEY": MASK, "AWS_REGION_NAME": "us-east-1"},
        "groq": {"GROQ_API_KEY": MASK},
    }
    assert {provider: moved.entry(provider)["customKeys"] for provider in stored} == stored
    assert "You said: Hello" in moved.ran.out
    assert "verified" in moved.ran.out
    assert "updated" in moved.ran.out


def test_no_secret_is_an_argument_of_a_program_or_printed(moved: Moved) -> None:
    assert "keyhouse provider set openai --stdin" in moved.arguments
    assert "curl -sS --fail-with-body" in moved.arguments
    assert "planted" not in moved.arguments + moved.ran.out + moved.ran.err
    assert "sk-lw-" not in moved.arguments


def test_what_the_others_have_is_listed(moved: Moved) -> None:
    assert "support-chat is azure/gpt-4o-eu https://a.openai.azure.com 2024-10-21\n" in moved.ran.out
    assert "qwen is openai/qwen3-32b   X-Team\n" in moved.ran.out
    assert "openai-prod is openai active\n" in moved.ran.out
    assert "azure  env.AZURE_ENDPOINT 2024-10-21 ['gpt-4o'] {'gpt-4o': 'gpt-4o-eu'} X-Team\n" in moved.ran.out
    assert f"mistral {{'MISTRAL_API_KEY': '{MASK}'}} X-Team\n" in moved.ran.out
    assert "my-azure azure https://a.openai.azure.com/openai/deployments ['gpt-4o-eu'] ['X-Team'] None\n" in moved.ran.out


def test_what_langwatch_says_comes_over_and_leaves_the_secrets(moved: Moved) -> None:
    entry = moved.entry("mistral")
    assert (entry["customKeys"], entry["extraHeaders"]) == ({"MISTRAL_API_KEY": MASK}, [{"key": "X-Team", "value": MASK}])
    assert [(model["modelId"], model["maxTokens"]) for model in entry["customModels"]] == [("house", 4096)]


def test_langfuse_is_given_an_applications_key_and_the_gateways_address(moved: Moved) -> None:
    [given] = [json.loads(request.body) for request in moved.upstream.requests if request.line.startswith(b"PUT /api/public/llm-conn")]
    assert (given["adapter"], given["baseURL"]) == ("openai", f"{moved.server.address}/v1")
    assert re.fullmatch(r"sk-lw-\w{16}_\w{48}", given["secretKey"])


def test_the_fields_that_the_table_names_are_those_of_providers() -> None:
    there = {field.name for provider in load_catalog(None).providers.values() for field in provider.fields}
    rows = re.findall(r"^\| (`[A-Z]+_[A-Z_]+`[^|]*)\|", PAGE, re.MULTILINE)
    assert len(rows) > 8
    assert {name for row in rows for name in re.findall(r"`([A-Z_]+)`", row)} - there == set()


def test_the_configuration_that_leaves_litellm_in_front_is_yaml() -> None:
    [block] = re.findall(r"^```yaml\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)
    for model in yaml.safe_load(block)["model_list"]:
        assert model["litellm_params"]["api_base"].startswith(ADDRESS)
