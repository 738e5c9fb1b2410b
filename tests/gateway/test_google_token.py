"""Google's access tokens, from a token endpoint on loopback that checks each claim's signature."""

import asyncio
import base64
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs

import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from keyhouse.gateway import google_token
from keyhouse.gateway.address_policy import AddressPolicy
from keyhouse.gateway.google_token import GoogleTokens, parse_service_account
from keyhouse.gateway.signing_error import SigningError, SigningFailure
from keyhouse.gateway.upstream import UpstreamSettings
from keyhouse.gateway.upstream_error import UpstreamError, UpstreamFailure
from tests.gateway.calls import client
from tests.gateway.conftest import Run
from tests.gateway.fault_upstream import FaultUpstream, Peer, ReceivedRequest, answering, response

KEY = rsa.generate_private_key(65537, 2048)
PEM = KEY.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()).decode()


def key_file(token_uri: str, **changes: Any) -> str:
    """A service account's key file, as Google's console makes it."""
    content = {
        "type": "service_account",
        "project_id": "a-project",
        "private_key_id": "key-1",
        "private_key": PEM,
        "client_email": "robot@a-project.iam.gserviceaccount.com",
        "token_uri": token_uri,
        **changes,
    }
    return json.dumps({name: value for name, value in content.items() if value is not None})


@dataclass
class Clock:
    """A clock that a test moves on."""

    moment: float = 1000.0

    def __call__(self) -> float:
        return self.moment


@dataclass
class TokenEndpoint:
    """Issues `token-1`, `token-2`, ... for well signed claims. `gate` is waited for before each answer."""

    lifetime_s: int = 3600
    refuse_from: int = 1_000_000
    issued: int = 0
    claims: list[dict[str, Any]] = field(default_factory=list)
    gate: asyncio.Event = field(default_factory=asyncio.Event)
    asked: asyncio.Event = field(default_factory=asyncio.Event)

    async def script(self, peer: Peer) -> None:
        while True:
            request = await peer.request()
            self.asked.set()
            await self.gate.wait()
            self.claims.append(verified_claims(request))
            self.issued += 1
            if self.issued >= self.refuse_from:
                await peer.send(response(b'{"error":"invalid_grant"}', status=b"400 Bad Request"))
                continue
            token = {"access_token": f"token-{self.issued}", "expires_in": self.lifetime_s, "token_type": "Bearer"}
            await peer.send(response(json.dumps(token).encode()))


def verified_claims(request: ReceivedRequest) -> dict[str, Any]:
    """The claims of a token request whose form and signature are right."""
    assert request.line == b"POST /token HTTP/1.1"
    assert request.header(b"content-type") == [b"application/x-www-form-urlencoded"]
    form = {name: values[0] for name, values in parse_qs(request.body.decode(), strict_parsing=True).items()}
    assert form.pop("grant_type") == "urn:ietf:params:oauth:grant-type:jwt-bearer"
    signed, _, signature = form.pop("assertion").rpartition(".")
    KEY.public_key().verify(_decoded(signature), signed.encode(), padding.PKCS1v15(), hashes.SHA256())
    head, claims = (json.loads(_decoded(part)) for part in signed.split("."))
    assert head == {"alg": "RS256", "typ": "JWT", "kid": "key-1"}
    assert not form
    return dict(claims)


def _decoded(part: str) -> bytes:
    return base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))


@asynccontextmanager
async def issuing(
    endpoint: TokenEndpoint | None = None, clock: Clock | None = None, **changes: Any
) -> AsyncIterator[tuple[TokenEndpoint, GoogleTokens, str]]:
    """An endpoint, tokens from it, and a key file that names it."""
    endpoint = endpoint or TokenEndpoint()
    endpoint.gate.set()
    async with FaultUpstream(endpoint.script) as upstream, client() as calls:
        tokens = GoogleTokens(calls, clock or Clock())
        try:
            yield endpoint, tokens, key_file(f"http://127.0.0.1:{upstream.port}/token", **changes)
        finally:
            await tokens.close()


def test_a_token_is_fetched_once_for_an_account(run: Run) -> None:
    async def work() -> None:
        async with issuing() as (endpoint, tokens, account):
            assert [await tokens.token(account) for _ in range(3)] == [b"token-1"] * 3
            claims = endpoint.claims[0]
            assert claims["iss"] == "robot@a-project.iam.gserviceaccount.com"
            assert claims["aud"] == json.loads(account)["token_uri"]
            assert claims["scope"] == "https://www.googleapis.com/auth/cloud-platform"
            assert claims["exp"] - claims["iat"] == 3600
            assert await tokens.token(json.dumps({**json.loads(account), "client_email": "other@x"})) == b"token-2"

    run(work())


