"""The IMAP conversation, on aioimaplib: greeting, CAPABILITY, ID or LOGIN where asked for, LOGOUT.

    S: * OK [CAPABILITY …] Dovecot ready.    first_byte, greeting
    C: AAAA0 CAPABILITY                      hello (aioimaplib asks by itself)
    C: AAAA1 ID ("name" "mailprobe" …)       imprint, only for `id`
    C: AAAA1 LOGIN … ****                    login, only where configured
    C: AAAA2 LOGOUT                          quit

aioimaplib waits for ever on a connection that is gone, recurses once per line of a chunk and names the password in
some of its errors; `ImapWire` feeds it line by line, bounds what it holds, and `asked` ends with the connection.
LOGOUT goes past it: it would queue behind a command that is never answered.
"""

from __future__ import annotations

import asyncio
import re
import ssl
from collections.abc import Coroutine
from typing import Any

from aioimaplib.aioimaplib import IMAP4ClientProtocol, Response, quoted

from probe.model import Failure, Imprint, ImprintKind, Login, Phase, Span
from probe.sessions.dial import LONGEST_LINE, Wire
from probe.sessions.faults import TOO_MANY, Refusal
from probe.sessions.journal import Journal

LOGOUT_SECONDS = 2.0
MOST_OCTETS = 65_536
"""Between two commands of ours; a real CAPABILITY answer is below 2 KiB."""

NEEDS_SESSION_ID = re.compile(r"^\S+ (?:LOGIN|ID|LOGOUT)\b")
"""Commands at which Dovecot 2.3 makes the session id, if it has none yet (measured; CAPABILITY does not)."""

# RFC 5530 section 3: with these response codes the password is not to blame.
NOT_THE_PASSWORD = re.compile(r"\[(?:UNAVAILABLE|INUSE|SERVERBUG|CONTACTADMIN|PRIVACYREQUIRED)\]", re.I)

UNSPEAKABLE = re.compile(r"[\0\r\n]")
"""RFC 3501 section 9: no quoted string holds them."""

WELCOME = ("* OK", "* PREAUTH")


