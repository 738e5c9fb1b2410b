"""What LangWatch's command line and MCP server send, replayed byte for byte; the transcripts say where each fact is from."""

import base64
import tomllib
from pathlib import Path
from typing import Any

import pytest

from keyhouse.domain.credentials import MASK
from tests.conftest import ServedHouse
from tests.web.wire import Reply, exchange, request_bytes

TRANSCRIPTS = sorted((Path(__file__).parent / "transcripts").glob("*.toml"))


def filled(text: str, house: ServedHouse) -> str:
    keys = house.keys
    basic = base64.b64encode(f"{keys.project_id}:{keys.admin_key}".encode()).decode()
    words = {"project_key": keys.project_key, "scoped_key": keys.admin_key, "project_id": keys.project_id, "basic": basic, "mask": MASK}
    for name, word in words.items():
        text = text.replace(f"{{{name}}}", word)
    return text


def replayed(house: ServedHouse, transcript: dict[str, Any], sent: dict[str, Any]) -> Reply:
    headers = [(name, filled(value, house)) for name, value in transcript["headers"][sent["headers"]].items()]
    body = sent["body"].encode() if "body" in sent else None
    return exchange(house.address, request_bytes(sent["method"], filled(sent["path"], house), headers, body))


def holds(found: Any, expected: Any, house: ServedHouse) -> bool:
    if isinstance(expected, dict):
        return isinstance(found, dict) and all(holds(found.get(name), value, house) for name, value in expected.items())
    if expected == "{null}":
        return found is None
    return bool(found == (filled(expected, house) if isinstance(expected, str) else expected))


@pytest.mark.parametrize("path", TRANSCRIPTS, ids=lambda path: path.stem)
def test_the_client_finds_what_it_expects(sqlite_house: ServedHouse, path: Path) -> None:
    transcript = tomllib.loads(path.read_text(encoding="utf-8"))
    for sent in transcript["exchange"]:
        reply = replayed(sqlite_house, transcript, sent)
        assert reply.status == sent["status"], (sent["what"], reply.body)
        assert holds(reply.json, sent.get("holds", {}), sqlite_house), (sent["what"], reply.body)
        assert b"planted" not in reply.body


def test_transcripts_are_there() -> None:
    assert len(TRANSCRIPTS) == 2
