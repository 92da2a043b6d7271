"""What every listener of the demo's mail server has in common: its table, its client, its end.

    door ──Arrival──▶ PROXY header? ──Guest──▶ TLS first? ──▶ smtpd.py or imapd.py

A listener that wants a PROXY header (a *twin* of the plain one) waits for it as long as the real server does.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass

from probe.demo.door import Arrival
from probe.demo.header import NoHeader, read_header
from probe.demo.mail_log import MailLog
from probe.model import Network, Peer, Service, within

IDLE_SECONDS = 60.0
"""A client that says nothing for so long is sent away."""

POSTFIX_HEADER_SECONDS = 5.0
DOVECOT_HEADER_SECONDS = 3.0


@dataclass(frozen=True, kw_only=True, slots=True)
class House:
    """What all listeners of one mail server share. `account` is the only user and password that may log in."""

    name: str
    address: str
    log: MailLog
    tls: ssl.SSLContext
    account: tuple[str, str]
    trusted: tuple[Network, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class Listener:
    """One service of the house. `header_seconds` None: it wants no PROXY header."""

    house: House
    service: Service
    header_seconds: float | None = None

    @property
    def wants_header(self) -> bool:
        """True for the PROXY-expecting twin."""
        return self.header_seconds is not None

    def trusts(self, real: Peer) -> bool:
        """Whether Dovecot takes a header from there; Postfix takes it from everybody."""
        return self.service.speaks_smtp or within(real.address, self.house.trusted)


@dataclass(frozen=True, kw_only=True, slots=True)
class Guest:
    """A client as the server believes it: `client` from the header, if there was one."""

    arrival: Arrival
    client: Peer
    process: int


async def believed(listener: Listener, arrival: Arrival) -> Peer | NoHeader:
    """The client of a connection, by its header where one is wanted."""
    if listener.header_seconds is None:
        return arrival.client
    return await read_header(arrival.sock, arrival.client, listener.header_seconds)


async def hand_over(
    arrival: Arrival, protocol: Callable[[], asyncio.Protocol], tls: ssl.SSLContext | None
) -> asyncio.Transport:
    """Give the connection to a protocol; with a context the TLS handshake comes first.

    The transport gets a number of its own: whoever is cancelled as a handshake begins leaves one behind, which would go
    on with ours though it were another's by then. What is shut down ends it.
    """
    try:
        transport, _ = await asyncio.get_running_loop().connect_accepted_socket(protocol, arrival.sock.dup(), ssl=tls)
    except BaseException:
        with suppress(OSError):
            arrival.sock.shutdown(socket.SHUT_RDWR)
        raise
    return transport


async def hang_up(writer: asyncio.StreamWriter) -> None:
    """Close politely, and for certain: a peer that does not answer the farewell is cut off."""
    writer.close()
    try:
        async with asyncio.timeout(1):
            await writer.wait_closed()
    except OSError:  # TimeoutError is one
        writer.transport.abort()


@asynccontextmanager
async def until_done(writer: asyncio.StreamWriter) -> AsyncIterator[None]:
    """Around a conversation: it ends with the connection closed, at once where the server itself is stopped."""
    try:
        yield
    except asyncio.CancelledError:
        writer.transport.abort()
        raise
    finally:
        await hang_up(writer)
