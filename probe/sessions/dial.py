"""Connect, PROXY header, TLS: each a timed phase, each failing in its own words.

aiosmtplib and aioimaplib fuse these, so we dial ourselves and hand the open transport over. `Wire` sits before
a library's protocol and sees every byte first: the first one, the first line, and the transcript.
"""

from __future__ import annotations

import asyncio
import errno
import os
import socket
import ssl
import sys
from collections import deque
from collections.abc import Callable
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from typing import TypeVar

from probe.model import AddressFamily, Endpoint, Failure, Peer, Phase, ProxyHeader, plain_address
from probe.sessions.bound import Bound
from probe.sessions.faults import Refusal, SocketAddress, before_the_syn
from probe.sessions.journal import Journal

FAMILIES = {
    AddressFamily.IPV4: socket.AF_INET,
    AddressFamily.IPV6: socket.AF_INET6,
    AddressFamily.ANY: socket.AF_UNSPEC,
}

LONGEST_LINE = 8192
"""Octets; RFC 5321 section 4.5.3.1.5 allows 512, RFC 7162 section 4 recommends 8192 for IMAP."""

TCPI_BYTES_RECEIVED = slice(128, 136)
"""Where Linux's struct tcp_info keeps it (include/uapi/linux/tcp.h; since Linux 4.1)."""

A_FIN = 1
KEEPALIVE = ((socket.TCP_KEEPIDLE, 1), (socket.TCP_KEEPINTVL, 1))
"""Seconds without a word, on either side, after which TCP asks whether the other side is there (tcp(7))."""

RELEASE_SECONDS = 0.5
"""How long the other side may take to let go of a connection that we have closed (TLS: its close_notify)."""

NEW_PORT_TRIES = 16

PROHIBITED = "administratively prohibited, says a firewall or router on the way"
"""Of EACCES that came back to a SYN; "Permission denied" would send somebody to the vantage's own permissions."""


class Wire(asyncio.Protocol):
    """Mixed in before a library's protocol: notes what arrives, then passes it on."""

    def watch(self, journal: Journal) -> None:
        """Begin; call this before the transport is handed over."""
        loop = asyncio.get_running_loop()
        self.journal = journal
        self.lost = False
        self._broken_by: Exception | None = None
        self._over: asyncio.Future[None] = loop.create_future()
        self._spoken_to = False
        self._silence_over: asyncio.Future[None] = loop.create_future()

    def heard(self, octets: bytes) -> None:
        """Note octets from the server."""
        self._spoken_to = True
        settle(self._silence_over)
        self.journal.note(octets, ours=False)

    def gone(self, error: Exception | None) -> None:
        """Note the end of the connection, and what broke it."""
        if not self.lost:
            self.lost, self._broken_by = True, error
        settle(self._over)
        settle(self._silence_over)

    def end(self) -> Exception:
        """Why the connection that is gone is gone."""
        return self._broken_by or Refusal(Failure.CLOSED, "the server closed the connection")

    async def until_first_byte(self) -> None:
        """Return when the server has said anything at all; Refusal if it closed before."""
        await self._silence_over
        if not self._spoken_to:
            raise self.end()

    async def release(self, transport: asyncio.BaseTransport) -> None:
        """Close; abort if the other side holds on, since asyncio itself would wait half a minute for it."""
        try:
            # Up to Python 3.11.2 the second close() of a TLS transport makes abort() fail.
            if not transport.is_closing():
                transport.close()
            await within(RELEASE_SECONDS, self._over)
        finally:
            if not self.lost:
                transport.abort()  # type: ignore[attr-defined] # every socket's transport has it


WireT = TypeVar("WireT", bound=Wire)


def settle(event: asyncio.Future[None]) -> None:
    """Wake whoever waits for something that happened, or happened before, or is not waited for any more."""
    if not event.done():
        event.set_result(None)


async def within(seconds: float, event: asyncio.Future[None]) -> None:
    """Wait for an event, but not for ever: when the time is over it counts as happened, for who waits here looks after.

    asyncio.timeout costs twice as much, asyncio.wait a turn of the loop more.
    """
    over = asyncio.get_running_loop().call_later(seconds, settle, event)
    try:
        await event
    finally:
        over.cancel()


@dataclass(frozen=True, kw_only=True, slots=True)
class Dialled:
    """An open TCP connection."""

    sock: socket.socket
    client: Peer
    server: Peer
    connected: float

    def end(self) -> None:
        """Here it ends, whoever it was handed to."""
        with suppress(OSError):  # it has ended already
            self.sock.shutdown(socket.SHUT_RDWR)
        self.sock.close()


class Ports:
    """The local ports of our latest connections: none is taken again while late lines about it may come."""

    def __init__(self, remembered: int = 512) -> None:
        self._latest: deque[int] = deque(maxlen=remembered)

    def bound(self, endpoint: Endpoint, family: int) -> socket.socket:
        """A socket with a port of its own: a new one, unless nearly all that the machine gives are among the latest."""
        with ExitStack() as passed_over:
            for _ in range(NEW_PORT_TRIES):
                sock = _bound(endpoint, family)
                if sock.getsockname()[1] not in self._latest:
                    break
                passed_over.callback(sock.close)  # only afterwards, or it might come again
            else:
                sock = _bound(endpoint, family)
        self._latest.append(sock.getsockname()[1])
        return sock


