"""`keyhouse catalog models`: what is known of models, from the file that the operator names."""

import json
from pathlib import Path

from tests.cli.commands import run
from tests.models_file import ENDED, LASTING, write_models_file


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
