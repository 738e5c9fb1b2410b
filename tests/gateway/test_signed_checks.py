"""Connection checks that are signed for each request: AWS signatures, and Google tokens whose own endpoint can fail in every way."""

import pytest

from keyhouse.domain.calling import ConnectionCheck, Signing
from keyhouse.domain.verdict import Verdict
from keyhouse.gateway.address_policy import AddressPolicy, address_policy
from keyhouse.gateway.upstream import UpstreamSettings
from tests.gateway.conftest import Run
from tests.gateway.fault_upstream import FaultUpstream, Peer, answering, response
from tests.gateway.test_connection_check import GOOD, result_of
from tests.gateway.test_google_token import TokenEndpoint, key_file
from tests.gateway.test_signing import AWS_VALUES, SIGV4

CHECK = ConnectionCheck("/v1/models", items="data")
GOOGLE = Signing("google_token", {"service_account": "ACCOUNT"})


def test_a_check_is_signed_for_aws(run: Run) -> None:
    async def work() -> None:
        async with FaultUpstream(answering(response(GOOD))) as upstream:
            result = await result_of(upstream, CHECK, signing=SIGV4, values=AWS_VALUES)
            assert result.verdict is Verdict.VERIFIED
            [signature] = upstream.requests[0].header(b"authorization")
            assert signature.startswith(b"AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/")
            assert b"SignedHeaders=host;x-amz-date" in signature

    run(work())


def test_credentials_that_cannot_sign_are_told_without_asking(run: Run) -> None:
    async def work() -> None:
        async with FaultUpstream(answering(response(GOOD))) as upstream:
            result = await result_of(upstream, CHECK, signing=SIGV4, values={**AWS_VALUES, "REGION": "eu\nwest"})
            assert (result.verdict, result.status) == (Verdict.KEY_REFUSED, None)
            assert upstream.requests == []

    run(work())


def test_a_token_is_fetched_and_sent(run: Run) -> None:
    async def work() -> None:
        tokens = TokenEndpoint()
        tokens.gate.set()
        async with FaultUpstream(tokens.script) as endpoint, FaultUpstream(answering(response(GOOD))) as upstream:
            account = key_file(f"http://127.0.0.1:{endpoint.port}/token")
            assert (await result_of(upstream, CHECK, signing=GOOGLE, values={"ACCOUNT": account})).verdict is Verdict.VERIFIED
            assert upstream.requests[0].header(b"authorization") == [b"Bearer token-1"]

    run(work())


@pytest.mark.parametrize(
    ("answer", "verdict", "status"),
    [
        (response(b'{"error":"invalid_grant"}', status=b"400 Bad Request"), Verdict.KEY_REFUSED, 400),
        (response(b"", status=b"429 Too Many Requests"), Verdict.RATE_LIMITED, 429),
        (response(b"", status=b"503 Service Unavailable"), Verdict.UNREACHABLE, 503),
        (response(b"<html>"), Verdict.WRONG_ENDPOINT, 200),
        (b"garbage\r\n\r\n", Verdict.WRONG_ENDPOINT, None),
    ],
)
def test_each_failure_of_the_token_endpoint_has_its_verdict(run: Run, answer: bytes, verdict: Verdict, status: int | None) -> None:
    async def work() -> None:
        async with FaultUpstream(answering(answer)) as endpoint, FaultUpstream(answering(response(GOOD))) as upstream:
            account = key_file(f"http://127.0.0.1:{endpoint.port}/token")
            result = await result_of(upstream, CHECK, signing=GOOGLE, values={"ACCOUNT": account})
            assert (result.verdict, result.status) == (verdict, status)
            assert upstream.requests == []

    run(work())


def test_a_token_endpoint_that_hangs_ends_with_the_budget(run: Run) -> None:
    async def hangs(peer: Peer) -> None:
        await peer.request()
        await peer.left()

    async def work() -> None:
        async with FaultUpstream(hangs) as endpoint, FaultUpstream(answering(response(GOOD))) as upstream:
            account = key_file(f"http://127.0.0.1:{endpoint.port}/token")
            result = await result_of(upstream, CHECK, signing=GOOGLE, values={"ACCOUNT": account}, budget_s=1.0)
            assert (result.verdict, result.status) == (Verdict.UNREACHABLE, None)

    run(work())


@pytest.mark.parametrize(
    ("token_uri", "policy"),
    [
        ("http://169.254.169.254/token", AddressPolicy()),
        ("http://127.0.0.1:1/token", address_policy(allow_private=False, allowed="localhost")),
    ],
)
def test_a_token_uri_falls_under_the_address_policy(run: Run, token_uri: str, policy: AddressPolicy) -> None:
    async def work() -> None:
        account = key_file(token_uri)
        result = await result_of(
            "http://localhost:1", CHECK, settings=UpstreamSettings(policy=policy), signing=GOOGLE, values={"ACCOUNT": account}
        )
        assert result.verdict is Verdict.BLOCKED

    run(work())
