"""Opens connections: resolves a name once, judges every address, tries the permitted ones, passes a proxy, starts TLS. Keeps none."""

import asyncio
import contextlib
import errno
import re
import socket
import ssl
from collections.abc import Callable
from ipaddress import ip_address
from typing import Any

import msgspec
import uvloop

from keyhouse.domain.address import Origin
from keyhouse.gateway.address_policy import AddressPolicy, blocked, literal_address
from keyhouse.gateway.bounds import MAX_HEAD_BYTES
from keyhouse.gateway.connection import Connection
from keyhouse.gateway.name_lookup import NameLookups
from keyhouse.gateway.proxy import Proxies, Proxy
from keyhouse.gateway.timeouts import Timeouts
from keyhouse.gateway.tls import tls_failure
from keyhouse.gateway.upstream_error import UpstreamError, UpstreamFailure

# RFC 8305 section 5: the next address is tried when the last has not answered for this long.
NEXT_ADDRESS_AFTER_S = 0.25
_STATUS_LINE = re.compile(rb"HTTP/1\.[01] (\d{3})(?: [^\r\n]*)?\r\n")

SocketAddress = tuple[Any, ...]


class _Endpoint(msgspec.Struct, frozen=True):
    """A place to connect to: the address family, and the address as the socket module writes it."""

    family: int
    address: SocketAddress


class Dialer(msgspec.Struct, frozen=True):
    """Opens connections under an address policy, through proxies, with a TLS context."""

    policy: AddressPolicy
    proxies: Proxies
    context: ssl.SSLContext
    names: NameLookups = msgspec.field(default_factory=NameLookups)

    async def dial(self, origin: Origin, timeouts: Timeouts, protocol_factory: Callable[[], Connection]) -> Connection:
        """An open connection to `origin`, TLS included.

        Raises UpstreamError: `BLOCKED`, `CONNECT_FAILED`, `CONNECT_TIMEOUT` (of all steps together), `TLS_ERROR`.
        """
        try:
            async with asyncio.timeout(timeouts.connect_s):
                return await self._dial(origin, protocol_factory)
        except TimeoutError:
            raise UpstreamError(UpstreamFailure.CONNECT_TIMEOUT, "The upstream could not be reached in time.") from None

    async def _dial(self, origin: Origin, protocol_factory: Callable[[], Connection]) -> Connection:
        rule = self.policy.rule_against_name(origin.host)
        if rule is not None:
            raise blocked(rule)
        proxy = self.proxies.proxy_for(origin)
        if proxy is None:
            endpoints = await self._resolve(origin.host, origin.port, "upstream")
            connected = await _connect_any(self._permitted(origin.host, endpoints), "upstream")
        else:
            connected = await _connect_any(await self._resolve(proxy.host, proxy.port, "proxy"), "proxy")
        if proxy is not None and origin.scheme == "https":
            try:
                await _tunnel(connected, proxy, origin)
            except (asyncio.CancelledError, UpstreamError):
                connected.close()
                raise
        return await self._connection(connected, origin, protocol_factory)

    async def _made(self, connected: socket.socket, origin: Origin, protocol_factory: Callable[[], Connection]) -> Connection:
        is_tls = origin.scheme == "https"
        context, name = (self.context, origin.host) if is_tls else (None, None)
        made = asyncio.get_running_loop().create_connection(protocol_factory, sock=connected, ssl=context, server_hostname=name)
        return (await made)[1]

    async def _resolve(self, host: str, port: int, whose: str) -> list[_Endpoint]:
        literal = literal_address(host)
        if literal is not None:
            return [_Endpoint(socket.AF_INET, (host, port)) if literal.version == 4 else _Endpoint(socket.AF_INET6, (host, port, 0, 0))]
        try:
            found = await self.names.addresses(host)
        except (OSError, UnicodeError, RuntimeError):
            raise UpstreamError(UpstreamFailure.CONNECT_FAILED, f"The {whose}'s name could not be resolved.") from None
        return _alternating([_Endpoint(family, (address[0], port, *address[2:])) for family, address in found])

    def _permitted(self, host: str, endpoints: list[_Endpoint]) -> list[_Endpoint]:
        judged = [(self.policy.rule_against(host, ip_address(endpoint.address[0])), endpoint) for endpoint in endpoints]
        permitted = [endpoint for rule, endpoint in judged if rule is None]
        if not permitted:
            raise blocked(next(rule for rule, _ in judged if rule is not None))
        return permitted

    async def _connection(self, connected: socket.socket, origin: Origin, protocol_factory: Callable[[], Connection]) -> Connection:
        """The connection over a socket, which is the loop's from now on, TLS included. Who leaves has the handshake fail: uvloop keeps a
        connection whose making is cancelled for half a minute and logs it as an error, or closes what is somebody else's by then."""
        making = asyncio.create_task(self._made(connected, origin, protocol_factory))
        try:
            return await asyncio.shield(making)
        except asyncio.CancelledError:
            making.add_done_callback(_abort_unused)
            making.add_done_callback(lambda _: _forget_closed(connected))
            with contextlib.suppress(OSError):
                connected.shutdown(socket.SHUT_RDWR)
            # It ends in the loop's next rounds, without the upstream's doing.
            await asyncio.wait([making])
            raise
        except ssl.SSLError as error:
            _forget_closed(connected)
            raise tls_failure(error, request_sent=False) from None
        except OSError as error:
            _forget_closed(connected)
            raise UpstreamError(UpstreamFailure.CONNECT_FAILED, f"The connection ended during the TLS handshake{_named(error)}.") from None


