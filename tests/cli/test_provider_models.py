"""`keyhouse provider models`, over the data folder and against a server."""

import json
from collections.abc import Iterator

import pytest

from tests.cli.conftest import Keyhouse
from tests.gateway_road.upstreams import Upstream, answered_by, json_answer, running_upstream


@pytest.fixture
def upstream() -> Iterator[Upstream]:
    with running_upstream(answered_by(lambda request: json_answer({"data": [{"id": "gpt-5-mini"}, {"id": "mine"}]}))) as running:
        yield running


def _store(keyhouse: Keyhouse, address: str) -> None:
    options = ("--public", f"OPENAI_BASE_URL={address}/v1", "--secret", "OPENAI_API_KEY=-", "--model", "mine")
    assert keyhouse("provider", "set", "openai", *options, stdin="sk-good").code == 0


def test_declared_and_known_models_are_listed(keyhouse: Keyhouse, upstream: Upstream) -> None:
    _store(keyhouse, upstream.address)
    listed = keyhouse("provider", "models", "openai")
    lines = [line.split() for line in listed.out.splitlines()]
    assert (listed.code, lines[0]) == (0, ["MODEL", "MODE", "FROM"])
    assert ["mine", "chat", "project"] in lines
    assert ["gpt-5-mini", "chat", "catalogue"] in lines
    assert upstream.requests == []


def test_the_provider_itself_is_asked_with_live(keyhouse: Keyhouse, upstream: Upstream) -> None:
    _store(keyhouse, upstream.address)
    listed = keyhouse("provider", "models", "openai", "--live")
    assert (listed.code, [line.split() for line in listed.out.splitlines()]) == (
        0,
        [["MODEL", "KNOWN", "DECLARED"], ["gpt-5-mini", "yes", "no"], ["mine", "no", "yes"]],
    )
    told = json.loads(keyhouse("provider", "models", "openai", "--live", "--json").out)
    assert [model["id"] for model in told["models"]] == ["gpt-5-mini", "mine"]


@pytest.mark.parametrize("options", [(), ("--json",)])
def test_what_a_provider_calls_its_models_moves_no_terminals_cursor(
    keyhouse: Keyhouse, upstream: Upstream, options: tuple[str, ...]
) -> None:
    odd = "a\x1b[2J\x9b2Jb\x7f\u202e\u2028\U000e0041"
    upstream.script = answered_by(lambda request: json_answer({"data": [{"id": odd}]}))
    _store(keyhouse, upstream.address)
    listed = keyhouse("provider", "models", "openai", "--live", *options)
    assert listed.code == 0
    assert all(character.isprintable() for character in listed.out.replace("\n", ""))
    assert not options or json.loads(listed.out)["models"][0]["id"] == odd


def test_a_provider_that_does_not_answer_ends_with_1_and_a_sentence(keyhouse: Keyhouse) -> None:
    _store(keyhouse, "http://127.0.0.1:9")
    listed = keyhouse("provider", "models", "openai", "--live")
    assert listed.code == 1
    assert listed.out.startswith("verdict   unreachable\nmessage   ")
