"""A second, harmless connection after a failed one: does the listener want a PROXY header, or not want one?

What the client sees is the same for several faults (field knowledge: Postfix 3.7 and 3.10, Dovecot 2.3 and 2.4):
a header that never comes, one that is not wanted, one from a sender that is not trusted, TLS that is broken. One
more connection that differs in a single thing tells them apart:

    then            first connection failed                        what tells
    CONNECT         nothing was acknowledged any more, in any      is a SYN answered? If not, the way in is gone and
                    phase                                          not the one connection (a firewall's or
                                                                   kube-proxy's state of it)
    NO_HEADER       anything before login, after our own header    works without: the header was not wanted
    SILENT          answers to commands we never sent              spoken to although we said nothing: somebody
                                                                   before us sent a header
    SILENT          TLS-first handshake, and LOCAL did not help    the same, or closed at once
    LOCAL_HEADER    no greeting, 421 after a wait, or TLS-first    greeting and an answer to EHLO, or handshake, now: a
                    handshake                                      header was wanted

A greeting alone proves no header wanted: the first connection may have met a moment of trouble. LOCAL (PROXY protocol
section 2.2, command 0) claims no address. Nothing here logs in or leaves an imprint.
"""

from __future__ import annotations

import asyncio
import re
from contextlib import suppress
from dataclasses import replace

from probe.model import (
    Control,
    ControlKind,
    Endpoint,
    Failure,
    Fault,
    Phase,
    ProxyHeader,
    Session,
)
from probe.sessions.bound import Bound
from probe.sessions.dial import RELEASE_SECONDS, Ports, connect
from probe.sessions.faults import as_refusal, on_the_way
from probe.sessions.journal import Journal
from probe.sessions.lookup import Lookups, resolve

CONTROL_SECONDS = 10.0
"""Bound of one control connection: longer than postscreen's greet wait of 6 s."""

LISTEN_SECONDS = 1.5
"""How long a silent connection listens beyond the moment at which the first one had failed."""

WAITED = 0.9
"""Seconds of silence before a 421 from which it may be a header timeout (Postfix's default is 5 s)."""

CODE = 3
"""Digits of a reply's code; the words after it may have a name, a number or a time of their own."""

BEFORE_LOGIN = {Phase.PROXY_HEADER, Phase.TLS, Phase.FIRST_BYTE, Phase.GREETING, Phase.HELLO}
SELF_EXPLAINING = {Failure.CERTIFICATE_INVALID, Failure.RATE_LIMITED, Failure.VANTAGE, Failure.NOT_OFFERED}

UNASKED = re.compile(r"(?:50[0-3]|221)[ -]|554[ -]5\.5\.0 Error: SMTP protocol synchronization|\x15\x03")
"""Never the first word to a silent client: answers that only a command gets, Postfix's complaint of a client that
speaks too soon (smtpd_forbid_unauth_pipelining, 3.9 and later), a TLS alert (RFC 8446 section 5.1)."""


GREETED = re.compile(rb"^220(?: .*)?\r?\n", re.M)
"""A whole greeting; to say QUIT after postscreen's teaser alone would be to speak out of turn."""


def called_for(session: Session) -> ControlKind | None:
    """The control connection that a failed session calls for next, None if it is clear or was tried already."""
    fault = session.fault
    if fault is not None and fault.failure is Failure.VANISHED:
        return None if session.controls else ControlKind.CONNECT
    if fault is None or fault.phase not in BEFORE_LOGIN or fault.failure in SELF_EXPLAINING:
        return None
    tried = {control.kind for control in session.controls}
    wanted = next((kind for kind, calls in CALLS if calls(session, fault)), None)
    return None if wanted in tried else wanted


def fails_alike(one: Session, other: Session) -> bool:
    """Whether two sessions failed in the same way at one server: control connections would tell the same of both."""
    return one.fault is not None and _signs(one) == _signs(other)


def _signs(session: Session) -> tuple[object, ...]:
    fault = session.fault
    if fault is None:
        return ()
    failure = Failure.CLOSED if fault.failure is Failure.RESET else fault.failure  # which of the two is chance
    code, calls = (fault.reply or "")[:CODE], called_for(replace(session, controls=()))
    return session.address, fault.phase, failure, code, calls


def _header_failed(session: Session, _: Fault) -> bool:
    return session.header_sent is not ProxyHeader.NONE


