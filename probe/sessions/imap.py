"""The IMAP conversation, on aioimaplib: greeting, CAPABILITY, ID or LOGIN where asked for, LOGOUT.

    S: * OK [CAPABILITY …] Dovecot ready.    first_byte, greeting
    C: AAAA0 CAPABILITY                      hello (aioimaplib asks by itself)
    C: AAAA1 ID ("name" "mailprobe" …)       imprint, only for `id`
    C: AAAA1 LOGIN … ****                    login, only where configured
    C: AAAA2 LOGOUT                          quit

aioimaplib waits for ever on a connection that is gone and recurses once per line of a chunk; `ImapWire` feeds it
line by line, bounds what it holds, and `asked` ends with the connection.
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

# RFC 5530 section 3: these response codes mean "later", not "wrong password".
LATER = re.compile(r"\[(?:UNAVAILABLE|INUSE|SERVERBUG|CONTACTADMIN)\]", re.I)


class ImapWire(Wire, IMAP4ClientProtocol):  # type: ignore[misc] # aioimaplib is untyped
    """aioimaplib's protocol with our ears, and with bounds."""

    def __init__(self, journal: Journal) -> None:
        loop = asyncio.get_running_loop()
        super().__init__(loop)
        self.watch(journal)
        self.greeting: asyncio.Future[str] = loop.create_future()
        self.broken: asyncio.Future[Refusal] = loop.create_future()
        self.needed = Span(journal.opened, journal.opened)
        self._needing: float | None = None
        self._pending = b""
        self._octets = 0

    def data_received(self, d: bytes) -> None:
        if self.broken.done():
            return
        self.heard(d)
        if self._needing is not None:
            self.needed, self._needing = Span(self._needing, self.journal.clock()), None
        self._octets += len(d)
        lines = (self._pending + d).split(b"\n")
        self._pending = lines.pop()
        if self._octets > MOST_OCTETS or len(self._pending) > LONGEST_LINE:
            self._break(Refusal(Failure.PROTOCOL_BROKEN, "the server sent more than any answer may hold"))
            return
        for line in lines:
            self._feed(line + b"\n")

    def _feed(self, line: bytes) -> None:
        if not self.greeting.done():
            self.greeting.set_result(line.decode("utf-8", "replace").strip())
        try:
            super().data_received(line)
        except Exception as error:
            self._break(Refusal(Failure.PROTOCOL_BROKEN, f"the server broke the protocol: {str(error)[:200]}"))

    async def welcome(self, command: bytes) -> None:
        """aioimaplib runs this as a task nobody waits for; its failure must not be lost."""
        try:
            await super().welcome(command)
        except Exception as error:
            self._break(Refusal(Failure.PROTOCOL_BROKEN, f"the server broke the protocol: {str(error)[:200]}"))

    def connection_lost(self, exc: Exception | None) -> None:
        self.gone()
        super().connection_lost(exc)

    def send(self, line: str, scrub: str | None = None) -> None:
        self._octets = 0
        if self.needed.seconds == 0 and NEEDS_SESSION_ID.search(line):
            self._needing = self.journal.clock()
        self.journal.note(line.encode(), ours=True)
        super().send(line, scrub)

    def _break(self, refusal: Refusal) -> None:
        if not self.broken.done():
            self.broken.set_result(refusal)
        self.transport.abort()

    async def asked(self, question: Coroutine[Any, Any, Any]) -> Any:
        """Await the library, or Refusal when the connection breaks first."""
        task = asyncio.ensure_future(question)
        try:
            await asyncio.wait((task, self.broken, self.lost), return_when=asyncio.FIRST_COMPLETED)
            if self.broken.done():
                raise self.broken.result()
            if not task.done():
                raise Refusal(Failure.CLOSED, "the server closed the connection")
            return await task
        finally:
            task.cancel()


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
            line = await self.wire.asked(_result(self.wire.greeting))
            if not line.upper().startswith(("* OK", "* PREAUTH")):
                raise _refused(line)

    async def hello(self) -> None:
        """Wait for the server's capabilities."""
        with self.wire.journal.phase(Phase.HELLO):
            await self.wire.asked(self.wire.wait("AUTH|NONAUTH"))

    async def log_in(self, login: Login) -> None:
        """LOGIN, once."""
        with self.wire.journal.phase(Phase.LOGIN):
            if "LOGINDISABLED" in self.wire.capabilities:
                raise Refusal(Failure.NOT_OFFERED, "the server has disabled LOGIN")
            answer = await self.wire.asked(self.wire.login(quoted(login.username), login.password.reveal()))
            if answer.result != "OK":
                text = f"{answer.result} {_text(answer)}"
                if TOO_MANY.search(text) or LATER.search(text):
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
        """LOGOUT always: with its answer while the server keeps to the protocol, else as a last word."""
        if not self.transport.is_closing():
            in_step = error is None or isinstance(error, Refusal)
            await self._log_out(LOGOUT_SECONDS if in_step and self.wire.greeting.done() else 0)
        self.transport.close()

    async def _log_out(self, seconds: float) -> None:
        with self.wire.journal.phase(Phase.QUIT):
            try:
                async with asyncio.timeout(seconds):
                    await self.wire.asked(self.wire.logout())
            except (Refusal, TimeoutError):
                return

    def imprint(self, kind: ImprintKind, token: str, login: Login | None) -> Imprint:
        """What was really left behind."""
        return Imprint(
            kind=kind,
            token=token if kind is ImprintKind.ID else None,
            user=login.username if login is not None else None,
        )


async def _result(future: asyncio.Future[str]) -> str:
    return await asyncio.shield(future)


def _text(answer: Response) -> str:
    return b" ".join(bytes(line) for line in answer.lines).decode("utf-8", "replace")


def _refused(text: str) -> Refusal:
    if TOO_MANY.search(text):
        return Refusal(Failure.RATE_LIMITED, "the server refused for too many connections", text)
    return Refusal(Failure.REJECTED, f"the server answered {text[:200]}", text)
