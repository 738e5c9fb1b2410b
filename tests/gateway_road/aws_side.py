"""How AWS checks a signature, written down from its description, apart from the signer that the gateway uses.

https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html (2026-11-23).
"""

import hashlib
import hmac
import re
from urllib.parse import quote

from tests.gateway.fault_upstream import ReceivedRequest

_AUTHORIZATION = re.compile(
    rb"AWS4-HMAC-SHA256 Credential=(?P<key>[^/]+)/(?P<day>\d{8})/(?P<region>[^/]+)/(?P<service>[^/]+)/aws4_request, "
    rb"SignedHeaders=(?P<names>[^,]+), Signature=(?P<signature>[0-9a-f]{64})"
)


def signed_scope(request: ReceivedRequest, secret: str) -> tuple[str, str, str]:
    """Access key id, region and service of a request whose signature is right for what came: its path, signed headers and body."""
    [authorization] = request.header(b"authorization")
    found = _AUTHORIZATION.fullmatch(authorization)
    assert found is not None, authorization
    day, region, service = (found[name].decode() for name in ("day", "region", "service"))
    [moment] = request.header(b"x-amz-date")
    scope = f"{day}/{region}/{service}/aws4_request"
    to_sign = "\n".join(("AWS4-HMAC-SHA256", moment.decode(), scope, hashlib.sha256(_canonical(request, found["names"])).hexdigest()))
    key = f"AWS4{secret}".encode()
    for part in (day, region, service, "aws4_request"):
        key = hmac.digest(key, part.encode(), "sha256")
    assert hmac.digest(key, to_sign.encode(), "sha256").hex().encode() == found["signature"]
    return found["key"].decode(), region, service


def _canonical(request: ReceivedRequest, names: bytes) -> bytes:
    method, target, _ = request.line.decode().split(" ")
    path, _, query = target.partition("?")
    assert query == "", "no call of this service has a query"
    headers = b"".join(name + b":" + b",".join(request.header(name)) + b"\n" for name in names.split(b";"))
    body = hashlib.sha256(request.body).hexdigest()
    return b"\n".join((method.encode(), quote(path, safe="/-_.~").encode(), b"", headers, names, body.encode()))
