"""TLS with upstreams: the context of all connections, which always verifies certificates and names; and what went wrong, in a sentence."""

import functools
import ssl

from keyhouse.domain.errors import Code, Error
from keyhouse.gateway.upstream_error import UpstreamError, UpstreamFailure

# OpenSSL's X509_V_ERR_HOSTNAME_MISMATCH and X509_V_ERR_IP_ADDRESS_MISMATCH: their text repeats the host.
_NAME_MISMATCHES = frozenset({62, 64})
# X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT and the three behind it.
_UNKNOWN_AUTHORITIES = frozenset({18, 19, 20, 21})
_NO_TLS = "The upstream does not speak TLS at this port: its address may have to begin with http:// instead of https://."
_SENTENCES = {
    "WRONG_VERSION_NUMBER": _NO_TLS,
    "RECORD_LAYER_FAILURE": _NO_TLS,
    "TLSV13_ALERT_CERTIFICATE_REQUIRED": "The upstream asks for a client's certificate, and Keyhouse has none to send.",
}


@functools.cache
def tls_context(cert_file: str = "", ca_file: str = "") -> ssl.SSLContext:
    """A client context that trusts the system's authorities, or those in `cert_file` (SSL_CERT_FILE) instead, and those in `ca_file` too.

    Both are paths of PEM files; empty means absent. Raises Error `CONFIGURATION` for a file that cannot be read. Reads the files once in a
    process, some 30 ms for the system's authorities: call it at the start.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    if cert_file:
        _trust(context, "SSL_CERT_FILE", cert_file)
    else:
        context.load_default_certs()
    if ca_file:
        _trust(context, "KEYHOUSE_CA_FILE", ca_file)
    return context


def _trust(context: ssl.SSLContext, name: str, path: str) -> None:
    try:
        context.load_verify_locations(path)
    except ssl.SSLError:
        raise Error(Code.CONFIGURATION, f"{name} does not hold certificates in PEM form: {path}") from None
    except OSError as error:
        raise Error(Code.CONFIGURATION, f"{name} cannot be read: {path} ({error.strerror})") from None


def tls_failure(error: ssl.SSLError, *, request_sent: bool) -> UpstreamError:
    """What a caller is told. In TLS 1.3 an upstream may find something wrong with us only after the request was sent."""
    if isinstance(error, ssl.SSLCertVerificationError):
        reason = "its certificate is for another name" if error.verify_code in _NAME_MISMATCHES else error.verify_message
        hint = " KEYHOUSE_CA_FILE names further authorities to trust." if error.verify_code in _UNKNOWN_AUTHORITIES else ""
        message = f"The upstream's certificate is not accepted: {reason}.{hint}"
    else:
        reason = error.reason or "the connection ended"
        message = _SENTENCES.get(reason, f"TLS with the upstream failed: {reason}.")
    return UpstreamError(UpstreamFailure.TLS_ERROR, message, request_sent=request_sent)
