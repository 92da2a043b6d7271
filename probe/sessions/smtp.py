"""The SMTP conversation, on aiosmtplib: greeting, EHLO, STARTTLS, login, imprint, QUIT.

    S: 220 mail.example.org ESMTP        first_byte, greeting (postscreen's teaser comes long before the rest)
    C: EHLO probe.example.org            hello
    C: STARTTLS                          starttls (command and handshake); EHLO again belongs to it
    C: AUTH PLAIN ****                   login, only where configured and only over TLS
    C: NOOP / RSET / EHLO / HELO         imprint; DATA out of turn, where its reply may name the client
    C: MAIL / RCPT / DATA                delivery, only for `deliver` (deliver.py)
    C: QUIT                              quit

Postfix counts what it was sent; `tally` counts the same way, from the replies we really got.
"""

from __future__ import annotations

import asyncio
import re
import ssl
from collections import Counter
from contextlib import suppress

from aiosmtplib import (
    SMTP,
    SMTPAuthenticationError,
    SMTPException,
    SMTPResponse,
    SMTPResponseException,
    SMTPServerDisconnected,
)
from aiosmtplib.protocol import SMTPProtocol

from probe.model import Count, Failure, Imprint, ImprintKind, Login, Phase, Service, Tally
from probe.sessions.dial import Wire
from probe.sessions.faults import Refusal
from probe.sessions.imprint import ODDS
from probe.sessions.journal import Journal

QUIT_SECONDS = 2.0
STRAY_SECONDS = 1.0
"""A wait only before HELO, so only where EHLO failed: an old server, or a PROXY header that was taken for a command."""

UNDELIVERABLE = "nobody@mailprobe.invalid"
"""Recipient of a `reject` imprint: RFC 2606 keeps `.invalid` out of the DNS, so no server delivers to it."""

LAST_LINE = re.compile(rb"^\d{3}(?: |\r?$)", re.M)
"""The last line of a reply (RFC 5321 section 4.2.1)."""

LONGEST_START = 4
"""Octets at the start of a line that tell whether it is the last one."""

WRONG_CREDENTIALS = {530, 534, 535, 538}
"""RFC 4954 section 6."""

GO_ON = 354
NOTHING = b".\r\n"
"""A server may take DATA without a recipient (RFC 5321 section 4.1.1.4), and refuse it at the end."""

CHALLENGE = 334
"""RFC 4954 section 4: the server waits for one more line, and would take QUIT for a password."""


