"""The TLS context of all upstream connections: certificates and names are always verified."""

import functools
import ssl

from keyhouse.domain.errors import Code, Error


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
