"""The limits and time-outs that docs/gateway.md tells are those of the settings and of the code."""

import re
from pathlib import Path

import pytest

from keyhouse.gateway.pool import PoolLimits
from keyhouse.gateway.rendered import MOST_CONTAINERS as MOST_TAKEN_APART
from keyhouse.gateway.response import END_S
from keyhouse.gateway.timeouts import Timeouts
from keyhouse.gateway.translated import MAX_TRANSLATED_BYTES
from keyhouse.gateway.unpacking import MAX_UNPACKED_BYTES
from keyhouse.gateway.wire.json_text import MOST_CONTAINERS, MOST_VALUES
from keyhouse.settings import PREFIX, Settings
from keyhouse.web.http_protocol import BODY_IDLE_TIMEOUT_S, HEAD_TIMEOUT_S, KEEP_ALIVE_S, MAX_HEAD_BYTES
from keyhouse.web.http_taking import TAKE_TIMEOUT_S

PAGE = (Path(__file__).parents[2] / "docs" / "gateway.md").read_text(encoding="utf-8")
SECTION = PAGE.partition("## Limits and time-outs\n")[2].partition("\n## ")[0]
MIB = 1024 * 1024


def row(begins: str) -> str:
    found = re.search(rf"^\| {re.escape(begins)}.*$", SECTION, re.MULTILINE)
    assert found is not None, begins
    return found[0]


@pytest.mark.parametrize("setting", ["upstream_connect_timeout_s", "upstream_first_byte_timeout_s", "upstream_idle_timeout_s"])
def test_a_time_out_is_the_settings_default(setting: str) -> None:
    assert f"| {Settings.model_fields[setting].default:.0f} s | `{PREFIX}{setting.upper()}` |" in SECTION


@pytest.mark.parametrize(
    ("begins", "told"),
    [
        ("the body of a request", f"{Settings.model_fields['max_request_bytes'].default // MIB} MiB, `{PREFIX}MAX_REQUEST_BYTES`"),
        ("objects and arrays in a body", {1_000_000: "a million | 413"}[MOST_TAKEN_APART]),
        ("its head", f"{MAX_HEAD_BYTES // 1024} KiB, within {HEAD_TIMEOUT_S:.0f} s"),
        ("it pauses inside its body", f"{BODY_IDLE_TIMEOUT_S:.0f} s"),
        ("it takes nothing", f"{TAKE_TIMEOUT_S:.0f} s"),
        ("its connection is unused", f"{KEEP_ALIVE_S} s"),
        (
            "connections of a process",
            f"{PoolLimits().per_origin:,} to one address, {PoolLimits().total:,} in all; who waits longer than 10 s",
        ),
        (
            "an answer that is translated whole",
            f"{MAX_TRANSLATED_BYTES // MIB} MiB; where it came compressed, {MAX_UNPACKED_BYTES // MIB} MiB unpacked;",
        ),
        ("what a translated answer", f"{MOST_CONTAINERS:,} objects and arrays, {MOST_VALUES // 1_000_000} million values"),
    ],
)
def test_a_bound_is_that_of_the_code(begins: str, told: str) -> None:
    assert f"| {told}" in row(begins)


def test_what_stands_elsewhere_on_the_page() -> None:
    assert END_S == 1
    assert "the provider has a second to end it too" in PAGE
    assert f"was busy for {Timeouts().pool_s:.0f} s |" in PAGE
    assert f"At most two more tries (`{PREFIX}UPSTREAM_RETRIES`)" in PAGE
    assert Settings.model_fields["upstream_retries"].default == 2
