"""The IMAP conversation, on aioimaplib: greeting, CAPABILITY, ID or LOGIN where asked for, LOGOUT.

    S: * OK [CAPABILITY …] Dovecot ready.    first_byte, greeting
    C: AAAA0 CAPABILITY                      hello, where the greeting did not tell
    C: AAAA1 ID ("name" "mailprobe" …)       imprint, only for `id`
    C: AAAA1 LOGIN … ****                    login, only where configured
    C: AAAA2 LOGOUT                          quit

aioimaplib waits for ever on a connection that is gone, recurses once per line of a chunk and names the password in
some of its errors; `ImapWire` feeds it line by line, bounds what it holds, and gives up its commands when the
connection ends. The greeting goes past it: it would ask for capabilities in a task that nobody waits for. So does
LOGOUT: it would queue behind a command that is never answered.
"""

from __future__ import annotations

import asyncio
import re
import ssl
from collections.abc import Coroutine
from typing import Any

from aioimaplib.aioimaplib import AUTH, NONAUTH, IMAP4ClientProtocol, Response, quoted

from probe.model import Failure, Imprint, ImprintKind, Login, Phase, Span
from probe.sessions.dial import LONGEST_LINE, Wire, settle, within
from probe.sessions.faults import TOO_MANY, Refusal, rejection
from probe.sessions.journal import Journal

LOGOUT_SECONDS = 2.0
MOST_ANSWERED = 65_536
"""Between two commands of ours; a real CAPABILITY answer is below 2 KiB."""

NEEDS_SESSION_ID = re.compile(r"^\S+ (?:LOGIN|ID|LOGOUT)\b")
"""Commands at which Dovecot 2.3 makes the session id, if it has none yet (measured; CAPABILITY does not)."""

# RFC 5530 section 3: with these response codes the password is not to blame.
NOT_THE_PASSWORD = re.compile(r"\[(?:UNAVAILABLE|INUSE|SERVERBUG|CONTACTADMIN|PRIVACYREQUIRED)\]", re.I)

WHO_WE_ARE = re.compile(r"NO \[[A-Z-]{1,40}\] client=")
"""What a whoami user is refused with, as it was asked for: no failed login."""

UNSPEAKABLE = re.compile(r"[\0\r\n]")
"""RFC 3501 section 9: no quoted string holds them."""

CAPABILITIES = re.compile(r"\[CAPABILITY ([^]]+)\]", re.I)
"""RFC 3501 section 7.1: in a greeting it makes the command unnecessary. Dovecot's has it."""

PREAUTH = "* PREAUTH"
WELCOME = ("* OK", PREAUTH)


class ImapWire(Wire, IMAP4ClientProtocol):  # type: ignore[misc] # aioimaplib is untyped
    """aioimaplib's protocol with our ears, and with bounds."""

    transport: Any

    def __init__(self, journal: Journal) -> None:
        loop = asyncio.get_running_loop()
        super().__init__(loop)
        self.watch(journal)
        self.greeting: str | None = None
        self.bye: str | None = None
        self.broken: Refusal | None = None
        self._greeted: asyncio.Future[None] = loop.create_future()
        self._logged_out: asyncio.Future[None] = loop.create_future()
        self._gave_up = False
        self._needing: float | None = None
        self._answered: float | None = None
        self._pending = b""
        self._octets = 0
        self._goodbye: bytes | None = None

    def data_received(self, d: bytes) -> None:
        if self.broken:
            return
        self.heard(d)
        if self._needing is not None:
            self._answered = self._answered or self.journal.clock()
        self._octets += len(d)
        lines = (self._pending + d).split(b"\n")
        self._pending = lines.pop()
        if self._octets > MOST_ANSWERED or len(self._pending) > LONGEST_LINE:
            self._break("it sent more than any answer may hold")
            return
        for line in lines:
            if self.broken:
                return
            self._feed(line + b"\n")

    def _feed(self, line: bytes) -> None:
        if self._goodbye is not None:
            if line.startswith(self._goodbye):
                settle(self._logged_out)
            return
        greets = self.greeting is None
        if greets:
            self._greet(line.decode("utf-8", "replace").strip())
        elif line.upper().startswith(b"* BYE"):
            self.bye = line.decode("utf-8", "replace").strip()
        if not line.endswith(b"\r\n") and self.current_command is None:
            self._break("a line ends without CR")
        elif not greets:
            self._pass_on(line)

    def _pass_on(self, line: bytes) -> None:
        try:
            super().data_received(line)
        except Exception as error:
            self._break(str(error))

    def _greet(self, greeting: str) -> None:
        self.greeting = greeting
        self.state = AUTH if greeting.upper().startswith(PREAUTH) else NONAUTH
        if told := CAPABILITIES.search(greeting):
            self.capabilities = set(told[1].split())
        settle(self._greeted)

    async def until_greeted(self) -> str:
        """The greeting; Refusal when the connection breaks first."""
        await self._greeted
        if self.greeting is None:
            raise self.end()
        return self.greeting

    @property
    def welcomed(self) -> bool:
        """True if the greeting is one to go on from (RFC 3501 section 7.1)."""
        return (self.greeting or "").upper().startswith(WELCOME)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._needing is not None:
            self._answered = self._answered or self.journal.clock()
        self.gone(exc)
        self._give_up()
        super().connection_lost(exc)
        # Each holds the other, and the transport of a TLS connection a quarter of a megabyte.
        self.transport = None

    def end(self) -> Exception:
        if self.broken:
            return self.broken
        return rejection(self.bye) if self.bye is not None else super().end()

    def _give_up(self) -> None:
        """Nothing more will come: wake whoever waits, for aioimaplib never would."""
        settle(self._greeted)
        settle(self._logged_out)
        asked = [*self.pending_async_commands.values(), self.pending_sync_command]
        for command in filter(None, asked):
            self._gave_up = True
            command.close(b"", result="")

    def send(self, line: str, scrub: str | None = None) -> None:
        self._octets = 0
        if self._needing is None and NEEDS_SESSION_ID.search(line):
            self._needing = self.journal.clock()
        shown = " ".join((*line.split(" ", 2)[:2], "****")) if scrub else line
        self.journal.note(shown.encode(), ours=True)
        self.transport.write(f"{line}\r\n".encode())

    async def log_out(self, seconds: float) -> None:
        """LOGOUT and so long for its answer, whatever aioimaplib still waits for: what comes now is for us alone."""
        tag = self.new_tag()
        self._goodbye = f"{tag} ".encode()
        self.send(f"{tag} LOGOUT")
        await within(seconds, self._logged_out)

    @property
    def needed(self) -> Span:
        """From the first command that needs a session id to its answer."""
        if self._needing is None:
            return Span(self.journal.opened, self.journal.opened)
        return Span(self._needing, self._answered or self.journal.clock())

    def _break(self, why: str) -> None:
        # masked before it is cut: half a password is one too
        why = self.journal.plain(why)[:200]
        self.broken = self.broken or Refusal(Failure.PROTOCOL_BROKEN, f"the server broke the protocol: {why}")
        self._give_up()
        self.transport.abort()

    async def asked(self, question: Coroutine[Any, Any, Any]) -> Any:
        """Await the library, or Refusal when the connection breaks first."""
        if self.broken or self.lost:
            question.close()
            raise self.end()
        try:
            answer = await question
        except Exception:
            if self._gave_up:  # it could make nothing of an answer that never came
                raise self.end() from None
            raise
        if self.broken or self._gave_up:
            raise self.end()
        return answer


