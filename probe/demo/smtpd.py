"""The demo's SMTP server: aiosmtpd speaks, this file makes it count, refuse and log as Postfix does.

Rules of this file:
- Each connection logs `connect from`, and `disconnect from` with its commands counted, whatever happens in between.
- submission refuses what needs TLS with 530 before STARTTLS; the commands count all the same (`rset=0/1`).
- No mail is taken: every RCPT is refused and logged as `NOQUEUE: reject`. On submission and submissions RCPT and VRFY
  of a client that has not logged in name the client's address in the reply, as Postfix's usual restrictions make it do.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

from aiosmtpd.smtp import SMTP, AuthResult, LoginPassword, TLSSetupException

from probe.demo.door import Arrival
from probe.demo.header import Missing, NoHeader, escaped
from probe.demo.listener import IDLE_SECONDS, Guest, Listener, believed, hand_over, until_done
from probe.demo.smtp_count import CommandCount
from probe.model import Service

SYSLOG_NAMES = {
    (Service.SMTP, False): "postfix/smtpd",
    (Service.SUBMISSION, False): "postfix/submission/smtpd",
    (Service.SUBMISSIONS, False): "postfix/submissions/smtpd",
    (Service.SMTP, True): "postfix/smtpd-proxy25/smtpd",
    (Service.SUBMISSION, True): "postfix/smtpd-proxy587/smtpd",
    (Service.SUBMISSIONS, True): "postfix/smtpd-proxy465/smtpd",
}

WORKS_BEFORE_TLS = frozenset({"HELO", "EHLO", "STARTTLS", "NOOP", "HELP", "QUIT"})

Command = Callable[[str | None], Awaitable[None]]


class Smtpd(SMTP):
    """One SMTP conversation."""

    def __init__(self, listener: Listener, guest: Guest) -> None:
        self.listener = listener
        self.guest = guest
        self.counted = CommandCount()
        self.tag = f"{SYSLOG_NAMES[listener.service, listener.wants_header]}[{guest.process}]"
        super().__init__(
            _Policy(self),
            hostname=listener.house.name,
            ident="ESMTP Postfix (mailprobe demo)",
            tls_context=None if listener.service.tls_first else listener.house.tls,
            auth_require_tls=not listener.service.tls_first,
            authenticator=self._authenticate_account,
            timeout=IDLE_SECONDS,
            loop=asyncio.get_running_loop(),
        )
        self._smtp_methods = {verb: self._counting(verb, run) for verb, run in self._smtp_methods.items()}
        self._last_reply = b""
        self._in_command = False

    @property
    def encrypted(self) -> bool:
        """True once TLS is up."""
        return self.listener.service.tls_first or self._tls_protocol is not None

    @property
    def client(self) -> str:
        """The client as Postfix names it; the demo looks up no names."""
        return f"unknown[{self.guest.client.address}]"

    def log(self, message: str) -> None:
        """One line of this process."""
        self.listener.house.log.write(self.tag, message)

    def _counting(self, verb: str, run: Command) -> Command:
        async def counted(argument: str | None) -> None:
            accepted = False
            self._in_command = True
            try:
                await (self._ask_for_tls() if self._needs_tls(verb) else run(argument))
                accepted = self._last_reply[:1] in b"23"
            finally:
                self._in_command = False
                self.counted.count(verb, accepted=accepted)

        return counted

    def _needs_tls(self, verb: str) -> bool:
        required = self.listener.service is Service.SUBMISSION
        return required and not self.encrypted and verb not in WORKS_BEFORE_TLS

    async def _ask_for_tls(self) -> None:
        await self.push("530 5.7.0 Must issue a STARTTLS command first")

    async def push(self, status: str | bytes) -> None:
        """Send a reply; outside a known command a 500 is the answer to an unknown one."""
        self._last_reply = status.encode("ascii", "replace") if isinstance(status, str) else status
        if not self._in_command and self._last_reply.startswith(b"500 Error: command"):
            self.counted.count("unknown", accepted=False)
        await super().push(self._last_reply)

    async def smtp_STARTTLS(self, arg: str | None) -> None:
        """STARTTLS; while a handshake fails aiosmtpd has no transport to close, so it is given the plain one."""
        plain = self.transport
        try:
            await super().smtp_STARTTLS(arg)
        except TLSSetupException:
            self.log(f"SSL_accept error from {self.client}: -1")
            self.transport = plain
            raise

    def connection_lost(self, error: Exception | None) -> None:
        """The end of the connection; aiosmtpd calls a broken handshake by a name of its own."""
        super().connection_lost(error if isinstance(error, OSError) else None)

    def _authenticate_account(self, *request: Any) -> AuthResult:
        offered = request[-1]
        user, password = self.listener.house.account
        known = LoginPassword(user.encode(), password.encode())
        return AuthResult(success=offered == known, handled=False, auth_data=offered)

    async def finish(self) -> None:
        """Wait until the client has gone, then close whatever is still open."""
        conversation = self._handler_coroutine
        assert conversation is not None, "the connection is made"  # noqa: S101  # for mypy
        try:
            async with until_done(self._writer):
                await asyncio.wait({conversation})
        finally:
            conversation.cancel()
            await asyncio.gather(conversation, return_exceptions=True)


class _Policy:
    """aiosmtpd's hooks: what the server thinks of recipients, and of a client whose TLS breaks."""

    def __init__(self, smtpd: Smtpd) -> None:
        self._smtpd = smtpd

    async def handle_RCPT(self, server: Any, session: Any, envelope: Any, address: str, options: Any) -> str:
        """Refuse every recipient."""
        del server, options
        reply = (
            f"554 5.7.1 <{address}>: Relay access denied"
            if self._welcome_guest(session)
            else f"554 5.7.1 <{self._smtpd.client}>: Client host rejected: Access denied"
        )
        self._reject("RCPT", reply, f"from=<{envelope.mail_from}> to=<{address}>", session)
        return reply

    async def handle_VRFY(self, server: Any, session: Any, envelope: Any, address: str) -> str:
        """Know nobody; say to a stranger who he is."""
        del server, envelope
        if self._welcome_guest(session):
            return f"252 2.0.0 {address}"
        reply = f"554 5.7.1 <{self._smtpd.client}>: Client host rejected: Access denied"
        self._reject("VRFY", reply, f"to=<{address}>", session)
        return reply

    async def handle_exception(self, error: Exception) -> str:
        """A broken handshake is logged where it broke; anything else is told to the client as it is."""
        return f"451 4.3.0 Error: {type(error).__name__}"

    def _welcome_guest(self, session: Any) -> bool:
        return self._smtpd.listener.service is Service.SMTP or bool(session.authenticated)

    def _reject(self, verb: str, reply: str, whose: str, session: Any) -> None:
        protocol = "ESMTP" if session.extended_smtp else "SMTP"
        self._smtpd.log(
            f"NOQUEUE: reject: {verb} from {self._smtpd.client}: {reply};"
            f" {whose} proto={protocol} helo=<{session.host_name or ''}>"
        )


