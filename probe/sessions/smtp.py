"""The SMTP conversation, on aiosmtplib: greeting, EHLO, STARTTLS, login, imprint, QUIT.

    S: 220 mail.example.org ESMTP        first_byte, greeting (postscreen's teaser comes long before the rest)
    C: EHLO probe.example.org            hello
    C: STARTTLS                          starttls (command and handshake); EHLO again belongs to it
    C: AUTH PLAIN ****                   login, only where configured and only over TLS
    C: NOOP / RSET / HELP / EHLO / HELO  imprint
    C: QUIT                              quit

Postfix counts what it was sent; `tally` counts the same way, from the replies we really got.
"""

from __future__ import annotations

import asyncio
import re
import ssl
from collections import Counter

from aiosmtplib import (
    SMTP,
    SMTPAuthenticationError,
    SMTPException,
    SMTPResponse,
    SMTPResponseException,
)
from aiosmtplib.protocol import SMTPProtocol

from probe.model import Count, Failure, Imprint, ImprintKind, Login, Phase, Service, Tally
from probe.sessions.dial import Wire
from probe.sessions.faults import Refusal
from probe.sessions.imprint import ODDS
from probe.sessions.journal import Journal

QUIT_SECONDS = 2.0
UNDELIVERABLE = "nobody@mailprobe.invalid"
"""Recipient of a `reject` imprint: RFC 2606 keeps `.invalid` out of the DNS, so no server delivers to it."""

LAST_LINE = re.compile(rb"^\d{3}(?: |\r?$)", re.M)
"""The last line of a reply, as long as it does not straddle two reads (RFC 5321 section 4.2.1)."""

WRONG_CREDENTIALS = {530, 534, 535, 538}
"""RFC 4954 section 6."""


class SmtpWire(Wire, SMTPProtocol):
    """aiosmtplib's protocol with our ears and Postfix's way of counting."""

    def __init__(self, journal: Journal) -> None:
        super().__init__(loop=asyncio.get_running_loop())
        self.watch(journal)
        self.accepted: Counter[str] = Counter()
        self.total: Counter[str] = Counter()
        self._replies = 0

    def data_received(self, data: bytes) -> None:
        self.heard(data)
        self._replies += len(LAST_LINE.findall(data))
        super().data_received(data)

    def connection_lost(self, exc: Exception | None) -> None:
        self.gone()
        super().connection_lost(exc)

    def write(self, data: bytes) -> None:
        verb = data.split(None, 1)[0].lower().decode("ascii", "replace")
        self.journal.note(b"AUTH ****" if verb == "auth" else data, ours=True)
        self.total[verb] += 1
        super().write(data)

    async def execute_command(self, *args: bytes, timeout: float | None = None) -> SMTPResponse:
        response = await super().execute_command(*args, timeout=timeout)
        self.count(args[0], response)
        return response

    @property
    def spoke_unasked(self) -> bool:
        """True if more replies came than we asked for: somebody before us put bytes into the connection."""
        return self._replies > 1 + self.total.total()

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
        super().__init__(local_hostname=name, timeout=None)
        self.loop = asyncio.get_running_loop()
        self.wire = wire
        self.protocol = wire
        self.transport = transport
        self.name = name

    @property
    def encrypted(self) -> ssl.SSLObject | None:
        """The TLS connection, None in clear."""
        transport = self.wire.transport
        return transport.get_extra_info("ssl_object") if transport is not None else None

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
                await self.helo()
            if self.wire.spoke_unasked:
                raise Refusal(Failure.PROTOCOL_BROKEN, "the server answered commands that we never sent")

    async def encrypt(self, service: Service, context: ssl.SSLContext, server_name: str) -> None:
        """STARTTLS and the handshake; port 25 goes on in clear where it is not offered (RFC 7435)."""
        offered = self.supports_extension("starttls")
        if not offered and service is Service.SMTP:
            return
        with self.wire.journal.phase(Phase.STARTTLS):
            if not offered:
                raise Refusal(Failure.NOT_OFFERED, "the server does not offer STARTTLS")
            response = await self.starttls(tls_context=context, server_hostname=server_name)
            self.wire.count(b"starttls", response)
            await self.ehlo()

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
                if error.code not in WRONG_CREDENTIALS:
                    raise
                detail = f"user {login.username} was refused: {error.code} {error.message}"
                raise Refusal(Failure.BAD_CREDENTIALS, detail, f"{error.code} {error.message}") from None

    async def leave_imprint(self, kind: ImprintKind, verbs: list[str], token: str) -> None:
        """Send the fingerprint's verbs; for `reject` a refused RCPT that carries the token as well."""
        if kind is ImprintKind.NONE:
            return
        with self.wire.journal.phase(Phase.IMPRINT):
            for verb in verbs:
                await self._say(verb)
            if kind is ImprintKind.REJECT:
                await self.ehlo(hostname=token_host(token))
                await self.execute_command(b"MAIL", f"FROM:<probe+{token}@{token_host(token)}>".encode())
                await self.execute_command(b"RCPT", f"TO:<{UNDELIVERABLE}>".encode())
                await self.execute_command(b"RSET")

    async def _say(self, verb: str) -> None:
        needs_name = verb in ("ehlo", "helo")
        arguments = (self.name.encode(),) if needs_name else ()
        response = await self.execute_command(verb.upper().encode(), *arguments)
        if response.code == 421:
            raise SMTPResponseException(response.code, response.message)

    async def __aenter__(self) -> Conversation:
        return self

    async def __aexit__(self, _: object, error: BaseException | None, __: object) -> None:
        """QUIT always: with its answer while the server keeps to the protocol, else as a last word."""
        if self.is_connected:
            in_step = error is None or isinstance(error, SMTPResponseException | Refusal)
            await self._quit(QUIT_SECONDS if in_step else 0)
        self.close()

    async def _quit(self, seconds: float) -> None:
        with self.wire.journal.phase(Phase.QUIT):
            try:
                await self.quit(timeout=seconds)
            except SMTPException:
                return

    def imprint(self, kind: ImprintKind, token: str) -> Imprint:
        """What was really left behind."""
        return Imprint(
            kind=kind,
            tally=self.wire.tally if kind is not ImprintKind.NONE else {},
            token=token if kind is ImprintKind.REJECT else None,
            odds=ODDS,
        )


def token_host(token: str) -> str:
    """The HELO name of a `reject` imprint."""
    return f"{token}.probe.mailprobe.invalid"
