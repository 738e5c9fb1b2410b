"""`keyhouse provider test`, over the data folder and against a server: the verdict in a sentence, and for scripts as an exit code."""

import json
import re
from collections.abc import Iterator

import pytest

from tests.cli.conftest import Keyhouse
from tests.gateway.fault_upstream import ReceivedRequest
from tests.gateway_road.upstreams import Upstream, answered_by, json_answer, running_upstream

GOOD = b"Bearer sk-good"


def _answer(request: ReceivedRequest) -> bytes:
    if request.header(b"authorization") != [GOOD]:
        return json_answer({"error": "sk-planted is wrong"}, b"401 Unauthorized")
    return json_answer({"data": [{"id": "m"}]})


@pytest.fixture
def upstream() -> Iterator[Upstream]:
    with running_upstream(answered_by(_answer)) as running:
        yield running


def _store(keyhouse: Keyhouse, upstream: Upstream, key: str) -> None:
    address = f"OPENAI_BASE_URL={upstream.address}/v1"
    assert keyhouse("provider", "set", "openai", "--public", address, "--secret", "OPENAI_API_KEY=-", stdin=key).code == 0


def test_good_credentials_end_with_0(keyhouse: Keyhouse, upstream: Upstream) -> None:
    _store(keyhouse, upstream, "sk-good")
    tested = keyhouse("provider", "test", "openai")
    assert (tested.code, tested.err) == (0, "")
    assert tested.out == "verdict   verified\nmessage   The provider accepted the stored credentials.\nstatus    200\n"
    assert upstream.requests[0].line == b"GET /v1/models HTTP/1.1"


def test_bad_credentials_end_with_1(keyhouse: Keyhouse, upstream: Upstream) -> None:
    _store(keyhouse, upstream, "sk-planted")
    tested = keyhouse("provider", "test", "openai", "--json")
    assert (tested.code, tested.err) == (1, "")
    assert json.loads(tested.out) == {"verdict": "key_refused", "message": "The provider refused the stored credentials.", "status": 401}


def test_the_provider_is_shown_with_its_last_test(keyhouse: Keyhouse, upstream: Upstream) -> None:
    _store(keyhouse, upstream, "sk-planted")
    assert "last test" not in keyhouse("provider", "show", "openai").out
    keyhouse("provider", "test", "openai")
    assert re.search(
        r"^last test +key_refused, 20\S+Z by .+: The provider refused the stored credentials\.$",
        keyhouse("provider", "show", "openai").out,
        re.MULTILINE,
    )
    _store(keyhouse, upstream, "sk-good")
    assert ", before the last change: " in keyhouse("provider", "show", "openai").out
    told = json.loads(keyhouse("provider", "show", "openai", "--json").out)
    assert (told["lastTest"]["verdict"], told["lastTest"]["current"]) == ("key_refused", False)


def test_what_has_no_free_request_ends_with_0(keyhouse: Keyhouse) -> None:
    assert keyhouse("provider", "set", "voyage", "--secret", "VOYAGE_API_KEY=-", stdin="k").code == 0
    tested = keyhouse("provider", "test", "voyage")
    assert tested.code == 0
    assert tested.out.startswith("verdict   unchecked\n")


def test_what_is_not_stored_is_told(keyhouse: Keyhouse) -> None:
    assert "Nothing is stored for groq" in keyhouse("provider", "test", "groq").sentence
