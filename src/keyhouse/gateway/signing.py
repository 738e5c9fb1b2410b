"""The few ways to sign a request, as data files name them. Knows no provider; what a signature is made of never leaves but as headers."""

from collections.abc import Mapping, Sequence
from datetime import datetime

from keyhouse.domain.calling import Signing
from keyhouse.gateway.aws_signature import AwsKey, aws_signature
from keyhouse.gateway.google_token import GoogleTokens
from keyhouse.gateway.request import Headers, UpstreamRequest
from keyhouse.gateway.upstream import Upstream


def possible_signing(signings: Sequence[Signing], values: Mapping[str, str]) -> Signing | None:
    """The first way for which everything is stored. None: the request goes out unsigned."""
    return next((signing for signing in signings if signing.is_possible(values)), None)


def credential_header(signing: Signing) -> bytes:
    """The name, in lower case, of the header that carries the credentials."""
    return (signing.header or "authorization").lower().encode("ascii")


def fixed_headers(signing: Signing, values: Mapping[str, str]) -> Headers | None:
    """The headers of a way that signs every request alike; None where each request is signed on its own, by `Signatures.sign`."""
    if signing.way in ("bearer", "header"):
        token = _value(signing, "token", values)
        return ((credential_header(signing), f"Bearer {token}".encode() if signing.way == "bearer" else token.encode()),)
    return None


class Signatures:
    """Signs requests of the ways that sign each on its own. One serves a whole process: it keeps access tokens. `close` it at the end."""

    def __init__(self, upstream: Upstream) -> None:
        self._tokens = GoogleTokens(upstream)

    async def sign(self, signing: Signing, values: Mapping[str, str], request: UpstreamRequest, *, at: datetime | None = None) -> Headers:
        """The headers to add. `values` are the stored ones, opened, over the defaults; `at` is now unless a test says otherwise.

        Raises SigningError; UpstreamError where a token has to be fetched and its endpoint cannot be reached or is blocked; Error
        `configuration` where a library is missing.
        """
        if signing.way == "aws_sigv4":
            key = AwsKey(*(_value(signing, part, values) for part in ("access_key_id", "secret_access_key", "session_token", "region")))
            return await aws_signature(key, signing.service or "", request, at)
        token = await self._tokens.token(_value(signing, "service_account", values))
        return ((b"authorization", b"Bearer " + token),)

    def refused(self, signing: Signing, values: Mapping[str, str]) -> None:
        """An upstream answered 401 to what was signed: what is kept of it is kept no longer."""
        if signing.way == "google_token":
            self._tokens.refused(_value(signing, "service_account", values))

    async def close(self) -> None:
        """End what is under way."""
        await self._tokens.close()


def _value(signing: Signing, part: str, values: Mapping[str, str]) -> str:
    # A key pasted with a line's end would be no legal header.
    return values.get(signing.parts.get(part, ""), "").strip()
