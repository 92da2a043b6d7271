"""Resolve, connect, PROXY header, TLS: each a timed phase, each failing in its own words.

aiosmtplib and aioimaplib fuse these, so we dial ourselves and hand the open transport over. `Wire` sits before
a library's protocol and sees every byte first: the first one, the first line, and the transcript.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from probe.model import AddressFamily, Endpoint, Failure, Peer, Phase, ProxyHeader, plain_address
from probe.sessions import proxy_header
from probe.sessions.faults import Refusal
from probe.sessions.journal import Journal

FAMILIES = {
    AddressFamily.IPV4: socket.AF_INET,
    AddressFamily.IPV6: socket.AF_INET6,
    AddressFamily.ANY: socket.AF_UNSPEC,
}

LONGEST_LINE = 8192
"""Octets; RFC 5321 section 4.5.3.1.5 allows 512, RFC 7162 section 4 recommends 8192 for IMAP."""


A_FIN = 1


class Wire(asyncio.Protocol):
    """Mixed in before a library's protocol: notes what arrives, then passes it on."""

    def watch(self, journal: Journal) -> None:
        """Begin; call this before the transport is handed over."""
        loop = asyncio.get_running_loop()
        self.journal = journal
        self.first_byte: asyncio.Future[None] = loop.create_future()
        self.lost: asyncio.Future[None] = loop.create_future()

    def heard(self, octets: bytes) -> None:
        """Note octets from the server."""
        if not self.first_byte.done():
            self.first_byte.set_result(None)
        self.journal.note(octets, ours=False)

    def gone(self) -> None:
        """Note the end of the connection."""
        if not self.lost.done():
            self.lost.set_result(None)

    async def until_first_byte(self) -> None:
        """Return when the server has said anything at all; Refusal if it closed before."""
        await asyncio.wait((self.first_byte, self.lost), return_when=asyncio.FIRST_COMPLETED)
        if not self.first_byte.done():
            raise Refusal(Failure.CLOSED, "the server closed the connection without a byte")


WireT = TypeVar("WireT", bound=Wire)


@dataclass(frozen=True, kw_only=True, slots=True)
class Dialled:
    """An open TCP connection."""

    sock: socket.socket
    client: Peer
    server: Peer
    connected: float


async def resolve(endpoint: Endpoint, journal: Journal) -> tuple[socket.AddressFamily, tuple[str, int]]:
    """The first address of the endpoint's host in the family it asks for."""
    with journal.phase(Phase.RESOLVE):
        loop = asyncio.get_running_loop()
        found = await loop.getaddrinfo(endpoint.host, endpoint.port, family=_family(endpoint), type=socket.SOCK_STREAM)
        family, _, _, _, address = found[0]
        return family, (str(address[0]), endpoint.port)


def _family(endpoint: Endpoint) -> socket.AddressFamily:
    """A source address binds the family too: no socket speaks from one family to the other."""
    if endpoint.family is AddressFamily.ANY and endpoint.source_address is not None:
        return socket.AF_INET if endpoint.source_address.version == 4 else socket.AF_INET6
    return FAMILIES[endpoint.family]


async def connect(endpoint: Endpoint, family: int, address: tuple[str, int], journal: Journal) -> Dialled:
    """Connect within the endpoint's connect timeout."""
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.settimeout(0)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with journal.phase(Phase.CONNECT):
            if endpoint.source_address is not None:
                sock.bind((str(endpoint.source_address), 0))
            async with asyncio.timeout(endpoint.timeouts.connect):
                await asyncio.get_running_loop().sock_connect(sock, address)
        connected = journal.clock()
        client, server = (_peer(name) for name in (sock.getsockname(), sock.getpeername()))
    except BaseException:
        sock.close()
        raise
    return Dialled(sock=sock, client=client, server=server, connected=connected)


def _peer(name: tuple[str, int]) -> Peer:
    return Peer(plain_address(name[0]), name[1])


async def send_header(endpoint: Endpoint, dialled: Dialled, journal: Journal, *, local: bool) -> None:
    """Send the path's PROXY header, or LOCAL in its place, before anything else."""
    if local:
        octets = proxy_header.LOCAL
    elif endpoint.proxy_header is not ProxyHeader.NONE:
        octets = proxy_header.header(endpoint.proxy_header, dialled.client, dialled.server)
    else:
        return
    try:
        with journal.phase(Phase.PROXY_HEADER):
            journal.note(b"PROXY header: " + repr(octets).encode(), ours=True)
            await asyncio.get_running_loop().sock_sendall(dialled.sock, octets)
    except BaseException:
        dialled.sock.close()
        raise


async def hand_over(
    dialled: Dialled, protocol: Callable[[], WireT], journal: Journal, context: ssl.SSLContext | None, name: str
) -> tuple[asyncio.Transport, WireT]:
    """Give the connection to a protocol; with a context the TLS handshake comes first and is timed."""
    loop = asyncio.get_running_loop()
    if context is None:
        return await loop.create_connection(protocol, sock=dialled.sock)
    # asyncio closes the socket before it tells of a failed handshake; a second handle can still be asked.
    with journal.phase(Phase.TLS), dialled.sock.dup() as second_handle:
        try:
            return await loop.create_connection(protocol, sock=dialled.sock, ssl=context, server_hostname=name)
        except BaseException:
            journal.server_spoke = octets_received(second_handle) > A_FIN
            raise


def octets_received(sock: socket.socket) -> int:
    """What the other side has sent so far, read or not, a FIN counting as one: Linux's tcpi_bytes_received.

    Where nobody can tell, the answer is that it spoke.
    """
    try:
        return int.from_bytes(sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 136)[128:136], sys.byteorder)
    except (OSError, AttributeError):
        return A_FIN + 1
