"""`keyhouse status`: the default models that end soon or have ended, over the data folder and of a server."""

import datetime
import json
from pathlib import Path

import pytest

from keyhouse.cli.status import print_retiring
from keyhouse.services.first_start import FirstKeys
from keyhouse.settings import Settings
from tests.cli.conftest import DATA, Furnished
from tests.conftest import start_house
from tests.models_file import ENDED, ENDING, LASTING, write_models_file

SECRET = "sk-planted-secret"


def set_default(furnished: Furnished, model: str) -> None:
    ran = furnished.run(
        furnished.folder, "provider", "set", "openai", "--secret", "OPENAI_API_KEY=-", "--default-model", model, stdin=SECRET
    )
    assert ran.code == 0, ran.err


@pytest.fixture
def file(furnished: Furnished) -> dict[str, str]:
    return {"KEYHOUSE_MODELS_FILE": str(write_models_file(furnished.folder, ENDED, ENDING, LASTING))}


def test_a_default_model_that_has_ended_is_told_with_its_project_and_what_to_do(furnished: Furnished, file: dict[str, str]) -> None:
    set_default(furnished, "gpt-ended")

    ran = furnished.run(furnished.folder, "status", **file)

    [row] = [line for line in ran.out.splitlines() if line.startswith("My project")]
    assert row.split("   ") == ["My project", "My organization", "openai/gpt-ended", "retired 3 Feb 2001"]
    assert "keyhouse provider set PROVIDER --default-model ID" in ran.out
    [told] = json.loads(furnished.run(furnished.folder, "status", "--json", **file).out)["retiringDefaultModels"]
    assert told.pop("projectId").startswith("project_")
    assert told == {"organization": "My organization", "project": "My project", "model": "openai/gpt-ended", "retiresOn": "2001-02-03"}


def test_of_many_the_first_are_shown_and_how_many_there_are(capsys: pytest.CaptureFixture[str]) -> None:
    one = {"organization": "O", "projectId": "project_1", "model": "openai/gpt-5", "retiresOn": "2026-12-11"}

    print_retiring([one | {"project": f"P{number}"} for number in range(21)], datetime.date(2026, 12, 11))

    rows = capsys.readouterr().out.splitlines()
    assert [row.split()[0] for row in rows if row.endswith("retires 11 Dec 2026")] == [f"P{number}" for number in range(20)]
    assert "21 in all: --json shows every one." in rows


@pytest.mark.parametrize("model", ["gpt-ending", "gpt-lasting", "gpt-unheard-of"])
def test_nothing_is_said_of_others(furnished: Furnished, file: dict[str, str], model: str) -> None:
    set_default(furnished, model)

    assert json.loads(furnished.run(furnished.folder, "status", "--json", **file).out)["retiringDefaultModels"] == []
    assert "DEFAULT MODEL" not in furnished.run(furnished.folder, "status", **file).out


def test_a_models_file_that_cannot_be_used_is_told_beside_the_rest(furnished: Furnished) -> None:
    file = {"KEYHOUSE_MODELS_FILE": str(furnished.folder / "gone.json")}

    ran = furnished.run(furnished.folder, "status", **file)

    assert ran.code == 0
    assert "key ring" in ran.out
    assert "gone.json cannot be read" in ran.out
    assert "gone.json" in json.loads(furnished.run(furnished.folder, "status", "--json", **file).out)["modelsProblem"]


def test_of_a_server_the_projects_own_default_model_is_told(furnished: Furnished, tmp_path: Path, file: dict[str, str]) -> None:
    set_default(furnished, "gpt-ended")
    models_file = Path(file["KEYHOUSE_MODELS_FILE"])
    keys = FirstKeys("", furnished.project_key, furnished.admin_key, "")
    house = start_house(Settings(data_dir=furnished.folder / DATA, models_file=models_file, shutdown_timeout_s=5), keys)
    try:

        def told(key: str) -> dict[str, object]:
            ran = furnished.run(tmp_path, "status", "--json", KEYHOUSE_ENDPOINT=house.address, KEYHOUSE_API_KEY=key)
            answer: dict[str, object] = json.loads(ran.out)
            return answer

        local = json.loads(furnished.run(furnished.folder, "status", "--json", **file).out)
        assert told(furnished.project_key)["retiringDefaultModels"] == local["retiringDefaultModels"]
        assert "retiringDefaultModels" not in told(furnished.admin_key)
        for body in ({"enabled": False}, {"enabled": True, "defaultModel": "gpt-lasting"}, {"enabled": True, "defaultModel": ""}):
            assert house.client().put("/api/model-providers/openai", json=body).status_code == 200
            assert told(furnished.project_key)["retiringDefaultModels"] == []
    finally:
        for client in house.clients:
            client.close()
        house.stop()