class SmtpWire(Wire, SMTPProtocol):
    """aiosmtplib's protocol with our ears and Postfix's way of counting."""

    def __init__(self, journal: Journal) -> None:
        super().__init__(loop=asyncio.get_running_loop())
        self.watch(journal)
        self.accepted: Counter[str] = Counter()
        self.total: Counter[str] = Counter()
        self._contents = 0
        self._replies = 0
        self._unread = b""
        self._unasked = asyncio.Event()

    def data_received(self, data: bytes) -> None:
        self.heard(data)
        self._count_replies(data)
        super().data_received(data)

    def _count_replies(self, octets: bytes) -> None:
        """Whole lines only: a read may end within one, and `220` in its middle is not a reply."""
        whole, newline, rest = octets.rpartition(b"\n")
        if not newline:
            self._unread = (self._unread + octets)[:LONGEST_START]
            return
        self._replies += len(LAST_LINE.findall(self._unread + whole))
        self._unread = rest[:LONGEST_START]
        if self.spoke_unasked:
            self._unasked.set()

    def connection_lost(self, exc: Exception | None) -> None:
        self.gone(exc)
        super().connection_lost(exc)

    def write(self, data: bytes) -> None:
        verb = data.split(None, 1)[0].lower().decode("ascii", "replace")
        self.journal.note(b"AUTH ****" if verb == "auth" else data, ours=True)
        self.total[verb] += 1
        super().write(data)

    async def execute_command(self, *args: bytes, timeout: float | None = None) -> SMTPResponse:
        response = await super().execute_command(*args, timeout=timeout)
        self.count(args[0], response)
        if self.spoke_unasked:
            raise _unasked()
        return response

    async def hand_over(self, content: bytes) -> SMTPResponse:
        """Send what DATA's 354 asks for, dots and end included; it is no command, but it has a reply of its own."""
        if self._command_lock is None:
            raise SMTPServerDisconnected("Server not connected")
        async with self._command_lock:
            self._response_pending = True
            self._contents += 1
            self.journal.note(b"(%d octets)" % len(content), ours=True)
            super().write(content)
            response = await self.read_response()
        self.accepted["data"] -= not 200 <= response.code < 400
        return response

    async def stay_in_step(self) -> None:
        """Refusal if the error we took for an answer of ours was somebody else's, and ours is still to come."""
        with suppress(TimeoutError):
            await asyncio.wait_for(self._unasked.wait(), STRAY_SECONDS)
            raise _unasked()

    @property
    def spoke_unasked(self) -> bool:
        """True if more replies came than we asked for: somebody before us put bytes into the connection."""
        return self._replies > self._due

    @property
    def greeted(self) -> bool:
        """True once the greeting is complete: before it, it is not our turn (RFC 5321 section 4.3.1)."""
        return self._replies > 0

    @property
    def answered(self) -> bool:
        """True if every command has its reply."""
        return self._replies >= self._due

    @property
    def _due(self) -> int:
        """Replies due so far: a greeting, and one for each command and each message."""
        return 1 + self.total.total() + self._contents

    def count(self, verb: bytes, response: SMTPResponse) -> None:
        """Count a reply as smtpd does: a verb is accepted unless its reply is an error."""
        self.accepted[verb.lower().decode("ascii")] += 200 <= response.code < 400

    @property
    def tally(self) -> Tally:
        """What Postfix's `disconnect` line will say of this session."""
        return {verb: Count(self.accepted[verb], total) for verb, total in self.total.items()}