async def serve_smtp(listener: Listener, arrival: Arrival) -> None:
    """One connection from its first byte to its last log line."""
    with listener.house.log.process() as process:
        client = await believed(listener, arrival)
        if isinstance(client, NoHeader):
            await _refuse(listener, process, arrival, client)
        else:
            await _converse(listener, Guest(arrival=arrival, client=client, process=process))


async def _converse(listener: Listener, guest: Guest) -> None:
    smtpd = Smtpd(listener, guest)
    smtpd.log(f"connect from {smtpd.client}")
    try:
        await _open(smtpd)
        await smtpd.finish()
    finally:
        if smtpd.counted.last != "QUIT":
            smtpd.log(f"lost connection after {smtpd.counted.last} from {smtpd.client}")
        smtpd.log(f"disconnect from {smtpd.client} {smtpd.counted}")


async def _open(smtpd: Smtpd) -> None:
    tls = smtpd.listener.house.tls if smtpd.listener.service.tls_first else None
    try:
        await hand_over(smtpd.guest.arrival, lambda: smtpd, tls)
    except OSError:
        smtpd.log(f"SSL_accept error from {smtpd.client}: -1")
        raise


HEADER_WARNINGS = {
    Missing.TIMED_OUT: "haproxy read: timeout error",
    Missing.GONE: "haproxy read: EOF",
    Missing.NOT_A_HEADER: "haproxy read: unrecognized protocol header: {sent}",
}


async def _refuse(listener: Listener, process: int, arrival: Arrival, header: NoHeader) -> None:
    """What smtpd does without its header: a warning, 421, the end. It never learns who the client was."""
    tag = f"{SYSLOG_NAMES[listener.service, True]}[{process}]"
    log = listener.house.log
    log.write(tag, f"warning: {HEADER_WARNINGS[header.why].format(sent=escaped(header.sent))}")
    log.write(tag, "connect from unknown[unknown]")
    reply = f"421 4.3.0 {listener.house.name} Server local error\r\n".encode()
    with suppress(OSError):
        await asyncio.get_running_loop().sock_sendall(arrival.sock, reply)
    log.write(tag, "disconnect from unknown[unknown] commands=0/0")
