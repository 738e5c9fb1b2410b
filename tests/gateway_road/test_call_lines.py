"""The gateway's line in the log: every request once, in text and as JSON, and nothing in it that a caller chose."""

import json
import re
from collections.abc import Iterable
from pathlib import Path
from time import perf_counter

import pytest

from keyhouse.gateway.observation import Observation
from keyhouse.gateway.wire.answer import Usage
from keyhouse.log import AccessLines, LineWriter
from keyhouse.web.gateway.call_lines import CallLines

PAGE = (
    (Path(__file__).parents[2] / "docs" / "observability.md").read_text(encoding="utf-8").partition("## The log\n")[2].partition("\n## ")[0]
)


class Kept(LineWriter):
    """Keeps lines instead of writing them."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []

    def write_together(self, lines: Iterable[str]) -> None:
        self.lines += lines


def _ended() -> Observation:
    now = perf_counter()
    noted = Observation("req_1", "POST", "/v1/chat/completions", endpoint="chat", provider="openai", model="planted", status=200)
    noted.organization_id, noted.project_id, noted.streams, noted.retries, noted.usage = (
        "organization_1",
        "project_1",
        True,
        1,
        Usage(90, 20, 10),
    )
    noted.started_at, noted.answered_at, noted.ended_at, noted.upstream_s = now, now + 0.5, now + 2.0, 0.499
    return noted


def test_a_line_as_json_can_be_read_back() -> None:
    kept = Kept()
    CallLines(AccessLines("json", kept)).write([_ended()])
    [line] = kept.lines
    noted = json.loads(line)
    assert noted.pop("timestamp").endswith("Z")
    assert noted == {
        "level": "info",
        "event": "request",
        "method": "POST",
        "route": "/v1/chat/completions",
        "status": 200,
        "duration_ms": 2000.0,
        "added_ms": 1.0,
        "provider": "openai",
        "stream": True,
        "input_tokens": 100,
        "output_tokens": 20,
        "retries": 1,
        "code": "",
        "project_id": "project_1",
        "request_id": "req_1",
    }


def test_a_line_as_text_names_the_same() -> None:
    kept = Kept()
    CallLines(AccessLines("text", kept)).write([_ended()])
    [line] = kept.lines
    assert " info request method=POST route=/v1/chat/completions status=200 duration_ms=2000.000 added_ms=1.000 provider=openai" in line
    assert line.endswith("stream=yes input_tokens=100 output_tokens=20 retries=1 code=- project_id=project_1 request_id=req_1")
    assert "planted" not in line


@pytest.mark.parametrize("line_format", ["text", "json"])
def test_a_request_that_reached_nothing_is_noted_too(line_format: str) -> None:
    kept = Kept()
    refused = Observation("req_2", 'GET"\n', "-", status=0, code="caller_left", ended_at=1.0)
    CallLines(AccessLines(line_format, kept)).write([refused])  # type: ignore[arg-type]
    [line] = kept.lines
    assert "\n" not in line
    if line_format == "json":
        noted = json.loads(line)
        assert (noted["method"], noted["added_ms"], noted["input_tokens"], noted["code"]) == ("other", None, None, "caller_left")


def test_the_page_shows_both_and_explains_their_fields() -> None:
    now = perf_counter()
    shown = re.search(r"^.* route=/v1/chat.*$", PAGE, re.MULTILINE)
    block = re.search(r"```json\n(.*?)```", PAGE, re.DOTALL)
    assert shown is not None
    assert block is not None
    named = json.loads(block[1])
    noted = Observation(named["request_id"], "POST", named["route"], provider="openai", status=200, project_id=named["project_id"])
    noted.started_at, noted.answered_at, noted.ended_at, noted.upstream_s = now, now + 0.000757, now + 0.002084, 0.0
    noted.usage = Usage(9, 4, 0)
    kept = Kept()
    CallLines(AccessLines("text", kept)).write([noted])
    CallLines(AccessLines("json", kept)).write([noted])
    text, as_json = kept.lines
    assert text.partition(" ")[2].strip() == shown[0].partition(" ")[2]
    assert {**json.loads(as_json), "timestamp": named["timestamp"]} == named
    told = {name for row in re.findall(r"^\| (`.*?) \|", PAGE, re.MULTILINE) for name in re.findall(r"`(\w+)`", row)}
    assert named.keys() - told == {"timestamp", "level", "event", "method", "provider", "stream"}
