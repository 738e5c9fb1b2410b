"""Power cuts: what was answered is on the disk, and so is every key that seals. `python -m bench.power_loss` tries far more."""

import asyncio
import shutil
import subprocess
from pathlib import Path

import pytest

from bench.power_loss.cuts import Cutting, cut_all
from bench.power_loss.stage import Order, played
from tests.conftest import missing


@pytest.mark.parametrize("acts", [("first start",), ("first start", "key by hand")], ids=" and ".join)
def test_what_was_answered_outlives_a_power_cut(tmp_path: Path, acts: tuple[str, ...]) -> None:
    if shutil.which("strace") is None:
        missing("strace (Debian's package strace)")
    if subprocess.run(["strace", "-o", tmp_path / "tried", "true"], check=False, capture_output=True).returncode:
        pytest.skip("this system lets no process be traced, as some containers do not")
    asyncio.run(played(tmp_path, Order(seed=1, workers=1, steps=3, acts=acts)))
    result = cut_all(tmp_path, Cutting(seed=1, cuts=300, draws=2), tmp_path)
    assert result.found == []
    assert result.counts["ends of syncs where the power was cut"] > 60
