"""Access tokens of Google service accounts: fetched once for an account, renewed ahead of time, forgotten with the process.

The key's own `token_uri` is called by the same client as every upstream, under the same address policy.
"""

import asyncio
import hashlib
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Annotated, Any
from urllib.parse import urlencode, urlsplit

import msgspec

from keyhouse.domain.address import Origin, parse_origin
from keyhouse.gateway.lazy_import import load
from keyhouse.gateway.request import UpstreamRequest, request_head
from keyhouse.gateway.signing_error import SigningError, SigningFailure
from keyhouse.gateway.timeouts import Timeouts
from keyhouse.gateway.upstream import Upstream
from keyhouse.gateway.upstream_error import UpstreamError
from keyhouse.gateway.wire.json_text import UNREADABLE

# https://developers.google.com/identity/protocols/oauth2/service-account (2026-11-23): grant type, claims, at most one hour.
_GRANT_TYPE = "urn:ietf:params:oauth:grant-type:jwt-bearer"
_LIFETIME_S = 3600
# https://docs.cloud.google.com/vertex-ai/docs/reference/rest (2026-11-23): the one scope of Vertex AI's methods.
_SCOPE = "https://www.googleapis.com/auth/cloud-platform"
# Google's clock and ours may differ a little.
_SKEW_S = 10
_RENEWED_AHEAD_S = 300.0
_RETRY_RENEWAL_AFTER_S = 30.0
_REMEMBERED = 1024
_MAX_ANSWER_BYTES = 64 * 1024
# Twice what the keys have that Google makes.
_MOST_KEY_BITS = 4096
_TIMEOUTS = Timeouts(connect_s=10.0, first_byte_s=30.0, idle_s=30.0, pool_s=10.0)
_FORM = (b"content-type", b"application/x-www-form-urlencoded")


@dataclass(frozen=True, slots=True)
class ServiceAccount:
    """What a service account's key file says, as far as it is needed."""

    email: str
    token_uri: str
    private_key: str = field(repr=False)
    private_key_id: str | None = field(default=None, repr=False)

    @property
    def origin(self) -> Origin:
        """Where tokens are fetched."""
        return parse_origin(self.token_uri)

    @property
    def target(self) -> bytes:
        """Path and query of the token endpoint."""
        parts = urlsplit(self.token_uri)
        return ((parts.path or "/") + (f"?{parts.query}" if parts.query else "")).encode("ascii")


@dataclass(slots=True, eq=False)
class _Held:
    """An account's token, moments on the monotonic clock, and the one renewal under way. `refusable_at`: see `GoogleTokens.refused`."""

    token: bytes = field(default=b"", repr=False)
    expires_at: float = 0.0
    renew_at: float = 0.0
    refusable_at: float = 0.0
    renewal: "asyncio.Task[None] | None" = None


class GoogleTokens:
    """The access tokens of a process, by the hash of the key file they belong to. `now` is a clock that only goes forward, in seconds."""

    def __init__(self, upstream: Upstream, now: Callable[[], float] = time.monotonic) -> None:
        self._upstream = upstream
        self._now = now
        self._held: OrderedDict[bytes, _Held] = OrderedDict()

    def __repr__(self) -> str:
        return "GoogleTokens(***)"

    async def token(self, service_account: str) -> bytes:
        """A token good for at least some seconds, of a key file's JSON text. Only a first or an expired token is waited for.

        Raises SigningError, UpstreamError, Error `configuration`.
        """
        held = self._held_for(service_account)
        now = self._now()
        if held.renewal is None and min(held.renew_at, held.expires_at) <= now:
            held.renewal = asyncio.create_task(self._renew(held, service_account))
            held.renewal.add_done_callback(_retrieve)
        if held.expires_at <= now and held.renewal is not None:
            # Whoever leaves must not take the token from those who wait for it too.
            await asyncio.shield(held.renewal)
        return held.token

    def refused(self, service_account: str) -> None:
        """An upstream refused the token in hand: the next call waits for another. Not at every refusal, where every token is refused."""
        held, now = self._held_for(service_account), self._now()
        if held.refusable_at <= now:
            held.expires_at, held.refusable_at = now, now + _RETRY_RENEWAL_AFTER_S

    async def close(self) -> None:
        """End the renewals under way."""
        renewals = [held.renewal for held in self._held.values() if held.renewal is not None]
        for renewal in renewals:
            renewal.cancel()
        await asyncio.gather(*renewals, return_exceptions=True)

    def _held_for(self, service_account: str) -> _Held:
        name = hashlib.sha256(service_account.encode("utf-8", "surrogatepass")).digest()
        held = self._held.get(name)
        if held is None:
            held = self._held[name] = _Held()
            if len(self._held) > _REMEMBERED:
                self._held.popitem(last=False)
        else:
            self._held.move_to_end(name)
        return held

    async def _renew(self, held: _Held, service_account: str) -> None:
        try:
            asked_at = self._now()
            held.token, lifetime_s = await fetch_token(self._upstream, parse_service_account(service_account))
            held.expires_at = asked_at + lifetime_s - _SKEW_S
            held.renew_at = held.expires_at - min(_RENEWED_AHEAD_S, lifetime_s / 4)
        except (SigningError, UpstreamError):
            # The token in hand may still be good: try again in a while.
            held.renew_at = self._now() + _RETRY_RENEWAL_AFTER_S
            raise
        finally:
            held.renewal = None