def test_many_requests_at_once_ask_once(run: Run) -> None:
    async def work() -> None:
        async with issuing() as (endpoint, tokens, account):
            endpoint.gate.clear()
            asking = [asyncio.create_task(tokens.token(account)) for _ in range(20)]
            await endpoint.asked.wait()
            asking[0].cancel()  # the one that began it leaves: the others must not notice
            await asyncio.gather(asking[0], return_exceptions=True)
            endpoint.gate.set()
            assert set(await asyncio.gather(*asking[1:])) == {b"token-1"}
            assert endpoint.issued == 1

    run(work())


def test_a_token_is_renewed_ahead_of_time_and_nobody_waits(run: Run) -> None:
    async def work() -> None:
        clock = Clock()
        async with issuing(clock=clock) as (endpoint, tokens, account):
            assert await tokens.token(account) == b"token-1"
            clock.moment += 3600 - 10 - 299
            endpoint.asked.clear()
            endpoint.gate.clear()
            assert [await tokens.token(account) for _ in range(3)] == [b"token-1"] * 3
            await endpoint.asked.wait()
            assert await tokens.token(account) == b"token-1"
            endpoint.gate.set()
            while await tokens.token(account) == b"token-1":
                await asyncio.sleep(0)
            assert await tokens.token(account) == b"token-2"
            assert endpoint.issued == 2

    run(work())


def test_one_account_that_hangs_holds_up_no_other(run: Run) -> None:
    async def work() -> None:
        async with issuing() as (hanging, tokens, account), issuing() as (_, _, other):
            hanging.gate.clear()
            waiting = asyncio.create_task(tokens.token(account))
            await hanging.asked.wait()
            assert await tokens.token(other) == b"token-1"
            hanging.gate.set()
            await waiting

    run(work())


def test_a_renewal_that_fails_leaves_the_good_token_in_use_until_it_ends(run: Run) -> None:
    async def work() -> None:
        clock = Clock()
        async with issuing(TokenEndpoint(refuse_from=2), clock) as (endpoint, tokens, account):
            await tokens.token(account)
            clock.moment += 3600 - 10 - 20
            assert await tokens.token(account) == b"token-1"
            [held] = tokens._held.values()
            while held.renewal is not None:
                await asyncio.sleep(0)
            assert endpoint.issued == 2
            # Not asked for at every call.
            assert (await tokens.token(account), held.renewal) == (b"token-1", None)
            clock.moment += 21
            with pytest.raises(SigningError):
                await tokens.token(account)

    run(work())


def test_a_token_that_an_upstream_refuses_is_replaced_once_in_a_while(run: Run) -> None:
    async def work() -> None:
        clock = Clock()
        async with issuing(clock=clock) as (_, tokens, account):
            seen = []
            for wait_s in (0, 0, 1, 60):
                clock.moment += wait_s
                seen.append(await tokens.token(account))
                tokens.refused(account)
            assert [*seen, await tokens.token(account)] == [b"token-1", b"token-2", b"token-2", b"token-2", b"token-3"]

    run(work())


