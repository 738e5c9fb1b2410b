"""The script that makes models.json: what is committed is what it writes, and it says what is wrong with its overlay."""

import json
import subprocess
import sys
from datetime import date
from pathlib import Path

import pytest

from keyhouse.catalog.catalog import BUNDLED_MODELS_FILE
from keyhouse.catalog.models_file import CatalogModel, ModelsFile, read_models_file

SCRIPT = Path(__file__).parents[2] / "scripts" / "build_catalog.py"
OVERLAY = """
as_of = 2026-11-23
[providers.openai]
source = "openai"
only = ["gpt-4o", "gpt-4o-mini"]
rename = { "gpt-4o-mini" = "small" }
[[providers.openai.rules]]
match = ["*"]
max_output_tokens = 1
[[providers.openai.rules]]
match = ["small"]
max_output_tokens = 2
[[providers.openai.models]]
id = "extra"
mode = "embedding"
"""


def build(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, SCRIPT, *arguments], capture_output=True, text=True, check=False)


@pytest.fixture
def overlay(tmp_path: Path) -> Path:
    path = tmp_path / "overlay.toml"
    path.write_text(OVERLAY, encoding="utf-8")
    return path


def built(overlay: Path) -> tuple[ModelsFile, dict[str, CatalogModel]]:
    output = overlay.with_name("models.json")
    done = build("--overlay", overlay, "--output", output)
    assert done.returncode == 0, done.stderr
    file = read_models_file(output)
    return file, {model.id: model for model in file.models["openai"]}


def test_committed_models_file_is_what_the_script_writes() -> None:
    done = build("--check")

    assert (done.returncode, done.stderr) == (0, "")


def test_check_leaves_the_date_aside_and_fails_on_any_other_change(tmp_path: Path) -> None:
    text = BUNDLED_MODELS_FILE.read_text(encoding="utf-8")
    path = tmp_path / "models.json"
    date = json.loads(text)["generated_at"]

    path.write_text(text.replace(date, "2020-02-02"), encoding="utf-8")
    assert build("--check", "--output", path).returncode == 0

    path.write_text(text.replace('"gpt-4o"', '"gpt-4p"'), encoding="utf-8")
    done = build("--check", "--output", path)
    assert done.returncode == 1
    assert "run scripts/build_catalog.py" in done.stderr
    assert '"gpt-4p"' in path.read_text(encoding="utf-8")


def test_check_fails_when_there_is_no_file(tmp_path: Path) -> None:
    assert build("--check", "--output", tmp_path / "models.json").returncode == 1
    assert not (tmp_path / "models.json").exists()


def test_writing_an_equal_file_again_keeps_its_date(tmp_path: Path) -> None:
    path = tmp_path / "models.json"
    text = BUNDLED_MODELS_FILE.read_text(encoding="utf-8").replace(
        json.loads(BUNDLED_MODELS_FILE.read_bytes())["generated_at"], "2020-02-02"
    )
    path.write_text(text, encoding="utf-8")

    assert build("--output", path).returncode == 0
    assert path.read_text(encoding="utf-8") == text


def test_overlay_chooses_renames_and_adds_and_the_later_rule_wins(overlay: Path) -> None:
    file, models = built(overlay)

    assert list(models) == ["extra", "gpt-4o", "small"]
    assert {name: model.max_output_tokens for name, model in models.items()} == {"extra": None, "gpt-4o": 1, "small": 2}
    assert (models["extra"].mode, models["extra"].prices) == ("embedding", {})
    assert models["small"].context_window == 128_000
    assert models["small"].prices["input"] > 0
    assert file.source.name == "genai-prices"


def test_a_rule_or_an_added_model_may_say_when_it_ends(overlay: Path) -> None:
    rules = '["small"]\nretires_on = 2026-12-11\n', 'id = "extra"\nretires_on = 2027-01-14\n'
    overlay.write_text(OVERLAY.replace('["small"]\n', rules[0]).replace('id = "extra"\n', rules[1]), encoding="utf-8")

    _, models = built(overlay)

    assert {name: model.retires_on for name, model in models.items()} == {
        "extra": date(2027, 1, 14), "gpt-4o": None, "small": date(2026, 12, 11),
    }  # fmt: skip


def test_prefix_goes_before_every_id_but_a_renamed_one(overlay: Path) -> None:
    overlay.write_text(OVERLAY.replace("rename =", 'prefix = "models/"\nrename ='), encoding="utf-8")

    assert list(built(overlay)[1]) == ["extra", "models/gpt-4o", "small"]


def test_what_the_source_marks_as_deprecated_is_left_out(overlay: Path) -> None:
    overlay.write_text('as_of = 2026-11-23\n[providers.openai]\nsource = "cerebras"\n', encoding="utf-8")

    _, models = built(overlay)

    assert "gpt-oss-120b" in models
    assert "llama3.1-8b" not in models


def test_prices_that_change_with_time_are_those_of_the_overlays_day(overlay: Path) -> None:
    text = '[providers.openai]\nsource = "openai"\nonly = ["o3"]\n'
    overlay.write_text("as_of = 2025-06-01\n" + text, encoding="utf-8")
    before = built(overlay)[1]["o3"].prices
    overlay.write_text("as_of = 2025-07-01\n" + text, encoding="utf-8")
    after = built(overlay)[1]["o3"].prices

    assert before["input"] > after["input"]


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('"gpt-4o", ', '"gpt-4o", "gpt-nothing", ', "The overlay of openai names what is not there: gpt-nothing"),
        ('"small"]', '"smaller"]', "The overlay of openai names what is not there: smaller"),
        ("rename = {", 'rename = { "gpt-nothing" = "x",', "gpt-nothing"),
        ("max_output_tokens = 1", "retires_on = 2026-02-30", "Invalid date"),
        ("max_output_tokens = 1", "retires_on = 'soon'", "Invalid RFC3339 encoded date"),
        ("max_output_tokens = 1", "retires_on = 2026-12-11T10:00:00Z", "Expected `date | null`"),
        ("max_output_tokens = 1", "max_output_token = 1", "unknown field `max_output_token`"),
    ],
)
def test_overlay_that_names_what_is_not_there_is_refused(overlay: Path, old: str, new: str, said: str) -> None:
    assert old in OVERLAY
    overlay.write_text(OVERLAY.replace(old, new), encoding="utf-8")

    done = build("--overlay", overlay, "--output", overlay.with_name("models.json"))

    assert done.returncode == 1
    assert said in done.stderr
