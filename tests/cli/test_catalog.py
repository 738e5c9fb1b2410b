"""`keyhouse catalog`: what is known of providers and models, from the file that the operator names."""

import json
from pathlib import Path

from tests.cli.commands import run
from tests.models_file import ENDED, LASTING, write_models_file


def test_the_command_alone_shows_the_catalogue_and_where_it_is_from(tmp_path: Path) -> None:
    file = str(write_models_file(tmp_path, ENDED, LASTING))
    written = json.loads(Path(file).read_bytes())

    ran = run(tmp_path, "catalog", KEYHOUSE_MODELS_FILE=file)

    assert ran.code == 0
    assert [line.split() for line in ran.out.splitlines() if line.startswith("openai ")] == [["openai", "OpenAI", "2"]]
    assert f"Models of {written['generated_at']}, from {written['source']['name']} {written['source']['version']}, in {file}." in ran.out
    assert "in this release." in run(tmp_path, "catalog").out


def test_the_catalogue_is_told_as_json(tmp_path: Path) -> None:
    file = str(write_models_file(tmp_path, ENDED, LASTING))
    written = json.loads(Path(file).read_bytes())

    told = json.loads(run(tmp_path, "catalog", "--json", KEYHOUSE_MODELS_FILE=file).out)

    assert (told["modelsFile"], told["generatedAt"]) == (file, written["generated_at"])
    assert told["source"].items() >= written["source"].items()
    assert {"id": "openai", "name": "OpenAI", "models": 2} in told["providers"]
    assert json.loads(run(tmp_path, "catalog", "--json").out)["modelsFile"] is None


def test_json_belongs_behind_the_command_that_prints_it(tmp_path: Path) -> None:
    ran = run(tmp_path, "catalog", "--json", "providers")
    assert ran.code == 2
    assert ran.sentence == "Write --json behind the command: keyhouse catalog providers --json."


def test_the_day_on_which_a_model_ends_is_told_where_it_is_known(tmp_path: Path) -> None:
    file = str(write_models_file(tmp_path, ENDED, LASTING))

    told = json.loads(run(tmp_path, "catalog", "models", "openai", "--json", KEYHOUSE_MODELS_FILE=file).out)

    assert told == [
        {"provider": "openai", "id": "gpt-ended", "mode": "chat", "retiresOn": "2001-02-03"},
        {"provider": "openai", "id": "gpt-lasting", "mode": "chat"},
    ]


def test_the_table_has_a_column_of_days(tmp_path: Path) -> None:
    file = str(write_models_file(tmp_path, ENDED, LASTING))

    heads, ended, lasting = run(tmp_path, "catalog", "models", "openai", KEYHOUSE_MODELS_FILE=file).out.splitlines()

    assert heads.split() == ["MODEL", "MODE", "CONTEXT", "OUTPUT", "RETIRES"]
    assert ended.split() == ["openai/gpt-ended", "chat", "-", "-", "2001-02-03"]
    assert lasting.split() == ["openai/gpt-lasting", "chat", "-", "-", "-"]
