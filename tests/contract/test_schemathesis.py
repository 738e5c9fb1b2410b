"""Schemathesis against a served house: over the contract's document and the house's own, with data that fits and data that does not.

Two of its checks contradict the contract: `positive_data_acceptance` (an unknown provider is 400 whatever its body) and
`unsupported_method` (a wrong method is 404).
"""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ADMIN_KEY, Serve, ServedHouse

LAW = Path(__file__).parent / "model-providers.openapi.yaml"
CONFIGURATION = """\
warnings = false

[cache]
enabled = false

[dictionaries.providers]
values = ["openai", "azure", "gemini", "custom", "google_agent_platform", "toString"]

[dictionaries.strings]
values = ["OPENAI_API_KEY", "https://llm.example.com/v1", "", "*"]

[parameters]
provider = {{ dictionary = "providers", probability = 0.8 }}

[generation.dictionaries.string]
dictionary = "strings"
probability = 0.2

[auth.openapi.project_api_key]
api_key = "{project_key}"
"""
OWN_KEYS = """
[auth.openapi.organization_api_key]
bearer = "{admin_key}"

[auth.openapi.instance_key]
bearer = "{instance_key}"
"""


def run(house: ServedHouse, folder: Path, document: str, examples: int, further: str = "") -> str:
    keys = {"project_key": house.keys.project_key, "admin_key": house.keys.admin_key, "instance_key": ADMIN_KEY}
    (folder / "schemathesis.toml").write_text((CONFIGURATION + further).format(**keys), encoding="utf-8")
    command = [
        Path(sys.executable).with_name("schemathesis"),
        "--config-file",
        "schemathesis.toml",
        "run",
        document,
        "--url",
        house.address,
    ]
    command += ["--exclude-checks", "positive_data_acceptance,unsupported_method", "--mode", "all", "--max-examples", str(examples)]
    command += ["--generation-database", "none", "--no-color", "--seed", os.environ.get("SCHEMATHESIS_SEED", "1")]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stdout[-8000:] + done.stderr[-2000:]
    return done.stdout


def passed(output: str) -> int:
    found = re.search(r"(\d+) generated, (\d+) passed", output)
    assert found, output
    return int(found[2])


@pytest.fixture
def enclosed_house(serve: Serve, database_url: str) -> ServedHouse:
    """A house whose calls of providers end at a closed port of this machine, whatever address is stored."""
    nowhere = "http://127.0.0.1:9"
    return serve(database_url=database_url, https_proxy=nowhere, http_proxy=nowhere, no_proxy="", log_level="warning")


def test_the_house_keeps_the_contracts_document(sqlite_house: ServedHouse, tmp_path: Path) -> None:
    assert passed(run(sqlite_house, tmp_path, str(LAW), examples=60)) >= 200


def test_the_house_keeps_its_own_document(enclosed_house: ServedHouse, tmp_path: Path) -> None:
    output = run(enclosed_house, tmp_path, f"{enclosed_house.address}/openapi.json", examples=12, further=OWN_KEYS)
    operations = json.loads(enclosed_house.anonymous().get("/openapi.json").content)["paths"].values()
    count = sum(len(path) for path in operations)
    assert f"{count} selected / {count} total" in output
    assert passed(output) >= 20 * count