async def connect(endpoint: Endpoint, family: int, address: SocketAddress, journal: Journal, ports: Ports) -> Dialled:
    """Connect within the endpoint's connect timeout."""
    with journal.phase(Phase.CONNECT):
        sock = ports.bound(endpoint, family)
        try:
            await _reach(sock, address, endpoint.timeouts.connect)
            _miss(sock, endpoint.timeouts.connect)
            client = _peer(sock.getsockname())
        except BaseException:
            sock.close()
            raise
    # getpeername fails on a connection that is reset by now; we know whom we called
    return Dialled(sock=sock, client=client, server=_peer(address), connected=journal.clock())


def _bound(endpoint: Endpoint, family: int) -> socket.socket:
    """Bound before it connects: connect() alone gives one port to two connections, if they go to different servers."""
    try:
        sock = socket.socket(family, socket.SOCK_STREAM)
    except OSError as error:
        raise Refusal(Failure.VANTAGE, f"{error.strerror}") from None
    try:
        sock.settimeout(0)
        sock.bind((_local_address(endpoint, family), 0))
    except OSError as error:
        sock.close()
        asked = f" (source_address {endpoint.source_address})" if endpoint.source_address else ""
        raise Refusal(Failure.VANTAGE, f"{error.strerror}{asked}") from None
    return sock


def _local_address(endpoint: Endpoint, family: int) -> str:
    if endpoint.source_address is not None:
        return str(endpoint.source_address)
    return "::" if family == socket.AF_INET6 else "0.0.0.0"  # noqa: S104 - nothing listens here


async def _reach(sock: socket.socket, address: SocketAddress, seconds: float) -> None:
    number = sock.connect_ex(address)
    if number == 0:
        return
    if number != errno.EINPROGRESS:
        raise before_the_syn(number, sock, address)
    try:
        async with Bound(seconds):
            await asyncio.get_running_loop().sock_connect(sock, address)  # waits for what is under way
    except ConnectionResetError:
        # Accepted, then reset: a refused connection says ECONNREFUSED. The next phase finds the connection closed.
        return
    except OSError as error:
        if error.errno is None:  # our own bound
            raise
        # asyncio has a text of its own, with a tuple
        said = PROHIBITED if error.errno == errno.EACCES else os.strerror(error.errno)
        raise OSError(error.errno, said) from None


def _miss(sock: socket.socket, seconds: float) -> None:
    """Give up a connection on which nothing is acknowledged for so long (RFC 5482); a slow server acknowledges.

    Without it packets that begin to vanish amid a session would cost all of `timeouts.session`.
    """
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for option, value in KEEPALIVE:
        sock.setsockopt(socket.IPPROTO_TCP, option, value)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, max(1, round(seconds * 1000)))


def _peer(name: SocketAddress) -> Peer:
    return Peer(plain_address(name[0]), name[1])


async def send_header(endpoint: Endpoint, dialled: Dialled, journal: Journal, *, local: bool) -> None:
    """Send the path's PROXY header, or LOCAL in its place, before anything else."""
    if endpoint.proxy_header is ProxyHeader.NONE and not local:
        return
    from probe.sessions import proxy_header  # noqa: PLC0415 - few paths send one

    client = endpoint.claim or dialled.client
    octets = proxy_header.LOCAL if local else proxy_header.header(endpoint.proxy_header, client, dialled.server)
    with journal.phase(Phase.PROXY_HEADER):
        journal.note(b"PROXY header: " + repr(octets).encode(), ours=True)
        await asyncio.get_running_loop().sock_sendall(dialled.sock, octets)


async def hand_over(
    dialled: Dialled, protocol: Callable[[], WireT], journal: Journal, context: ssl.SSLContext | None, name: str
) -> tuple[asyncio.Transport, WireT]:
    """Give the connection to a protocol; with a context the TLS handshake comes first and is timed."""
    loop = asyncio.get_running_loop()
    if context is None:
        return await loop.create_connection(protocol, sock=dialled.sock)
    # A handle of its own: asyncio closes it before it tells of a failed handshake, and whoever is cancelled as the
    # handshake begins leaves a transport behind that would go on with our number, though it were another's by then.
    with journal.phase(Phase.TLS):
        try:
            return await loop.create_connection(protocol, sock=dialled.sock.dup(), ssl=context, server_hostname=name)
        except BaseException:
            journal.server_spoke = octets_received(dialled.sock) > A_FIN
            raise


def octets_received(sock: socket.socket) -> int:
    """What the other side has sent so far, read or not, a FIN counting as one: tcpi_bytes_received.

    Where nobody can tell, the answer is that it spoke.
    """
    try:
        told = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, TCPI_BYTES_RECEIVED.stop)
        return int.from_bytes(told[TCPI_BYTES_RECEIVED], sys.byteorder)
    except (OSError, AttributeError):
        return A_FIN + 1