class ImapWire(Wire, IMAP4ClientProtocol):  # type: ignore[misc] # aioimaplib is untyped
    """aioimaplib's protocol with our ears, and with bounds."""

    def __init__(self, journal: Journal) -> None:
        loop = asyncio.get_running_loop()
        super().__init__(loop)
        self.watch(journal)
        self.greeting: asyncio.Future[str] = loop.create_future()
        self.broken: asyncio.Future[Refusal] = loop.create_future()
        self.logged_out: asyncio.Future[None] = loop.create_future()
        self.bye: str | None = None
        self._needing: float | None = None
        self._answered: float | None = None
        self._pending = b""
        self._octets = 0
        self._goodbye: bytes | None = None

    def data_received(self, d: bytes) -> None:
        if self.broken.done():
            return
        self.heard(d)
        if self._needing is not None:
            self._answered = self._answered or self.journal.clock()
        self._octets += len(d)
        lines = (self._pending + d).split(b"\n")
        self._pending = lines.pop()
        if self._octets > MOST_OCTETS or len(self._pending) > LONGEST_LINE:
            self._break("it sent more than any answer may hold")
            return
        for line in lines:
            if self.broken.done():
                return
            self._feed(line + b"\n")

    def _feed(self, line: bytes) -> None:
        if self._goodbye is not None:
            if line.startswith(self._goodbye) and not self.logged_out.done():
                self.logged_out.set_result(None)
            return
        if not self.greeting.done():
            self.greeting.set_result(line.decode("utf-8", "replace").strip())
        elif line.upper().startswith(b"* BYE"):
            self.bye = line.decode("utf-8", "replace").strip()
        if not line.endswith(b"\r\n") and self.current_command is None:
            self._break("a line ends without CR")
            return
        try:
            super().data_received(line)
        except Exception as error:
            self._break(str(error))

    async def welcome(self, command: bytes) -> None:
        """aioimaplib runs this as a task nobody waits for; its failure must not be lost."""
        if not self.welcomed:
            return
        try:
            await super().welcome(command)
        except Exception as error:
            self._break(str(error))

    @property
    def welcomed(self) -> bool:
        """True if the greeting is one to go on from (RFC 3501 section 7.1)."""
        return self.greeting.done() and self.greeting.result().upper().startswith(WELCOME)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._needing is not None:
            self._answered = self._answered or self.journal.clock()
        self.gone(exc)
        super().connection_lost(exc)

    def end(self) -> Exception:
        return _refused(self.bye) if self.bye is not None else super().end()

    def send(self, line: str, scrub: str | None = None) -> None:
        self._octets = 0
        if self._needing is None and NEEDS_SESSION_ID.search(line):
            self._needing = self.journal.clock()
        shown = " ".join((*line.split(" ", 2)[:2], "****")) if scrub else line
        self.journal.note(shown.encode(), ours=True)
        self.transport.write(f"{line}\r\n".encode())

    def log_out(self) -> None:
        """LOGOUT, whatever aioimaplib still waits for; what comes now is for `logged_out` alone."""
        tag = self.new_tag()
        self._goodbye = f"{tag} ".encode()
        self.send(f"{tag} LOGOUT")

    @property
    def needed(self) -> Span:
        """From the first command that needs a session id to its answer."""
        if self._needing is None:
            return Span(self.journal.opened, self.journal.opened)
        return Span(self._needing, self._answered or self.journal.clock())

    def _break(self, why: str) -> None:
        if not self.broken.done():
            # masked before it is cut: half a password is one too
            why = self.journal.plain(why)[:200]
            self.broken.set_result(Refusal(Failure.PROTOCOL_BROKEN, f"the server broke the protocol: {why}"))
        self.transport.abort()

    async def asked(self, question: Coroutine[Any, Any, Any]) -> Any:
        """Await the library, or Refusal when the connection breaks first."""
        task = asyncio.ensure_future(question)
        try:
            await asyncio.wait((task, self.broken, self.lost), return_when=asyncio.FIRST_COMPLETED)
            if self.broken.done():
                raise self.broken.result()
            if not task.done():
                raise self.end()
            return task.result()
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def stop(self) -> None:
        """End what aioimaplib has started and nobody waits for."""
        for task in (started := tuple(self.tasks)):
            task.cancel()
        await asyncio.gather(*started, return_exceptions=True)


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
            if not self.wire.greeting.done():
                await self.wire.asked(_until(self.wire.greeting))
            if not self.wire.welcomed:
                raise _refused(self.wire.greeting.result())

    async def hello(self) -> None:
        """Wait for the server's capabilities."""
        with self.wire.journal.phase(Phase.HELLO):
            await self.wire.asked(self.wire.wait("AUTH|NONAUTH"))

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
                if answer.result != "NO" or TOO_MANY.search(text) or NOT_THE_PASSWORD.search(text):
                    raise _refused(text)
                detail = f"user {login.username} was refused: {text}"
                raise Refusal(Failure.BAD_CREDENTIALS, detail, text)

    async def leave_imprint(self, kind: ImprintKind, token: str) -> None:
        """The token in an ID command (RFC 2971); a Dovecot session id needs nothing from us."""
        if kind is not ImprintKind.ID:
            return
        with self.wire.journal.phase(Phase.IMPRINT):
            answer = await self.wire.asked(self.wire.id(name="mailprobe", token=token))
            if answer.result != "OK":
                raise _refused(f"{answer.result} {_text(answer)}")

    async def __aenter__(self) -> Conversation:
        return self

    async def __aexit__(self, _: object, error: BaseException | None, __: object) -> None:
        """LOGOUT once greeted: with its answer while the server keeps to the protocol, else as a last word."""
        try:
            if self.wire.welcomed and not self.transport.is_closing():
                await self._log_out(LOGOUT_SECONDS if error is None or isinstance(error, Refusal) else 0)
        finally:
            await self.wire.stop()
            await self.wire.release(self.transport)

    async def _log_out(self, seconds: float) -> None:
        with self.wire.journal.phase(Phase.QUIT):
            self.wire.log_out()
            told = (self.wire.logged_out, self.wire.lost, self.wire.broken)
            await asyncio.wait(told, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)

    def imprint(self, kind: ImprintKind, token: str, login: Login | None) -> Imprint:
        """What was really left behind."""
        return Imprint(
            kind=kind,
            token=token if kind is ImprintKind.ID else None,
            user=login.username if login is not None else None,
        )


async def _until(future: asyncio.Future[str]) -> None:
    await asyncio.shield(future)


def _text(answer: Response) -> str:
    return b" ".join(bytes(line) for line in answer.lines).decode("utf-8", "replace")


def _refused(text: str) -> Refusal:
    if TOO_MANY.search(text):
        return Refusal(Failure.RATE_LIMITED, "the server refused for too many connections", text)
    return Refusal(Failure.REJECTED, f"the server answered {text}", text)
