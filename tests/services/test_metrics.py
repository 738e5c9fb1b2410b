"""What is counted, and how it is told: bounded, exact, and across workers."""

import re
import subprocess
import sys
import tracemalloc
from time import perf_counter

import pytest

from keyhouse.gateway.observation import Observation
from keyhouse.gateway.pool import Counters
from keyhouse.gateway.upstream import ConnectionCounts
from keyhouse.gateway.wire.answer import Usage
from keyhouse.services.metrics.memory import MetricsMemory
from keyhouse.services.metrics.metrics import METRICS, Metrics

SAMPLE = re.compile(r"(?P<name>[a-z_]+)(?:\{(?P<labels>[^}]*)\})? (?P<value>\S+)")


def samples(text: bytes) -> dict[str, float]:
    """Every sample by its name and labels as they stand there."""
    lines = [line for line in text.decode().splitlines() if not line.startswith("#")]
    found = {}
    for line in lines:
        matched = SAMPLE.fullmatch(line)
        assert matched, line
        found[line.rpartition(" ")[0]] = float(matched["value"])
    assert len(found) == len(lines)
    return found


def ended(**changes: object) -> Observation:
    """A request that took 2 s, of which 1.75 s were the upstream's before its head."""
    now = perf_counter()
    noted = Observation("req_1", "POST", "/v1/chat/completions", endpoint="chat", provider="openai", status=200)
    noted.started_at, noted.answered_at, noted.ended_at, noted.upstream_s = now, now + 1.752, now + 2.0, 1.75
    for name, value in changes.items():
        setattr(noted, name, value)
    return noted


def test_a_request_is_counted_once_everywhere() -> None:
    metrics = Metrics()
    metrics.observe([ended(usage=Usage(100, 20, 5, None, 7), retries=2)])
    metrics.observe([ended(status=429, code="", streams=True)])
    metrics.observe([ended(provider="", endpoint="", status=401, code="invalid_credentials", answered_at=None)])
    told = samples(metrics.text())
    assert told['keyhouse_requests_total{endpoint="chat",provider="openai",status="200"}'] == 1
    assert told['keyhouse_requests_total{endpoint="chat",provider="openai",status="429"}'] == 1
    assert told['keyhouse_requests_total{endpoint="none",provider="none",status="401"}'] == 1
    assert told['keyhouse_errors_total{code="invalid_credentials"}'] == 1
    assert told['keyhouse_retries_total{provider="openai"}'] == 2
    kinds = {kind: told.get(f'keyhouse_tokens_total{{provider="openai",kind="{kind}"}}') for kind in ("input", "output", "reasoning")}
    assert kinds == {"input": 100, "output": 20, "reasoning": 7}
    assert told['keyhouse_tokens_total{provider="openai",kind="cache_read"}'] == 5
    whole = 'endpoint="chat",provider="openai",stream="no"'
    assert told[f'keyhouse_request_duration_seconds_bucket{{{whole},le="1"}}'] == 0
    assert told[f'keyhouse_request_duration_seconds_bucket{{{whole},le="2.5"}}'] == 1
    assert told[f'keyhouse_request_duration_seconds_bucket{{{whole},le="+Inf"}}'] == 1
    assert told[f"keyhouse_request_duration_seconds_sum{{{whole}}}"] == pytest.approx(2.0)
    assert told['keyhouse_request_duration_seconds_count{endpoint="chat",provider="openai",stream="yes"}'] == 1
    added = 'endpoint="chat",provider="openai"'
    assert told[f'keyhouse_added_latency_seconds_bucket{{{added},le="0.001"}}'] == 0
    assert told[f'keyhouse_added_latency_seconds_bucket{{{added},le="0.0025"}}'] == 2
    assert 'keyhouse_added_latency_seconds_count{endpoint="none",provider="none"}' not in told or (
        told['keyhouse_added_latency_seconds_count{endpoint="none",provider="none"}'] == 0
    )


def test_a_bucket_holds_its_own_bound() -> None:
    metrics = Metrics()
    metrics.observe([ended(started_at=0.0, answered_at=None, ended_at=2.5)])
    told = samples(metrics.text())
    assert told['keyhouse_request_duration_seconds_bucket{endpoint="chat",provider="openai",stream="no",le="2.5"}'] == 1


def test_a_caller_that_left_has_status_0_and_its_code() -> None:
    metrics = Metrics()
    metrics.observe([ended(status=0, code="caller_left", answered_at=None)])
    told = samples(metrics.text())
    assert told['keyhouse_requests_total{endpoint="chat",provider="openai",status="0"}'] == 1
    assert told['keyhouse_errors_total{code="caller_left"}'] == 1