def _retrieve(renewal: "asyncio.Task[None]") -> None:
    """A renewal that failed while nobody waited for it is no news: the next one is due soon."""
    if not renewal.cancelled():
        renewal.exception()


def parse_service_account(text: str) -> ServiceAccount:
    """A key file's JSON. Raises SigningError `UNUSABLE` naming what is wrong with it, never a value."""
    try:
        content = msgspec.json.decode(text)
    except UNREADABLE:
        raise _unusable("is not JSON") from None
    if not isinstance(content, dict) or content.get("type") != "service_account":
        raise _unusable('is not a service account\'s key file, whose "type" is "service_account"')
    names = ("client_email", "token_uri", "private_key", "private_key_id")
    texts = {name: value for name in names if isinstance(value := content.get(name), str) and value}
    missing = [name for name in names[:3] if name not in texts]
    if missing:
        raise _unusable(f"has no {' and no '.join(missing)}")
    account = ServiceAccount(texts["client_email"], texts["token_uri"], texts["private_key"], texts.get("private_key_id"))
    try:
        request_head(b"POST", account.origin, account.target)
    except ValueError:
        raise _unusable("has a token_uri that is not a plain address") from None
    return account


async def fetch_token(upstream: Upstream, account: ServiceAccount) -> tuple[bytes, float]:
    """A fresh access token and its lifetime in seconds. Raises SigningError, UpstreamError, Error `configuration`."""
    body = urlencode({"grant_type": _GRANT_TYPE, "assertion": await _assertion(account)}).encode("ascii")
    head = request_head(b"POST", account.origin, account.target, [_FORM, (b"accept", b"application/json")])
    response = await upstream.open(UpstreamRequest(head, body, timeouts=_TIMEOUTS))
    if response.status != 200:
        response.close()
        raise _refusal(response.status)
    answer = await response.whole(_MAX_ANSWER_BYTES + 1)
    if len(answer) > _MAX_ANSWER_BYTES:
        raise _no_token(200)
    return _parse_token(answer)


async def _assertion(account: ServiceAccount) -> str:
    """The signed claim that is exchanged for a token."""
    crypt = await load("google.auth.crypt", "google-auth", "Signing in to Google")
    jwt = await load("google.auth.jwt", "google-auth", "Signing in to Google")
    serialization = await load("cryptography.hazmat.primitives.serialization", "google-auth", "Signing in to Google")
    now = int(time.time())
    claims = {"iss": account.email, "scope": _SCOPE, "aud": account.token_uri, "iat": now - _SKEW_S, "exp": now + _LIFETIME_S - _SKEW_S}

    def sign() -> str:
        # Not checked for being one: whether its factors are prime takes minutes for a large key, and no thread runs meanwhile.
        key = serialization.load_pem_private_key(account.private_key.encode(), None, unsafe_skip_rsa_key_validation=True)
        signer = crypt.RSASigner(key, account.private_key_id)
        _require_usual_size(key.private_numbers())
        return str(jwt.encode(signer, claims), "ascii")

    try:
        # It takes some milliseconds.
        return await asyncio.to_thread(sign)
    except (ValueError, TypeError):
        raise _unusable(f"has a private_key that is not an RSA key in PEM form of at most {_MOST_KEY_BITS} bits") from None


def _require_usual_size(numbers: Any) -> None:
    """Raise ValueError for an RSA key of which any number is larger than that of the largest in use: signing with it takes long."""
    rest = (numbers.p, numbers.q, numbers.d, numbers.dmp1, numbers.dmq1, numbers.iqmp, numbers.public_numbers.e)
    if max(number.bit_length() for number in (numbers.public_numbers.n, *rest)) > _MOST_KEY_BITS:
        raise ValueError("a key of an unusual size")


class _Issued(msgspec.Struct):
    """A token that a header can carry, and its lifetime in seconds."""

    access_token: Annotated[str, msgspec.Meta(pattern=r"\A[\x21-\x7e]+\Z")]
    expires_in: Annotated[float, msgspec.Meta(gt=0, le=24 * 3600)]


def _parse_token(answer: bytes) -> tuple[bytes, float]:
    try:
        issued = msgspec.json.decode(answer, type=_Issued, strict=False)
    except UNREADABLE:
        raise _no_token(200) from None
    return issued.access_token.encode("ascii"), issued.expires_in


def _refusal(status: int) -> SigningError:
    if status in (400, 401, 403):
        # https://developers.google.com/identity/protocols/oauth2/service-account#jwt-error-codes (2026-11-23): 400 invalid_grant and 401.
        return SigningError(SigningFailure.REFUSED, "Google refused the stored service account.", status)
    if status == 429:
        return SigningError(SigningFailure.RATE_LIMITED, "The service account's token endpoint asks to be called less often.", status)
    if status >= 500:
        return SigningError(SigningFailure.UNAVAILABLE, "The service account's token endpoint is out of order.", status)
    return _no_token(status)


def _no_token(status: int) -> SigningError:
    return SigningError(SigningFailure.WRONG_ENDPOINT, "What answers at the service account's token_uri issues no tokens.", status)


def _unusable(why: str) -> SigningError:
    return SigningError(SigningFailure.UNUSABLE, f"The stored service account {why}.")
