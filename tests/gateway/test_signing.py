"""Signing: what each way adds to a request, held to published vectors."""

import importlib
import sys
from datetime import UTC, datetime
from typing import Any

import pytest

from keyhouse.domain.address import Origin
from keyhouse.domain.calling import Signing
from keyhouse.domain.errors import Code, Error
from keyhouse.gateway import lazy_import
from keyhouse.gateway.request import UpstreamRequest, request_head
from keyhouse.gateway.signing import Signatures, credential_header, fixed_headers, possible_signing
from keyhouse.gateway.signing_error import SigningError, SigningFailure
from tests.gateway.calls import client
from tests.gateway.conftest import Run

BEARER = Signing("bearer", {"token": "KEY"})
HEADER = Signing("header", {"token": "KEY"}, header="X-Api-Key")
SIGV4 = Signing(
    "aws_sigv4",
    {"access_key_id": "ID", "secret_access_key": "SECRET", "session_token": "SESSION", "region": "REGION"},
    service="service",
)
# The credentials, moment and signatures of AWS's own test suite: github.com/awslabs/aws-c-auth, tests/aws-signing-test-suite/v4.
AWS_VALUES = {"ID": "AKIDEXAMPLE", "SECRET": "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY", "REGION": "us-east-1"}
AWS_TOKEN = "6e86291e8372ff2a2260956d9b8aae1d763fbf315fa00fa31553b73ebf194267"
AWS_MOMENT = datetime(2015, 8, 30, 12, 36, tzinfo=UTC)
AWS = Origin("https", "example.amazonaws.com", 443)
GET = UpstreamRequest(request_head(b"GET", AWS, b"/"))
VECTORS = {
    "get-vanilla": (GET, "", "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"),
    "get-vanilla-with-session-token": (
        GET,
        AWS_TOKEN,
        "07ec1639c89043aa0e3e2de82b96708f198cceab042d4a97044c66dd9f74e7f8",
    ),
    "get-vanilla-query-order-key-case": (
        UpstreamRequest(request_head(b"GET", AWS, b"/?Param2=value2&Param1=value1")),
        "",
        "b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500",
    ),
    "post-vanilla": (
        UpstreamRequest(request_head(b"POST", AWS, b"/")),
        "",
        "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b",
    ),
}


def _sign(run: Run, signing: Signing, values: dict[str, str], request: UpstreamRequest, at: datetime | None = None) -> dict[bytes, bytes]:
    async def work() -> Any:
        async with client() as upstream:
            signatures = Signatures(upstream)
            try:
                return await signatures.sign(signing, values, request, at=at)
            finally:
                await signatures.close()

    return dict(run(work()))


def test_bearer_and_header_sign_every_request_alike() -> None:
    assert fixed_headers(BEARER, {"KEY": "sk-1\n"}) == ((b"authorization", b"Bearer sk-1"),)
    assert fixed_headers(HEADER, {"KEY": " sk-1"}) == ((b"x-api-key", b"sk-1"),)
    assert fixed_headers(SIGV4, AWS_VALUES) is None


def test_the_header_of_the_credentials_is_named() -> None:
    assert credential_header(BEARER) == b"authorization"
    assert credential_header(HEADER) == b"x-api-key"
    assert credential_header(SIGV4) == b"authorization"


def test_the_first_possible_way_is_taken() -> None:
    ways = (BEARER, SIGV4)
    assert possible_signing(ways, {**AWS_VALUES, "KEY": "bedrock-api-key"}) is BEARER
    assert possible_signing(ways, AWS_VALUES) is SIGV4
    assert possible_signing(ways, {"ID": "AKIDEXAMPLE"}) is None


@pytest.mark.parametrize("name", VECTORS)
def test_aws_signatures_equal_the_published_ones(run: Run, name: str) -> None:
    request, token, signature = VECTORS[name]
    headers = _sign(run, SIGV4, {**AWS_VALUES, "SESSION": token}, request, AWS_MOMENT)
    assert headers[b"authorization"].endswith(f"Signature={signature}".encode())
    assert b"Credential=AKIDEXAMPLE/20150830/us-east-1/service/aws4_request" in headers[b"authorization"]
    assert headers[b"x-amz-date"] == b"20150830T123600Z"
    assert headers.get(b"x-amz-security-token") == (token.encode() or None)
    assert set(headers) <= {b"authorization", b"x-amz-date", b"x-amz-security-token"}


def test_a_request_with_a_model_id_and_a_body_is_signed_as_botocore_signs_it(run: Run) -> None:
    # Computed with botocore 1.44.5's SigV4Auth. The path is encoded again inside the signature: model ids hold colons.
    json = ((b"content-type", b"application/json"),)
    request = UpstreamRequest(request_head(b"POST", AWS, b"/model/a%3A0/converse"), b'{"a":1}', json)
    headers = _sign(run, SIGV4, AWS_VALUES, request, AWS_MOMENT)
    assert headers[b"authorization"].endswith(
        b"SignedHeaders=content-type;host;x-amz-date, Signature=003168ac41994f7f5b4e8b9a6e17ad86543d5e781845c9e138328975fdc69476"
    )


@pytest.mark.parametrize("part", ["ID", "REGION", "SESSION"])
def test_aws_credentials_that_would_break_a_header_sign_nothing(run: Run, part: str) -> None:
    with pytest.raises(SigningError) as caught:
        _sign(run, SIGV4, {**AWS_VALUES, part: "a\r\nx: y"}, GET)
    assert caught.value.kind is SigningFailure.UNUSABLE


def test_a_header_that_is_no_ascii_stays_out_of_the_signature(run: Run) -> None:
    odd = UpstreamRequest(GET.head, headers=[(b"x-title", "é".encode())])
    assert _sign(run, SIGV4, AWS_VALUES, odd, AWS_MOMENT) == _sign(run, SIGV4, AWS_VALUES, GET, AWS_MOMENT)


def test_a_missing_library_is_named(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lazy_import, "_loaded", {})
    monkeypatch.setitem(sys.modules, "awscrt.auth", None)
    with pytest.raises(Error, match="Signing requests for AWS needs the package awscrt") as caught:
        _sign(run, SIGV4, AWS_VALUES, GET)
    assert caught.value.code is Code.CONFIGURATION


@pytest.mark.parametrize("module", ["awscrt", "google.auth"])
def test_no_signer_is_imported_before_it_is_needed(module: str) -> None:
    import subprocess

    code = f"import keyhouse.gateway.signing, sys; sys.exit({module!r} in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
    assert importlib.import_module(module)
