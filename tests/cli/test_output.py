"""Where commands cannot say what they have to say."""

import json
from pathlib import Path

import pytest

from tests.cli.commands import run
from tests.cli.conftest import Furnished

INTO_A_FULL_DISK = ("sh", "-c", 'exec "$@" > /dev/full', "sh")
OUTPUT_CLOSED = ("sh", "-c", 'exec "$@" >&-', "sh")
ALL_CLOSED = ("sh", "-c", 'exec "$@" <&- >&- 2>&-', "sh")


@pytest.mark.parametrize("arguments", [["catalog", "providers"], ["catalog", "providers", "--json"], ["--version"]], ids=" ".join)
def test_an_answer_that_cannot_be_written_is_told_in_a_sentence(tmp_path: Path, arguments: list[str]) -> None:
    ran = run(tmp_path, *arguments, through=INTO_A_FULL_DISK)
    assert ran.code == 1
    assert ran.sentence == "What this command did is done, but its answer cannot be written: No space left on device."


@pytest.mark.parametrize("arguments", [["api-key", "create", "x"], ["project", "list"], ["--version"]], ids=" ".join)
def test_a_closed_standard_output_is_told_in_a_sentence(furnished: Furnished, arguments: list[str]) -> None:
    ran = run(furnished.folder, *arguments, through=OUTPUT_CLOSED)
    assert ran.code == 1
    assert ran.sentence == "What this command did is done, but its answer cannot be written: Bad file descriptor."


def test_a_command_without_any_standard_stream_ends_as_it_must(furnished: Furnished) -> None:
    assert run(furnished.folder, "provider", "set", "openai", "--secret-file", "OPENAI_API_KEY=-", through=ALL_CLOSED).code == 2
    assert run(furnished.folder, "project", "create", "Another", through=ALL_CLOSED).code == 1
    assert "another" in run(furnished.folder, "project", "list").out


def test_models_of_the_catalogue_are_spelt_as_everything_else(tmp_path: Path) -> None:
    models = json.loads(run(tmp_path, "catalog", "models", "--json").out)
    members = {name for model in models for name in model}
    assert members == {
        "provider", "id", "mode", "contextWindow", "maxOutputTokens", "supportedParameters", "multimodalInputs", "prices", "priceTiers",
        "retiresOn",
    }  # fmt: skip
    tiers = [tier for model in models for tier in model.get("priceTiers", [])]
    assert {name for tier in tiers for name in tier} == {"aboveTokens", "prices"}
    counted = {name for each in (*models, *tiers) for name in each.get("prices", {})}
    assert {"input", "cacheRead", "cacheWrite1h"} <= counted
    assert not any("_" in name for name in counted)