def test_no_upstream_can_make_series_without_end() -> None:
    metrics = Metrics()
    for status in range(100, 1000):
        metrics.observe([ended(status=status)])
    told = [name for name in samples(metrics.text()) if name.startswith("keyhouse_requests_total")]
    assert len(told) < 80
    other = 'keyhouse_requests_total{endpoint="chat",provider="openai",status="other"}'
    assert samples(metrics.text())[other] > 800


@pytest.mark.parametrize("count", [-5, 10**30, True])
def test_an_odd_count_of_tokens_spoils_nothing(count: int) -> None:
    metrics = Metrics()
    metrics.observe([ended(usage=Usage(count, 3))])
    told = samples(metrics.text())
    assert told['keyhouse_tokens_total{provider="openai",kind="input"}'] in (0, 1)
    assert told['keyhouse_tokens_total{provider="openai",kind="output"}'] == 3


def test_connections_are_told_as_they_are_and_counted_as_they_were() -> None:
    metrics = Metrics()
    counted = Counters(opened=5, reused=100, failed=1, replaced=2)
    metrics.connections = lambda: (ConnectionCounts(open=4, idle=3, waiting=7), counted)
    told = samples(metrics.text())
    assert (told['keyhouse_upstream_connections{state="idle"}'], told['keyhouse_upstream_connections{state="busy"}']) == (3, 1)
    assert told["keyhouse_upstream_waiting_requests"] == 7
    assert told['keyhouse_upstream_connection_events_total{event="reused"}'] == 100
    counted.reused += 5
    assert samples(metrics.text())['keyhouse_upstream_connection_events_total{event="reused"}'] == 105


def test_the_process_is_told() -> None:
    told = samples(Metrics().text())
    assert told['keyhouse_resident_memory_bytes{worker="0"}'] > 1024 * 1024
    assert told['keyhouse_open_file_descriptors{worker="0"}'] > 2
    assert told['keyhouse_cpu_seconds_total{worker="0"}'] > 0
    assert told['keyhouse_start_time_seconds{worker="0"}'] > 1_700_000_000
    assert told["keyhouse_workers"] == 1


_TWO_WORKERS = """
import os
from keyhouse.gateway.observation import Observation
from keyhouse.services.metrics.memory import MetricsMemory
from keyhouse.services.metrics.metrics import Metrics

memory = MetricsMemory(2)
child = os.fork()
if child == 0:
    Metrics(memory, 0).observe([Observation("", "", "", endpoint="chat", provider="openai", status=200)])
    os._exit(0)
os.waitpid(child, 0)
own = Metrics(memory, 1)
own.observe([Observation("", "", "", endpoint="chat", provider="openai", status=200)])
os.write(1, own.text())
"""


def test_each_worker_tells_the_counts_of_all() -> None:
    told = samples(subprocess.run([sys.executable, "-c", _TWO_WORKERS], check=True, capture_output=True).stdout)
    assert told['keyhouse_requests_total{endpoint="chat",provider="openai",status="200"}'] == 2
    assert told['keyhouse_request_duration_seconds_count{endpoint="chat",provider="openai",stream="no"}'] == 2


def test_a_worker_goes_on_with_the_counts_of_the_one_that_died() -> None:
    memory = MetricsMemory(1)
    Metrics(memory, 0).observe([ended()])
    successor = Metrics(memory, 0)
    successor.observe([ended()])
    successor.observe([ended(provider="groq")])
    told = samples(successor.text())
    assert told['keyhouse_requests_total{endpoint="chat",provider="openai",status="200"}'] == 2
    assert told['keyhouse_requests_total{endpoint="chat",provider="groq",status="200"}'] == 1


def test_counts_that_find_no_room_spoil_no_others() -> None:
    section = MetricsMemory(1).section(0)
    places = [section.row(("m", (str(number),)), 100) for number in range(400)]
    assert len(set(places)) < 400
    section.values[places[-1] + 50] = 7
    assert all(value == 0 for _, row in section.rows() for value in row)


def test_counting_holds_no_memory_for_each_request() -> None:
    metrics = Metrics()
    noted = ended(usage=Usage(1, 1))
    # The interpreter keeps a little for code that runs often.
    for _ in range(1000):
        metrics.observe([noted])
    tracemalloc.start()
    for _ in range(10_000):
        metrics.observe([noted])
    grown, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert grown < 10_000


def test_the_text_is_what_prometheus_reads() -> None:
    parser = pytest.importorskip("prometheus_client.parser")
    metrics = Metrics()
    metrics.observe([ended(usage=Usage(1, 1), retries=1, code="upstream_broken")])
    families = {family.name: family for family in parser.text_string_to_metric_families(metrics.text().decode())}
    assert {name.removesuffix("_total") for name in (metric.name for metric in METRICS)} == set(families)
    assert all(family.documentation for family in families.values())
