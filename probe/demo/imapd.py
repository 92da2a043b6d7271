"""The demo's IMAPS server: only what a login service says, logged as Dovecot 2.3 does through syslog.

    C: a1 NOOP                          dovecot: imap-login: Disconnected: Aborted login by logging out (no auth
    S: a1 OK NOOP completed.            attempts in 0 secs): user=<>, rip=192.168.1.10, lip=10.10.1.5, TLS, session=<…>

Rules of this file:
- Each connection ends in exactly one line, with a session id that carries its moment, port and address.
- Lines are bounded, commands are a table, and everybody is told what is wrong before being sent away.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field

from probe.demo.door import Arrival
from probe.demo.header import Missing, NoHeader
from probe.demo.listener import IDLE_SECONDS, Guest, Listener, believed, hand_over, until_done
from probe.evidence.session_id import encode

LONGEST_LINE = 8192
MOST_BAD_COMMANDS = 10
"""Bad commands until the client is sent away."""

CAPABILITIES = "IMAP4rev1 SASL-IR LOGIN-REFERRALS ID ENABLE IDLE LITERAL+ AUTH=PLAIN"
WORD = re.compile(r'"((?:[^"\\]|\\.)*)"|([^\s"(){}]+)')


def words(text: str) -> list[str]:
    r"""Quoted strings and atoms of an argument list.

    >>> words('("name" "a \\"b\\"" version 2)')
    ['name', 'a "b"', 'version', '2']
    """
    return [re.sub(r"\\(.)", r"\1", quoted) if quoted else atom for quoted, atom in WORD.findall(text)]


@dataclass(slots=True)
class Conversation:
    """What the server knows of one client. `end` is why it is over, in Dovecot's words."""

    listener: Listener
    guest: Guest
    user: str = ""
    attempts: int = 0
    logged_in: bool = False
    bad_commands: int = 0
    end: str | None = None
    begun: float = field(default_factory=time.monotonic)

    def log(self, event: str, *, method: str = "") -> None:
        """One line of imap-login about this client."""
        client, house = self.guest.client, self.listener.house
        fields = [f"user=<{self.user}>", *([f"method={method}"] if method else [])]
        fields += [f"rip={client.address}", f"lip={house.address}"]
        fields += [f"mpid={self.guest.process}"] if self.logged_in else []
        fields += ["TLS", f"session=<{encode(self.guest.arrival.at, client)}>"]
        house.log.write("dovecot", f"imap-login: {event}: {', '.join(fields)}")

    def log_end(self) -> None:
        """Say how it ended, unless the login line has already told."""
        if self.logged_in:
            return
        seconds = int(time.monotonic() - self.begun)
        tried = f"auth failed, {self.attempts} attempts" if self.attempts else "no auth attempts"
        method = "PLAIN" if self.attempts else ""
        self.log(f"Disconnected: {self.end or 'Connection closed'} ({tried} in {seconds} secs)", method=method)


def _capability(conversation: Conversation, argument: str) -> tuple[str, ...]:
    del conversation, argument
    return (f"* CAPABILITY {CAPABILITIES}", "OK Capability completed.")


def _noop(conversation: Conversation, argument: str) -> tuple[str, ...]:
    del conversation, argument
    return ("OK NOOP completed.",)


def _id(conversation: Conversation, argument: str) -> tuple[str, ...]:
    told = words(argument)
    if len(told) >= 2:
        pairs = zip(told[::2], told[1::2], strict=False)
        conversation.log("ID sent: " + ", ".join(f"{name}={value}" for name, value in pairs))
    return ('* ID ("name" "Dovecot")', "OK ID completed.")


def _login(conversation: Conversation, argument: str) -> tuple[str, ...]:
    credentials = words(argument)
    if len(credentials) != 2:
        return ("BAD Error in IMAP command LOGIN: two arguments are needed.",)
    conversation.user = credentials[0]
    if tuple(credentials) != conversation.listener.house.account:
        conversation.attempts += 1
        return ("NO [AUTHENTICATIONFAILED] Authentication failed.",)
    conversation.logged_in = True
    conversation.log("Login", method="PLAIN")
    return (f"OK [CAPABILITY {CAPABILITIES}] Logged in",)


