"""Which proxy a request goes through, from values that the settings read: HTTPS_PROXY, HTTP_PROXY and NO_PROXY. Opens no connection."""

import base64
from dataclasses import dataclass, field
from ipaddress import ip_network
from urllib.parse import unquote, urlsplit

from keyhouse.domain.address import Origin
from keyhouse.gateway.address_policy import literal_address

_DEFAULT_PROXY_PORT = 80


@dataclass(frozen=True, slots=True)
class Proxy:
    """An HTTP proxy. `authorization` is the value of the header with its credentials, or empty."""

    host: str
    port: int
    authorization: bytes = field(default=b"", repr=False)

    def authorization_lines(self) -> bytes:
        """The header's line, ended; nothing where there are no credentials."""
        return b"proxy-authorization: %b\r\n" % self.authorization if self.authorization else b""


@dataclass(frozen=True, slots=True)
class Proxies:
    """The proxies for https and http origins (None: none), and the entries of NO_PROXY, in lower case."""

    https: Proxy | None = None
    http: Proxy | None = None
    exempt: tuple[str, ...] = ()

    def proxy_for(self, origin: Origin) -> Proxy | None:
        """The proxy a connection to `origin` goes through, or None for a direct one."""
        proxy = self.https if origin.scheme == "https" else self.http
        if proxy is None or any(_matches(entry, origin) for entry in self.exempt):
            return None
        return proxy


def proxies(https_proxy: str = "", http_proxy: str = "", no_proxy: str = "") -> Proxies:
    """Proxies from the values of HTTPS_PROXY, HTTP_PROXY and NO_PROXY; empty values are absent ones.

    NO_PROXY: `*`, or hosts (a name covers the names below it, with or without a leading dot), addresses and CIDRs, each with an optional
    port, separated by commas or blanks. Raises ValueError, in a sentence without the value (it may hold a password), for a proxy that is
    not an `http://` one.
    """
    exempt = tuple(no_proxy.lower().replace(",", " ").split())
    return Proxies(_proxy("HTTPS_PROXY", https_proxy), _proxy("HTTP_PROXY", http_proxy), exempt)


def _proxy(name: str, url: str) -> Proxy | None:
    if not url:
        return None
    try:
        parts = urlsplit(url if "://" in url else f"http://{url}")
        host, port = parts.hostname, parts.port or _DEFAULT_PROXY_PORT
    except ValueError:
        raise ValueError(f"{name} is not an address") from None
    if parts.scheme != "http" or not host:
        raise ValueError(f"{name} must be the address of an http:// proxy; TLS to the proxy itself and SOCKS are not supported")
    return Proxy(host, port, _authorization(parts.username, parts.password))


def _authorization(username: str | None, password: str | None) -> bytes:
    if username is None:
        return b""
    pair = f"{unquote(username)}:{unquote(password or '')}".encode()
    return b"Basic " + base64.b64encode(pair)


def _matches(entry: str, origin: Origin) -> bool:
    if entry == "*":
        return True
    host, port = _split_port(entry)
    if port is not None and port != origin.port:
        return False
    address = literal_address(origin.host)
    if address is not None:
        try:
            return address in ip_network(host, strict=False)
        except ValueError:
            return False
    name = host.removeprefix("*").removeprefix(".").removesuffix(".")
    return origin.host == name or origin.host.endswith(f".{name}")


def _split_port(entry: str) -> tuple[str, int | None]:
    if entry.startswith("["):
        host, _, rest = entry[1:].partition("]")
        return host, int(rest[1:]) if rest[1:].isdecimal() else None
    host, colon, port = entry.rpartition(":")
    if colon and ":" not in host and port.isdecimal():
        return host, int(port)
    return entry, None
