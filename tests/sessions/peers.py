"""Scripted mail servers on loopback: right in everything but the one thing that a test makes them do.

A peer speaks SMTP or IMAP as it should; `acts` says what it does instead at one moment of the conversation. Peers run
in a thread with a loop of their own, so that their tasks and errors never mix with those of the sessions under test.

    with Town() as town:
        peer = town.open(Peer(Service.SMTP, {Moment.HELLO: reset}))
        ... dial peer.port ...
    peer.visits[0].lines      # what one client sent, in order
"""

from __future__ import annotations

import asyncio
import socket
import ssl
import struct
import threading
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import NoReturn

import trustme

from probe.model import Service
from tests.sessions.box import Box, show, take
from tests.sessions.moment import Moment

RESET = struct.pack("ii", 1, 0)
CAPABILITIES = b"IMAP4rev1 SASL-IR LOGIN-REFERRALS ID ENABLE IDLE LITERAL+ AUTH=PLAIN"
NAME = "mail.lab.test"


class Over(Exception):
    """The script ends here."""


class Visit:
    """One connection of a client: a bare socket first, so that TLS can begin at any octet; streams after `settle`."""

    def __init__(self, peer: Peer, sock: socket.socket) -> None:
        self.peer = peer
        self.sock = sock
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.client = sock.getpeername()
        self.lines: list[bytes] = []
        self.header = b""
        self.encrypted = False
        self.ended = threading.Event()
        self._loop = asyncio.get_running_loop()
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def settle(self, context: ssl.SSLContext | None) -> None:
        """Go on with streams; with a context over TLS, from the first octet."""
        reader = asyncio.StreamReader(limit=1 << 20)
        protocol = asyncio.StreamReaderProtocol(reader, self._take)
        await self._loop.connect_accepted_socket(lambda: protocol, self.sock, ssl=context)
        self.encrypted = context is not None

    def _take(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._streams = reader, writer

    async def start_tls(self) -> None:
        assert self._streams is not None
        await self._streams[1].start_tls(self.peer.context)
        self.encrypted = True

    async def say(self, octets: bytes) -> None:
        if self._streams is None:
            await self._loop.sock_sendall(self.sock, octets)
            return
        writer = self._streams[1]
        if writer.transport.is_closing():
            raise Over
        writer.write(octets)
        await writer.drain()
        await asyncio.sleep(0)  # drain alone never yields on a TLS connection that is dead: a flood would spin

    async def read(self, most: int) -> bytes:
        """What the client sends next; Over when it has hung up."""
        if self._streams is None:
            octets = await self._loop.sock_recv(self.sock, most)
        else:
            octets = await self._streams[0].read(most)
        if not octets:
            raise Over
        return octets

    async def hear(self) -> bytes:
        """The client's next line without its end; Over when there is none."""
        line = b""
        while not line.endswith(b"\n"):
            line += await self.read(1)
        self.lines.append(line.rstrip(b"\r\n"))
        return self.lines[-1]

    async def until_gone(self) -> NoReturn:
        """Read what the client still has to say, until it hangs up."""
        while True:
            if self.encrypted or self._streams is not None:
                await self.hear()
            else:
                await self.read(4096)

    def reset(self) -> NoReturn:
        where = self.sock if self._streams is None else self._streams[1].get_extra_info("socket")
        where.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        if self._streams is not None:
            self._streams[1].transport.abort()
        raise Over

    def close(self) -> None:
        if self._streams is None:
            self.sock.close()
        else:
            self._streams[1].close()

    async def at(self, moment: Moment, duty: bytes) -> None:
        """Do what the peer was told to do at this moment, or its duty."""
        act = self.peer.acts.get(moment)
        await (act(self) if act is not None else self.say(duty))

    @property
    def verbs(self) -> list[str]:
        """First words of the lines, upper case; the tag of IMAP left out."""
        words = [line.upper().split() for line in self.lines]
        place = 1 if self.peer.service is Service.IMAPS else 0
        return [word[place].decode("ascii", "replace") for word in words if len(word) > place]

    @property
    def logins(self) -> int:
        """How often the client tried to log in."""
        return sum(verb in ("AUTH", "LOGIN", "AUTHENTICATE") for verb in self.verbs)


Act = Callable[[Visit], Awaitable[None]]


@dataclass(kw_only=True)
class Peer:
    """A server of one service and what it does wrong."""

    service: Service
    acts: Mapping[Moment, Act] = field(default_factory=dict)
    context: ssl.SSLContext = field(default_factory=lambda: Certificates.shared().good)
    capabilities: bytes = CAPABILITIES
    offers: tuple[bytes, ...] = (b"PIPELINING", b"STARTTLS", b"AUTH PLAIN LOGIN", b"8BITMIME")
    host: str = "127.0.0.1"
    port: int = 0
    visits: list[Visit] = field(default_factory=list)
    box: Box | None = None
    """The mailbox that an SMTP peer delivers to and an IMAP peer shows."""

    async def receive(self, sock: socket.socket) -> None:
        """Play the script for one client."""
        visit = Visit(self, sock)
        self.visits.append(visit)
        try:
            await visit.at(Moment.ACCEPT, b"")
            if self.service.tls_first:
                await _shake_hands(visit)
            await visit.settle(self.context if self.service.tls_first else None)
            await (_smtp(visit) if self.service.speaks_smtp else _imap(visit))
            visit.ended.set()
        except (Over, OSError, EOFError, ValueError):
            visit.ended.set()
        except asyncio.CancelledError:
            return
        finally:
            visit.close()

    async def listen(self, listener: socket.socket) -> None:
        """Receive one client after the other, side by side."""
        loop = asyncio.get_running_loop()
        async with asyncio.TaskGroup() as group:
            while True:
                sock, _ = await loop.sock_accept(listener)
                group.create_task(self.receive(sock))


async def _shake_hands(visit: Visit) -> None:
    """A peer that misbehaves in the handshake does so when the client has begun it."""
    if Moment.HANDSHAKE in visit.peer.acts:
        await visit.read(1)
        await visit.at(Moment.HANDSHAKE, b"")


async def _smtp(visit: Visit) -> None:
    await visit.at(Moment.GREETING, b"220 %s ESMTP\r\n" % NAME.encode())
    while True:
        line = await visit.hear()
        verb = line.upper().split(b" ")[0]
        match verb:
            case b"EHLO":
                tried = visit.verbs.count("EHLO")
                again = visit.encrypted and not visit.peer.service.tls_first
                moment = (Moment.HELLO_AGAIN if again else Moment.HELLO) if tried <= 1 + again else Moment.IMPRINT
                await visit.at(moment, _ehlo(visit))
            case b"HELO" | b"NOOP" | b"RSET":
                await visit.at(Moment.IMPRINT, b"250 2.0.0 Ok\r\n")
            case b"STARTTLS":
                await visit.at(Moment.STARTTLS, b"220 2.0.0 Ready to start TLS\r\n")
                await _shake_hands(visit)
                await visit.start_tls()
            case b"AUTH":
                await visit.at(Moment.LOGIN, b"235 2.7.0 Authentication successful\r\n")
            case b"QUIT":
                await visit.at(Moment.QUIT, b"221 2.0.0 Bye\r\n")
                return
            case b"MAIL" | b"RCPT" | b"DATA":
                await take(visit, visit.peer.box, verb)
            case _:
                await visit.say(b"500 5.5.2 Error: bad syntax\r\n")


def _ehlo(visit: Visit) -> bytes:
    offers = [offer for offer in visit.peer.offers if not (offer == b"STARTTLS" and visit.encrypted)]
    lines = [NAME.encode(), *offers]
    return b"".join(b"250%c%s\r\n" % (b"- "[line is lines[-1]], line) for line in lines)


async def _imap(visit: Visit) -> None:
    await visit.at(Moment.GREETING, b"* OK Dovecot ready.\r\n")
    while True:
        tag, _, command = (await visit.hear()).partition(b" ")
        match command.upper().split(b" ")[0]:
            case b"CAPABILITY":
                await visit.at(Moment.HELLO, b"* CAPABILITY %s\r\n%s OK done.\r\n" % (visit.peer.capabilities, tag))
            case b"ID":
                await visit.at(Moment.IMPRINT, b"* ID NIL\r\n%s OK ID completed.\r\n" % tag)
            case b"LOGIN":
                await visit.at(Moment.LOGIN, tag + b" OK [CAPABILITY IMAP4rev1] Logged in\r\n")
            case b"LOGOUT":
                await visit.at(Moment.QUIT, b"* BYE Logging out\r\n%s OK Logout completed.\r\n" % tag)
                return
            case verb if visit.peer.box is not None:
                await show(visit, visit.peer.box, tag, verb)
            case _:
                await visit.say(tag + b" BAD Unknown command.\r\n")


class Town:
    """A thread in which peers live."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="peers")
        self._listeners: list[socket.socket] = []

    def __enter__(self) -> Town:
        self._thread.start()
        return self

    def open(self, peer: Peer) -> Peer:
        """Listen on a port of the kernel's choice."""
        family = socket.AF_INET6 if ":" in peer.host else socket.AF_INET
        listener = socket.create_server((peer.host, 0), family=family, backlog=64)
        listener.settimeout(0)
        self._listeners.append(listener)
        peer.port = listener.getsockname()[1]
        asyncio.run_coroutine_threadsafe(peer.listen(listener), self._loop)
        return peer

    def __exit__(self, *_: object) -> None:
        asyncio.run_coroutine_threadsafe(self._close(), self._loop).result(timeout=30)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()
        for listener in self._listeners:
            listener.close()

    async def _close(self) -> None:
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


@dataclass(frozen=True, kw_only=True)
class Certificates:
    """Contexts of peers: a good one, one for another name, one expired, one that nobody vouches for."""

    ca_file: str
    good: ssl.SSLContext
    other_name: ssl.SSLContext
    expired: ssl.SSLContext
    self_signed: ssl.SSLContext

    @staticmethod
    def shared() -> Certificates:
        """The certificates of this test run; `make` first."""
        return _SHARED[-1]

    @staticmethod
    def make(directory: str) -> Certificates:
        """Make them, and their CA's file below `directory`."""
        authority, stranger = trustme.CA(), trustme.CA()
        authority.cert_pem.write_to_path(f"{directory}/ca.pem")
        made = Certificates(
            ca_file=f"{directory}/ca.pem",
            good=_context(authority, NAME),
            other_name=_context(authority, "other.lab.test"),
            expired=_context(authority, NAME, expired=True),
            self_signed=_context(stranger, NAME),
        )
        _SHARED.append(made)
        return made


_SHARED: list[Certificates] = []


def _context(authority: trustme.CA, name: str, *, expired: bool = False) -> ssl.SSLContext:
    past = datetime(2020, 1, 1, tzinfo=UTC) if expired else None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(name, not_after=past).configure_cert(context)
    return context