def test_of_very_many_accounts_those_used_last_are_remembered(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(google_token, "_REMEMBERED", 2)

    async def work() -> None:
        async with issuing() as (_, tokens, account):
            one, two, three = (json.dumps({**json.loads(account), "client_email": f"{number}@x"}) for number in range(3))
            assert [await tokens.token(each) for each in (one, two, one, three)] == [b"token-1", b"token-2", b"token-1", b"token-3"]
            assert [await tokens.token(each) for each in (one, three, two)] == [b"token-1", b"token-3", b"token-4"]

    run(work())


@pytest.mark.parametrize(
    ("answer", "kind", "status"),
    [
        (response(b'{"error":"invalid_grant"}', status=b"400 Bad Request"), SigningFailure.REFUSED, 400),
        (response(b'{"error":"invalid_client"}', status=b"401 Unauthorized"), SigningFailure.REFUSED, 401),
        (response(b"", status=b"404 Not Found"), SigningFailure.WRONG_ENDPOINT, 404),
        (response(b"", status=b"302 Found", headers=b"location: http://127.0.0.1:1/\r\n"), SigningFailure.WRONG_ENDPOINT, 302),
        (response(b"", status=b"429 Too Many Requests"), SigningFailure.RATE_LIMITED, 429),
        (response(b"", status=b"503 Service Unavailable"), SigningFailure.UNAVAILABLE, 503),
        (response(b"<html>"), SigningFailure.WRONG_ENDPOINT, 200),
        (response(b'{"access_token":"a"}'), SigningFailure.WRONG_ENDPOINT, 200),
        (response(b'{"access_token":"a\\r\\nx: y","expires_in":3600}'), SigningFailure.WRONG_ENDPOINT, 200),
        (response(b'{"access_token":"a\\u0001","expires_in":3600}'), SigningFailure.WRONG_ENDPOINT, 200),
        (response(b'{"access_token":"\xff","expires_in":3600}'), SigningFailure.WRONG_ENDPOINT, 200),
        (response(b'{"access_token":"a","expires_in":-1}'), SigningFailure.WRONG_ENDPOINT, 200),
        (response(b'{"access_token":"a","expires_in":NaN}'), SigningFailure.WRONG_ENDPOINT, 200),
        (response(b"[" * 100_000), SigningFailure.WRONG_ENDPOINT, 200),
    ],
)
def test_each_bad_answer_has_its_name_and_is_tried_anew_later(run: Run, answer: bytes, kind: SigningFailure, status: int) -> None:
    async def work() -> None:
        async with FaultUpstream(answering(answer)) as upstream, client() as calls:
            tokens = GoogleTokens(calls)
            for _ in range(2):
                with pytest.raises(SigningError) as caught:
                    await tokens.token(key_file(f"http://127.0.0.1:{upstream.port}/token"))
                assert (caught.value.kind, caught.value.status) == (kind, status)
            assert len(upstream.requests) == 2

    run(work())


def test_the_token_endpoint_falls_under_the_address_policy(run: Run) -> None:
    async def work() -> None:
        async with client(UpstreamSettings(policy=AddressPolicy(allow_private=False))) as calls:
            with pytest.raises(UpstreamError) as caught:
                await GoogleTokens(calls).token(key_file("http://127.0.0.1:1/token"))
            assert caught.value.kind is UpstreamFailure.BLOCKED

    run(work())


@pytest.mark.parametrize(
    "text",
    [
        "",
        "not json",
        "[]",
        "null",
        key_file("https://x/token", type="authorized_user"),
        key_file("https://x/token", private_key=None),
        key_file("https://x/token", client_email=3),
        key_file("https://user@x/token"),
        key_file("file:///etc/passwd"),
        key_file("https://x/a b"),
        key_file("https://x/\u00e9"),
    ],
)
def test_a_key_file_that_cannot_sign_is_told_without_its_values(text: str) -> None:
    with pytest.raises(SigningError) as caught:
        parse_service_account(text)
    assert caught.value.kind is SigningFailure.UNUSABLE
    assert "PRIVATE" not in caught.value.message


def test_a_private_key_that_is_none_is_told_without_its_text(run: Run) -> None:
    async def work() -> None:
        async with issuing(private_key="-----BEGIN PRIVATE KEY-----\nnonsense\n-----END PRIVATE KEY-----") as (_, tokens, account):
            with pytest.raises(SigningError, match="private_key") as caught:
                await tokens.token(account)
            assert "nonsense" not in caught.value.message

    run(work())


def prime(bits: int, fudge: int) -> int:
    """The prime of that many bits of https://www.rfc-editor.org/rfc/rfc7919#appendix-A (2026-11-30), which is made out of e."""
    scaled, term, number = 0, 1 << (bits - 130 + 64), 0
    while term:
        scaled, number = scaled + term, number + 1
        term //= number
    return (1 << bits) - (1 << (bits - 64)) + (((scaled >> 64) + fudge) << 64) - 1


def test_a_key_whose_check_takes_ever_so_long_is_refused_unchecked(run: Run) -> None:
    """Nobody at all is served while a key is checked, in whichever thread: one of 16384 bits took more than a minute and a half."""
    p, q, e = prime(4096, 5736041), prime(3072, 2625351), 65537
    d = pow(e, -1, (p - 1) * (q - 1))
    parts = (p, q, d, rsa.rsa_crt_dmp1(d, p), rsa.rsa_crt_dmq1(d, q), rsa.rsa_crt_iqmp(p, q))
    key = rsa.RSAPrivateNumbers(*parts, rsa.RSAPublicNumbers(e, p * q)).private_key(unsafe_skip_rsa_key_validation=True)
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()).decode()

    async def work() -> None:
        async with issuing(private_key=pem) as (_, tokens, account):
            with pytest.raises(SigningError, match="at most 4096 bits"):
                await tokens.token(account)

    run(work())


def test_nothing_secret_is_printed() -> None:
    assert PEM[40:60] not in repr(parse_service_account(key_file("https://x/token")))
