"""Which calls are known beforehand but for their body, and that what is known of them holds no credential."""

from dataclasses import replace

import pytest

from keyhouse.domain.calling import Dialect, Signing
from keyhouse.domain.model import CustomModel
from keyhouse.domain.target import Target
from keyhouse.gateway.prepared import PreparedTargets
from keyhouse.gateway.ready import Ready, ready_for

URL = "http://127.0.0.1:9/v1/chat/completions"
SECRET = "sk-upstream-0123456789"
PARTS = {"access_key_id": "ID", "secret_access_key": "KEY", "region": "REGION"}
VALUES = {"ID": "AKIDEXAMPLE", "KEY": SECRET, "REGION": "eu-central-1"}
BEARER = Signing("bearer", {"token": "KEY"})
SIGNED_EACH = (Signing("aws_sigv4", PARTS, service="bedrock"), Signing("google_token", {"service_account": "KEY"}))
PLAIN = Target("p", "m", "m", "chat", "openai_chat", URL, URL, signing=BEARER, values=VALUES, headers=(("X-Team", SECRET),))
BETA = (b"anthropic-beta", b"one-2025-01-01")


def ready(target: Target, *headers: tuple[bytes, bytes]) -> Ready | None:
    return ready_for(PreparedTargets().get(target, "chat"), target, "chat", list(headers), b"")


def test_a_call_that_passes_as_it_is_is_known_and_its_credentials_are_not_kept() -> None:
    known = ready(PLAIN, BETA, (b"x-team", b"mine"), (b"authorization", b"Bearer " + SECRET.encode()))
    assert known is not None
    assert known.lines == b"anthropic-beta: one-2025-01-01\r\n"
    held = [getattr(known, name) for name in Ready.__slots__ if name != "target"]
    assert SECRET not in f"{known!r} {held!r}"
    assert known.target() is PLAIN


@pytest.mark.parametrize(
    "target",
    [
        *(replace(PLAIN, signing=signing) for signing in SIGNED_EACH),
        replace(PLAIN, instead=PLAIN),
        replace(PLAIN, wire="anthropic_messages"),
        replace(PLAIN, declared=CustomModel("m", "M", "chat", max_tokens=9)),
    ],
    ids=["signed by AWS's way", "with a token of Google's", "perhaps elsewhere", "translated", "limited"],
)
def test_what_differs_from_call_to_call_is_not_known(target: Target) -> None:
    assert ready(target) is None


def test_features_that_a_server_refuses_are_looked_for() -> None:
    refusing = replace(PLAIN, dialect=Dialect(refuses_betas=("one-2025-01-01",)))
    assert ready(refusing, BETA) is None
    assert ready(refusing) is not None
