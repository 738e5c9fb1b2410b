"""The limits and time-outs that docs/gateway.md tells are those of the settings and of the code, and so are the numbers of other pages."""

import re
from pathlib import Path

import pytest

from keyhouse.domain.key_rules import MOST_FIELDS
from keyhouse.gateway import missing_paths, name_lookup
from keyhouse.gateway.connection_check import BUDGET_S
from keyhouse.gateway.pool import PoolLimits
from keyhouse.gateway.rendered import MOST_CONTAINERS as MOST_TAKEN_APART
from keyhouse.gateway.response import END_S
from keyhouse.gateway.timeouts import Timeouts
from keyhouse.gateway.translated import MAX_TRANSLATED_BYTES
from keyhouse.gateway.unpacking import MAX_UNPACKED_BYTES
from keyhouse.gateway.wire.json_text import MOST_CONTAINERS, MOST_VALUES
from keyhouse.services import identity, opened_projects, replicas, upkeep
from keyhouse.services.first_start import SIGN_IN_LIFETIME_S
from keyhouse.settings import PREFIX, Settings
from keyhouse.storage import changes, postgres, postgres_server
from keyhouse.storage.lock_waiting import SAID_AFTER_S
from keyhouse.storage.postgres_connections import IDLE_S
from keyhouse.storage.replicas import FORGOTTEN_AFTER_S
from keyhouse.storage.sqlite_connection import LOG_BYTES
from keyhouse.web import http_crowd, observing
from keyhouse.web.control import paging, routing, schemas
from keyhouse.web.http_bounds import BODY_IDLE_TIMEOUT_S, HEAD_TIMEOUT_S, KEEP_ALIVE_S, MAX_HEAD_BYTES
from keyhouse.web.http_taking import TAKE_TIMEOUT_S

DOCS = Path(__file__).parents[2] / "docs"
PAGE = (DOCS / "gateway.md").read_text(encoding="utf-8")
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


@pytest.mark.parametrize(
    ("page", "told"),
    [
        ("running", f"the callers that it saw last ({identity._REMEMBERED:,})"),
        (
            "running",
            f"the gateway ({opened_projects._REMEMBERED_PROJECTS:,}, each with up to {opened_projects._REMEMBERED_TARGETS} models)",
        ),
        (
            "running",
            f"upstreams are at most {PoolLimits().total:,}, and an idle one is closed after {PoolLimits().idle_s:.0f} seconds",
        ),
        ("settings", f"at most {postgres._POOL + 3} connections: {postgres._POOL} for transactions"),
        (
            "settings",
            f"{postgres_server._CONNECT_TIMEOUT_S} seconds for a connection to be made, {postgres_server.PATIENCE_S:.0f} seconds for an",
        ),
        ("settings", f"PostgreSQL {postgres_server._OLDEST} or newer"),
        ("settings", {(3.0, 60.0): "says so after three seconds"}[SAID_AFTER_S, IDLE_S]),
        ("settings", f"It holds up to {http_crowd.MOST:,} connections of callers"),
        ("settings", f"after {KEEP_ALIVE_S} seconds in any case"),
        ("security", f"looks up {name_lookup.MOST_AT_ONCE} names at once"),
        ("database", f"is cut to {LOG_BYTES // MIB} MB afterwards"),
        (
            "database",
            {(3600, 600.0): "the writes of the last hour | a server takes older ones away every ten minutes"}[
                changes.RETENTION_US // 10**6, upkeep._NOTICES_FORGOTTEN_EVERY_S
            ],
        ),
        ("observability", f"notes itself each {replicas.SEEN_EVERY_S:.0f} seconds"),
        ("observability", {120: "forgotten after two minutes"}[FORGOTTEN_AFTER_S]),
        (
            "observability",
            f"{observing._TOLD_AFTER_S} seconds old, connections and the figures of the processes {observing._MEASURED_EVERY_S:.0f}",
        ),
        ("gateway", {600.0: "for ten minutes the next ones at once"}[missing_paths._REMEMBERED_S]),
        ("gateway", f"There are {schemas._MOST_HEADERS} of them at most"),
        ("connection-test", f"nobody answered within {BUDGET_S:.0f} seconds"),
        ("catalog", f"a provider holds {MOST_FIELDS} fields at most"),
        ("settings-pages", f"Custom models, {schemas.MOST_MODELS:,} at most"),
        ("settings-pages", f"signs in once, within {SIGN_IN_LIFETIME_S // 3600} hours"),
        ("projects-and-keys", f"the body is larger than {routing.MAX_BODY_BYTES // MIB} MiB"),
        ("command-line", f"How many on a page, at most {paging._LARGEST_LIMIT}."),
    ],
)
def test_a_number_of_another_page_is_that_of_the_code(page: str, told: str) -> None:
    assert told in " ".join((DOCS / f"{page}.md").read_text(encoding="utf-8").split())