def _forget_closed(connected: socket.socket) -> None:
    """Have a socket not closed again when it is freed: uvloop closes that of a connection that came to nothing by its number, which may be
    another one's by then, and does not tell the object where it ended in the round in which it was taken over."""
    if isinstance(asyncio.get_running_loop(), uvloop.Loop):
        connected.detach()


def _alternating(endpoints: list[_Endpoint]) -> list[_Endpoint]:
    """The resolver's order with the families taking turns (RFC 8305 section 4): a family that leads nowhere costs one wait only."""
    first = [endpoint for endpoint in endpoints if endpoint.family == endpoints[0].family]
    other = [endpoint for endpoint in endpoints if endpoint.family != endpoints[0].family]
    ordered = []
    for position in range(max(len(first), len(other))):
        ordered += first[position : position + 1] + other[position : position + 1]
    return ordered


def _abort_unused(making: "asyncio.Task[Connection]") -> None:
    if not making.cancelled() and making.exception() is None:
        making.result().abort()


async def _connect_any(endpoints: list[_Endpoint], whose: str) -> socket.socket:
    """The first TCP connection made to any of the endpoints, in their order; the next is tried when the last one failed or is slow."""
    waiting = list(endpoints)
    attempts: set[asyncio.Task[socket.socket]] = set()
    failure: OSError | None = None
    try:
        while waiting or attempts:
            if waiting:
                attempts.add(asyncio.create_task(_connect(waiting.pop(0))))
            pause = NEXT_ADDRESS_AFTER_S if waiting else None
            done, _ = await asyncio.wait(attempts, timeout=pause, return_when=asyncio.FIRST_COMPLETED)
            for attempt in done:
                attempts.remove(attempt)
                error = attempt.exception()
                if error is None:
                    return attempt.result()
                if not isinstance(error, OSError):
                    raise error
                failure = error
    finally:
        for attempt in attempts:
            attempt.add_done_callback(_close_unused)
            attempt.cancel()
    raise UpstreamError(UpstreamFailure.CONNECT_FAILED, f"The {whose} could not be reached{_named(failure)}.")


def _close_unused(attempt: "asyncio.Task[socket.socket]") -> None:
    if not attempt.cancelled() and attempt.exception() is None:
        attempt.result().close()


async def _connect(endpoint: _Endpoint) -> socket.socket:
    connecting = socket.socket(endpoint.family, socket.SOCK_STREAM)
    try:
        connecting.setblocking(False)
        _keep_alive(connecting)
        await asyncio.get_running_loop().sock_connect(connecting, endpoint.address)
    except (OSError, asyncio.CancelledError):
        connecting.close()
        raise
    return connecting


def _keep_alive(connecting: socket.socket) -> None:
    """Let TCP probe a connection that waits minutes for an answer: NATs and firewalls forget silent ones."""
    connecting.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for option, value in (("TCP_KEEPIDLE", 60), ("TCP_KEEPINTVL", 30), ("TCP_KEEPCNT", 4)):
        if hasattr(socket, option):
            connecting.setsockopt(socket.IPPROTO_TCP, getattr(socket, option), value)


async def _tunnel(connected: socket.socket, proxy: Proxy, origin: Origin) -> None:
    """Have the proxy connect to `origin`. Raises UpstreamError `CONNECT_FAILED`."""
    host = f"[{origin.host}]" if ":" in origin.host else origin.host
    authority = f"{host}:{origin.port}".encode("ascii")
    try:
        answer = await _proxy_answer(
            connected, b"CONNECT %b HTTP/1.1\r\nhost: %b\r\n%b\r\n" % (authority, authority, proxy.authorization_lines())
        )
    except OSError as error:
        raise UpstreamError(UpstreamFailure.CONNECT_FAILED, f"The proxy closed the connection{_named(error)}.") from None
    head, end, rest = answer.partition(b"\r\n\r\n")
    status = _STATUS_LINE.match(head + b"\r\n") if end else None
    if status is not None and not status[1].startswith(b"2"):
        why = ": it wants another user and password than HTTPS_PROXY holds" if status[1] == b"407" else ""
        raise UpstreamError(UpstreamFailure.CONNECT_FAILED, f"The proxy answered CONNECT with {status[1].decode()}{why}.")
    if status is None or rest:
        raise UpstreamError(UpstreamFailure.CONNECT_FAILED, "The proxy's answer to CONNECT is not valid HTTP.")


async def _proxy_answer(connected: socket.socket, request: bytes) -> bytes:
    """The proxy's answer up to the end of its head, with what came after it in the same read; cut off at the largest head."""
    loop = asyncio.get_running_loop()
    await loop.sock_sendall(connected, request)
    answer = b""
    while b"\r\n\r\n" not in answer and len(answer) <= MAX_HEAD_BYTES:
        part = await loop.sock_recv(connected, 4096)
        if not part:
            raise ConnectionResetError(errno.ECONNRESET, "closed")
        answer += part
    return answer


def _named(error: OSError | None) -> str:
    """The system's name of an error, such as ` (ECONNREFUSED)`: its text may repeat the address."""
    name = errno.errorcode.get(error.errno or 0) if error is not None else None
    return f" ({name})" if name else ""
