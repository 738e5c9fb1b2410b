"""The socket that a server listens on: bound first, so that a taken port costs nothing."""

import ipaddress
import socket

from keyhouse.domain.errors import Code, Error

_BACKLOG = 2048


def listen(host: str, port: int) -> socket.socket:
    """A listening socket; an IPv6 address may stand in brackets. Raises Error `configuration`, saying what to choose instead."""
    bare = host[1:-1] if host.startswith("[") and host.endswith("]") else host
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(bare, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
        listening = socket.socket(family, kind, protocol)
    except UnicodeError:
        raise _cannot_listen(host, port, "it is no name of a host") from None
    except OSError as problem:
        raise _cannot_listen(host, port, problem.strerror) from None
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(address)
        listening.listen(_BACKLOG)
    except OSError as problem:
        listening.close()
        raise _cannot_listen(host, port, problem.strerror) from None
    return listening


def is_loopback(listening: socket.socket) -> bool:
    """Whether only this machine can connect."""
    return ipaddress.ip_address(listening.getsockname()[0].partition("%")[0]).is_loopback


def shown_address(listening: socket.socket) -> str:
    """The address to paste on this machine, with the port that it really has; a wildcard is shown as loopback."""
    host, port = listening.getsockname()[:2]
    address = ipaddress.ip_address(host.partition("%")[0])
    if address.is_unspecified:
        host = "127.0.0.1" if address.version == 4 else "::1"
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _cannot_listen(host: str, port: int, why: str | None) -> Error:
    return Error(Code.CONFIGURATION, f"Cannot listen on {host}:{port} ({why}). Choose another with --port or --host.")