class Conversation:
    """One IMAP session over a connection that we dialled ourselves."""

    def __init__(self, wire: ImapWire, transport: asyncio.Transport) -> None:
        self.wire = wire
        self.transport = transport

    @property
    def encrypted(self) -> ssl.SSLObject | None:
        """The TLS connection, None in clear."""
        found: ssl.SSLObject | None = self.transport.get_extra_info("ssl_object")
        return found

    async def greeted(self) -> None:
        """Wait for the greeting line; Refusal for anything but OK or PREAUTH (RFC 3501 section 7.1)."""
        with self.wire.journal.phase(Phase.FIRST_BYTE):
            await self.wire.until_first_byte()
        with self.wire.journal.phase(Phase.GREETING):
            greeting = await self.wire.until_greeted()
            if not self.wire.welcomed:
                raise rejection(greeting)

    async def hello(self) -> None:
        """Ask for the server's capabilities, unless it told them by itself."""
        with self.wire.journal.phase(Phase.HELLO):
            if not self.wire.capabilities:
                await self.wire.asked(self.wire.capability())

    async def log_in(self, login: Login) -> None:
        """LOGIN, once."""
        with self.wire.journal.phase(Phase.LOGIN):
            if "LOGINDISABLED" in {capability.upper() for capability in self.wire.capabilities}:
                raise Refusal(Failure.NOT_OFFERED, "the server has disabled LOGIN")
            if self.wire.state != "NONAUTH":
                raise Refusal(Failure.NOT_OFFERED, "the server takes us for somebody already (PREAUTH)")
            if UNSPEAKABLE.search(login.username + login.password.reveal()):
                raise Refusal(Failure.BAD_CREDENTIALS, "IMAP cannot send a user or password with a line break in it")
            answer = await self.wire.asked(self.wire.login(quoted(login.username), login.password.reveal()))
            if answer.result != "OK":
                text = f"{answer.result} {_text(answer)}"
                if login.is_whoami and WHO_WE_ARE.match(text):
                    return
                if answer.result != "NO" or TOO_MANY.search(text) or NOT_THE_PASSWORD.search(text):
                    raise rejection(text)
                unknown = " (no user of this name tells the client's address here)" if login.is_whoami else ""
                detail = f"user {login.username} was refused{unknown}: {text}"
                raise Refusal(Failure.BAD_CREDENTIALS, detail, text)

    async def leave_imprint(self, kind: ImprintKind, token: str) -> None:
        """The token in an ID command (RFC 2971); a Dovecot session id needs nothing from us."""
        if kind is not ImprintKind.ID:
            return
        with self.wire.journal.phase(Phase.IMPRINT):
            answer = await self.wire.asked(self.wire.id(name="mailprobe", token=token))
            if answer.result != "OK":
                raise rejection(f"{answer.result} {_text(answer)}")

    async def __aenter__(self) -> Conversation:
        return self

    async def __aexit__(self, _: object, error: BaseException | None, __: object) -> None:
        """LOGOUT once greeted: with its answer while the server keeps to the protocol, else as a last word."""
        try:
            if self.wire.welcomed and not self.transport.is_closing():
                with self.wire.journal.phase(Phase.QUIT):
                    await self.wire.log_out(LOGOUT_SECONDS if error is None or isinstance(error, Refusal) else 0)
        finally:
            await self.wire.release(self.transport)

    def imprint(self, kind: ImprintKind, token: str, login: Login | None) -> Imprint:
        """What was really left behind."""
        return Imprint(
            kind=kind,
            token=token if kind is ImprintKind.ID else None,
            user=login.username if login is not None else None,
        )


def _text(answer: Response) -> str:
    return b" ".join(bytes(line) for line in answer.lines).decode("utf-8", "replace")
