"""Recorded-shape streams, and the plainest ways to read and replay them."""

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from msgspec.structs import replace

from keyhouse.gateway.wire.answer import AnswerDefaults
from keyhouse.gateway.wire.parameters import CallerFormat, UpstreamFormat
from keyhouse.gateway.wire.translation import StreamTranslation

RECORDED = Path(__file__).with_name("recorded")
Event = tuple[str | None, bytes]


def _events(stream: bytes) -> list[Event]:
    """Server-sent events, one blank line after each; comments left out."""
    events: list[Event] = []
    for block in stream.split(b"\n\n"):
        lines = [line for line in block.split(b"\n") if line and not line.startswith(b":")]
        if lines:
            name = next((line[7:].decode() for line in lines if line.startswith(b"event: ")), None)
            events.append((name, b"\n".join(line[6:] for line in lines if line.startswith(b"data: "))))
    return events


@pytest.fixture
def events() -> Callable[[bytes], list[Event]]:
    return _events


@pytest.fixture
def recorded() -> Callable[[str], list[Event]]:
    def read(name: str) -> list[Event]:
        data = (RECORDED / name).read_bytes()
        if not name.endswith(".jsonl"):
            return _events(data)
        rows = [msgspec.json.decode(line) for line in data.splitlines()]
        return [(event, msgspec.json.encode(payload)) for event, payload in rows]

    return read


@pytest.fixture
def defaults() -> AnswerDefaults:
    return AnswerDefaults(id="request-1", model="the-model", created=1_800_000_000)


@pytest.fixture
def replayed(defaults: AnswerDefaults) -> Callable[..., bytes]:
    def replay(caller: CallerFormat, upstream: UpstreamFormat, stream: Iterable[Event], **options: Any) -> bytes:
        translation = StreamTranslation(caller, upstream, replace(defaults, **options))
        return b"".join([*(translation.feed(name, data) for name, data in stream), translation.end()])

    return replay
