"""AWS Signature Version 4, by AWS's own signer. Sends nothing, reads no environment, no profile and no metadata service."""

import asyncio
import io
from dataclasses import dataclass, field
from datetime import UTC, datetime

from keyhouse.gateway.lazy_import import load
from keyhouse.gateway.request import Headers, UpstreamRequest, host_header
from keyhouse.gateway.signing_error import SigningError, SigningFailure


@dataclass(frozen=True, slots=True)
class AwsKey:
    """An access key of a region. `session_token` is empty for a long-lived key."""

    access_key_id: str = field(repr=False)
    secret_access_key: str = field(repr=False)
    session_token: str = field(repr=False)
    region: str


async def aws_signature(key: AwsKey, service: str, request: UpstreamRequest, at: datetime | None = None) -> Headers:
    """The headers that sign a request for a service, with its own headers and its whole body. Raises SigningError `UNUSABLE`, Error
    `configuration`.

    The path is encoded once more inside the signature, as every service but S3 wants it:
    https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html (2026-11-23)
    """
    if not all(text.isascii() and text.isprintable() for text in (key.access_key_id, key.session_token, key.region)):
        raise _unusable()
    auth = await load("awscrt.auth", "awscrt", "Signing requests for AWS")
    http = await load("awscrt.http", "awscrt", "Signing requests for AWS")
    exceptions = await load("awscrt.exceptions", "awscrt", "Signing requests for AWS")
    # Host and what AWS reads must be signed, and other headers may be: the signer takes text, and no bytes of an unknown encoding.
    legible = ((name.decode("ascii"), value.decode("ascii")) for name, value in request.headers if value.isascii())
    head = request.head
    given = [("host", host_header(head.origin).decode("ascii")), *legible]
    unsigned = http.HttpRequest(
        head.method.decode("ascii"),
        head.target.decode("ascii"),
        http.HttpHeaders(given),
        io.BytesIO(request.body) if request.body else None,
    )
    try:
        config = auth.AwsSigningConfig(
            algorithm=auth.AwsSigningAlgorithm.V4,
            signature_type=auth.AwsSignatureType.HTTP_REQUEST_HEADERS,
            credentials_provider=auth.AwsCredentialsProvider.new_static(
                key.access_key_id, key.secret_access_key, key.session_token or None
            ),
            region=key.region,
            service=service,
            date=at or datetime.now(UTC),
        )
        signing = auth.aws_sign_request(unsigned, config)
        # With static credentials it is done at once.
        signed = signing.result() if signing.done() else await asyncio.wrap_future(signing)
    except (exceptions.AwsCrtError, RuntimeError, UnicodeEncodeError):
        raise _unusable() from None
    known = {name.lower() for name, _ in given}
    return [(name.lower().encode("ascii"), value.encode("ascii")) for name, value in signed.headers if name.lower() not in known]


def _unusable() -> SigningError:
    return SigningError(SigningFailure.UNUSABLE, "The stored AWS credentials cannot sign a request.")
