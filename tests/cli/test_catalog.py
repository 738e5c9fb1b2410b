"""`keyhouse catalog models`: what is known of models, from the file that the operator names."""

import json
from pathlib import Path

import pytest

from tests.cli.commands import run

MODELS = {
    "source": {"name": "our own list", "version": "1", "licence": "internal"},
    "generated_at": "2030-01-02",
    "models": {"openai": [{"id": "gpt-8", "retires_on": "2026-12-11"}, {"id": "gpt-9"}]},
}


@pytest.fixture
def file(tmp_path: Path) -> str:
    path = tmp_path / "models.json"
    path.write_text(json.dumps(MODELS), encoding="utf-8")
    return str(path)


def test_the_day_on_which_a_model_ends_is_told_where_it_is_known(tmp_path: Path, file: str) -> None:
    told = json.loads(run(tmp_path, "catalog", "models", "openai", "--json", KEYHOUSE_MODELS_FILE=file).out)

    assert told == [
        {"provider": "openai", "id": "gpt-8", "mode": "chat", "retiresOn": "2026-12-11"},
        {"provider": "openai", "id": "gpt-9", "mode": "chat"},
    ]


def test_the_table_has_a_column_of_days(tmp_path: Path, file: str) -> None:
    heads, ending, lasting = run(tmp_path, "catalog", "models", "openai", KEYHOUSE_MODELS_FILE=file).out.splitlines()

    assert heads.split() == ["MODEL", "MODE", "CONTEXT", "OUTPUT", "RETIRES"]
    assert ending.split() == ["openai/gpt-8", "chat", "-", "-", "2026-12-11"]
    assert lasting.split() == ["openai/gpt-9", "chat", "-", "-", "-"]