def _answered_unasked(session: Session, fault: Fault) -> bool:
    greeted = fault.phase is Phase.HELLO
    wrong_greeting = fault.phase is Phase.GREETING and bool(UNASKED.match(fault.reply or ""))
    return session.service.speaks_smtp and (greeted or wrong_greeting)


def _header_missing(session: Session, fault: Fault) -> bool:
    if session.service.tls_first:
        return fault.phase is Phase.TLS
    if fault.failure is Failure.REJECTED:
        return (fault.reply or "").startswith("421") and session.seconds_in(Phase.FIRST_BYTE) >= WAITED
    return fault.failure in (Failure.CLOSED, Failure.RESET, Failure.TIMED_OUT)


def _no_header_helped(session: Session, fault: Fault) -> bool:
    tried = [control for control in session.controls if control.kind is ControlKind.LOCAL_HEADER]
    worked = any(control.worked for control in session.controls)
    return fault.phase is Phase.TLS and bool(tried) and not worked


CALLS = (
    (ControlKind.NO_HEADER, _header_failed),
    (ControlKind.SILENT, _answered_unasked),
    (ControlKind.SILENT, _no_header_helped),
    (ControlKind.LOCAL_HEADER, _header_missing),
)
"""The table above: the first row that holds names the connection; one that was made is not made again."""


async def knock(endpoint: Endpoint, journal: Journal, ports: Ports, lookups: Lookups) -> Control:
    """Connect and hang up."""
    fault: Fault | None = None
    try:
        family, address = await resolve(endpoint, journal, lookups)
        (await connect(endpoint, family, address, journal, ports)).sock.close()
    except Exception as error:
        fault = _fault(error, journal)
    return Control(
        kind=ControlKind.CONNECT, worked=fault is None, seconds=journal.clock() - journal.opened, fault=fault
    )


def _fault(error: Exception, journal: Journal) -> Fault:
    """What a control connection failed with; raises what is a bug of ours."""
    refusal = as_refusal(error)
    if refusal is None:
        raise error
    phase = journal.failed or journal.reached
    return Fault(phase=phase, failure=on_the_way(refusal.failure, phase), detail=refusal.detail)


async def listen(endpoint: Endpoint, journal: Journal, seconds: float, ports: Ports, lookups: Lookups) -> Control:
    """Connect, say nothing, and note what comes: a good server greets (or, TLS first, waits in silence)."""
    begun = journal.clock()
    fault: Fault | None = None
    try:
        async with Bound(CONTROL_SECONDS):
            heard, closed = await _overhear(endpoint, journal, min(seconds, CONTROL_SECONDS - 1), ports, lookups)
        fault = _told(heard.decode("latin-1"), closed=closed)
    except Exception as error:
        fault = _fault(error, journal)
        if fault.failure is Failure.RESET:
            fault = replace(fault, failure=Failure.CLOSED)
    return Control(kind=ControlKind.SILENT, worked=fault is None, seconds=journal.clock() - begun, fault=fault)


async def _overhear(
    endpoint: Endpoint, journal: Journal, seconds: float, ports: Ports, lookups: Lookups
) -> tuple[bytes, bool]:
    family, address = await resolve(endpoint, journal, lookups)
    dialled = await connect(endpoint, family, address, journal, ports)
    reader, writer = await asyncio.open_connection(sock=dialled.sock, limit=8192)
    heard = b""
    try:
        async with Bound(seconds):
            while len(heard) < 8192 and not _is_unasked(heard):
                octets = await reader.read(1024)
                if not octets:
                    return heard, True
                heard += octets
        return heard, False
    except TimeoutError:
        return heard, False
    finally:
        if GREETED.search(heard):
            writer.write(b"QUIT\r\n")
        writer.close()
        with suppress(OSError, TimeoutError):
            await asyncio.wait_for(writer.wait_closed(), RELEASE_SECONDS)
        writer.transport.abort()


def _is_unasked(heard: bytes) -> bool:
    return any(UNASKED.match(line) for line in heard.decode("latin-1").splitlines())


def _told(heard: str, *, closed: bool) -> Fault | None:
    for line in heard.splitlines():
        if UNASKED.match(line):
            return Fault(
                phase=Phase.FIRST_BYTE,
                failure=Failure.PROTOCOL_BROKEN,
                detail="the server answered although we had said nothing",
                reply=line if line[0].isdigit() else "TLS alert",
            )
    if closed:
        return Fault(phase=Phase.FIRST_BYTE, failure=Failure.CLOSED, detail="the server closed the connection")
    return None