class Conversation(SMTP):
    """aiosmtplib's client over a connection that we dialled ourselves."""

    def __init__(self, wire: SmtpWire, transport: asyncio.Transport, *, name: str) -> None:
        super().__init__(timeout=None)
        self.local_hostname = name
        self.loop = asyncio.get_running_loop()
        self.wire = wire
        self.protocol = wire
        self.transport = transport
        self.name = name
        self.encrypted: ssl.SSLObject | None = transport.get_extra_info("ssl_object")
        """The TLS connection, None in clear."""

    async def greeted(self) -> None:
        """Wait for the greeting; SMTPResponseException for anything but 220."""
        with self.wire.journal.phase(Phase.FIRST_BYTE):
            await self.wire.until_first_byte()
        with self.wire.journal.phase(Phase.GREETING):
            response = await self.wire.read_response()
            if response.code != 220:
                raise SMTPResponseException(response.code, response.message)

    async def hello(self, service: Service) -> None:
        """EHLO; HELO where the server knows no better (RFC 5321 section 3.2), but only on port 25."""
        with self.wire.journal.phase(Phase.HELLO):
            try:
                await self.ehlo()
            except SMTPResponseException as error:
                if service is not Service.SMTP or error.code not in (500, 502):
                    raise
                await self.wire.stay_in_step()
                await self.helo()

    async def encrypt(self, service: Service, context: ssl.SSLContext, server_name: str) -> None:
        """STARTTLS and the handshake; port 25 goes on in clear where it is not offered (RFC 7435)."""
        offered = self.supports_extension("starttls")
        if not offered and service is Service.SMTP:
            return
        with self.wire.journal.phase(Phase.STARTTLS):
            if not offered:
                raise Refusal(Failure.NOT_OFFERED, "the server does not offer STARTTLS")
            await self._shake_hands(context, server_name)
            await self.ehlo()

    async def _shake_hands(self, context: ssl.SSLContext, server_name: str) -> None:
        transport = self.transport
        try:
            response = await self.starttls(tls_context=context, server_hostname=server_name)
        except BaseException:
            self.wire.journal.broke_handshake = self.wire.answered
            if transport is not None and transport.is_closing():
                self.wire.gone(None)  # a connection that ends within a handshake is not told of its end
            raise
        self.wire.count(b"starttls", response)
        self.encrypted = self.get_transport_info("ssl_object")

    async def log_in(self, login: Login) -> None:
        """AUTH with one mechanism and one try: a second guess would be a failed login nobody asked for."""
        with self.wire.journal.phase(Phase.LOGIN):
            if self.encrypted is None:
                raise Refusal(Failure.NOT_OFFERED, "no TLS, so no password is sent")
            if "plain" not in self.server_auth_methods:
                offered = ", ".join(self.server_auth_methods) or "none"
                raise Refusal(Failure.NOT_OFFERED, f"AUTH PLAIN is not offered (offered: {offered})")
            try:
                await self.auth_plain(login.username, login.password.reveal())
            except SMTPAuthenticationError as error:
                if error.code == CHALLENGE:
                    await self.execute_command(b"*")
                    raise Refusal(Failure.PROTOCOL_BROKEN, "the server asked again after AUTH PLAIN") from None
                if error.code not in WRONG_CREDENTIALS:
                    raise
                detail = f"user {login.username} was refused: {error.code} {error.message}"
                raise Refusal(Failure.BAD_CREDENTIALS, detail, f"{error.code} {error.message}") from None

    async def leave_imprint(self, kind: ImprintKind, verbs: list[str], token: str) -> None:
        """Send the fingerprint's verbs; for `reject` a refused RCPT that carries the token as well.

        DATA may be among the verbs: without a recipient it is refused, and a footer of the reply may name the client.
        """
        if kind is ImprintKind.NONE:
            return
        with self.wire.journal.phase(Phase.IMPRINT):
            for verb in verbs:
                response = await self.say(verb)
                if response.code == GO_ON:
                    await self.wire.hand_over(NOTHING)
            if kind is ImprintKind.REJECT:
                await self.ehlo(hostname=token_host(token))
                await self.say("mail", f"FROM:<probe+{token}@{token_host(token)}>")
                await self.say("rcpt", f"TO:<{UNDELIVERABLE}>")
                await self.say("rset")

    async def say(self, verb: str, *arguments: str) -> SMTPResponse:
        """One command; whatever the server answers is fine, but for 421, its farewell."""
        if verb in ("ehlo", "helo"):
            arguments = (self.name,)
        response = await self.execute_command(verb.upper().encode(), *(word.encode() for word in arguments))
        if response.code == 421:
            raise SMTPResponseException(response.code, response.message)
        return response

    async def __aenter__(self) -> Conversation:
        return self

    async def __aexit__(self, _: object, error: BaseException | None, __: object) -> None:
        """QUIT once greeted: with its answer while the server keeps to the protocol, else as a last word."""
        transport = self.wire.transport or self.transport
        try:
            if self.is_connected and self.wire.greeted:
                await self._quit(QUIT_SECONDS if _in_step(error) else 0)
        finally:
            self.close()
            if transport is not None:
                await self.wire.release(transport)

    async def _quit(self, seconds: float) -> None:
        with self.wire.journal.phase(Phase.QUIT), suppress(SMTPException, Refusal, TimeoutError):
            async with asyncio.timeout(seconds):
                await self.quit()

    def imprint(self, kind: ImprintKind, token: str) -> Imprint:
        """What was really left behind."""
        return Imprint(
            kind=kind,
            tally=self.wire.tally if kind is not ImprintKind.NONE else {},
            token=token if kind is ImprintKind.REJECT else None,
            odds=ODDS,
        )


def _unasked() -> Refusal:
    return Refusal(Failure.PROTOCOL_BROKEN, "the server answered commands that we never sent")


def _in_step(error: BaseException | None) -> bool:
    match error:
        case SMTPResponseException():
            return error.code > 0
        case Refusal():
            return error.failure is not Failure.PROTOCOL_BROKEN
        case _:
            return error is None


def token_host(token: str) -> str:
    """The HELO name of a `reject` imprint."""
    return f"{token}.probe.mailprobe.invalid"