def _logout(conversation: Conversation, argument: str) -> tuple[str, ...]:
    del argument
    conversation.end = "Aborted login by logging out"
    return ("* BYE Logging out", "OK Logout completed.")


COMMANDS: dict[str, Callable[[Conversation, str], tuple[str, ...]]] = {
    "CAPABILITY": _capability,
    "NOOP": _noop,
    "ID": _id,
    "LOGIN": _login,
    "LOGOUT": _logout,
}


def answer(conversation: Conversation, line: str) -> list[str]:
    """Replies to one line; the tag goes before the one that completes the command."""
    tag, _, command = line.partition(" ")
    verb, _, argument = command.partition(" ")
    run = COMMANDS.get(verb.upper())
    if run is None:
        conversation.bad_commands += 1
        if conversation.bad_commands >= MOST_BAD_COMMANDS:
            conversation.end = "Too many invalid commands"
            return ["* BYE Too many invalid IMAP commands."]
        return [f"{tag or '*'} BAD Error in IMAP command received by server."]
    *untagged, tagged = run(conversation, argument)
    return [*untagged, f"{tag} {tagged}"]


async def serve_imaps(listener: Listener, arrival: Arrival) -> None:
    """One connection from its first byte to its last log line."""
    if listener.wants_header and not listener.trusts(arrival.client):
        listener.house.log.write(
            "dovecot", f"imap-login: Warning: haproxy: Client not trusted (rip={arrival.client.address})"
        )
        return
    client = await believed(listener, arrival)
    if isinstance(client, NoHeader):
        rip = f"(rip={arrival.client.address})"
        listener.house.log.write("dovecot", f"imap-login: Error: haproxy: {HEADER_ERRORS[client.why]} {rip}")
        return
    with listener.house.log.process() as process:
        guest = Guest(arrival=arrival, client=client, process=process)
        await _serve(Conversation(listener, guest))


HEADER_ERRORS = {
    Missing.TIMED_OUT: "Client timed out",
    Missing.GONE: "Client disconnected: Failed to read valid HAproxy data",
    Missing.NOT_A_HEADER: "Client disconnected: Failed to read valid HAproxy data",
}


async def _serve(conversation: Conversation) -> None:
    try:
        reader, writer = await _open(conversation)
        async with until_done(writer):
            await _converse(conversation, reader, writer)
    finally:
        conversation.log_end()


async def _open(conversation: Conversation) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader(limit=LONGEST_LINE, loop=loop)
    protocol = asyncio.StreamReaderProtocol(reader, loop=loop)
    tls = conversation.listener.house.tls
    try:
        transport = await hand_over(conversation.guest.arrival, lambda: protocol, tls)
    except OSError as error:
        conversation.end = f"Connection closed: SSL_accept() failed: {error}"
        raise
    return reader, asyncio.StreamWriter(transport, protocol, reader, loop)


async def _converse(conversation: Conversation, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(f"* OK [CAPABILITY {CAPABILITIES}] Dovecot (mailprobe demo) ready.\r\n".encode())
    while conversation.end is None:
        line = await _next_line(conversation, reader, writer)
        if line is None:
            return
        replies = answer(conversation, line)
        writer.write("".join(f"{reply}\r\n" for reply in replies).encode("ascii", "replace"))
        with suppress(ConnectionError):
            await writer.drain()


async def _next_line(
    conversation: Conversation, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> str | None:
    """The client's next line; None at its end, be it silent, gone or endless."""
    try:
        async with asyncio.timeout(IDLE_SECONDS):
            line = await reader.readline()
    except TimeoutError:
        conversation.end = "Inactivity"
        writer.write(b"* BYE Disconnected for inactivity.\r\n")
        return None
    except ValueError:  # how StreamReader says that a line passed its limit
        conversation.end = "Input buffer full"
        writer.write(b"* BYE Input buffer full, aborting\r\n")
        return None
    return line.decode("ascii", "replace").rstrip("\r\n") if line.endswith(b"\n") else None
