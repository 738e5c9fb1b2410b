"""Where commands cannot say what they have to say."""

from pathlib import Path

import pytest

from tests.cli.commands import run

INTO_A_FULL_DISK = ("sh", "-c", 'exec "$@" > /dev/full', "sh")


@pytest.mark.parametrize("arguments", [["catalog", "providers"], ["catalog", "providers", "--json"], ["--version"]], ids=" ".join)
def test_an_answer_that_cannot_be_written_is_told_in_a_sentence(tmp_path: Path, arguments: list[str]) -> None:
    ran = run(tmp_path, *arguments, through=INTO_A_FULL_DISK)
    assert ran.code == 1
    assert ran.sentence == "What this command did is done, but its answer cannot be written: No space left on device."
