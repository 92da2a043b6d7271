"""Dovecot's imap-login: a log line's message -> an event.

Rules of this file:
- A login line is `reason: user=<…>, method=…, rip=ADDRESS, lip=…, …, session=<…>`. The user name and, in `ID sent`,
  the reason hold the client's own words, in which `, rip=` may stand too. So the address is read from a line only if
  `rip=` stands in it once, after the user, and all behind it is of the server's making: a line with two proves nothing.
- A session id that names another address than `rip` was made elsewhere and is left out.
- Only imap-login: the `Disconnected: Logged out` of `imap` ends a mailbox session, not a login.

The formats are those of Dovecot 2.3 and 2.4: login-common's client_get_log_str(), imap-login-client.c,
master-service-haproxy.c; the level before a message, `Info: `, is already off.
"""

from __future__ import annotations

import re
from functools import lru_cache

from probe.evidence import session_id
from probe.evidence.events import Event, FaultLine, IdSent, Line, LoginEnded, SessionId
from probe.evidence.pattern import Pattern, Table
from probe.evidence.peer import ADDRESS, peer_at
from probe.model import FaultSign, Peer

_SESSION = re.compile(r"[A-Za-z0-9+/]{1,64}>")
_MECHANISM = re.compile(r"[A-Za-z0-9_-]{1,32}")
_ATTEMPTS = re.compile(r"(\d{1,9}) (?:attempts in|successful auths)")
_HAPROXY = re.compile(rf"haproxy[^:]*: .*[(, ]rip=({ADDRESS})\)")


_Who = tuple[str, str, Peer, SessionId | None, bool]
"""The elements of a login line: reason, user, client, session, whether TLS was on."""


def _who(message: str, now: float) -> _Who | None:
    """Take a login line apart from the place that only the server writes, its one `, rip=`."""
    before, _, said = message.partition(", rip=")
    reason, known, user = before.partition(": user=<")
    elements, bracket, last = said.partition("<")
    rip = elements.partition(", ")[0]
    if not known or len(rip) > 64 or "rip=" in before or ">" in elements:
        return None
    if "rip=" in said and said.count("rip=") != said.count("real_rip="):
        return None
    client = peer_at(rip)
    session = None
    if bracket:
        session = _session(last, now)
        if not elements.endswith(", session=") or (session is None and not _SESSION.fullmatch(last)):
            return None
    named, method, mechanism = user.rpartition(">, method=")
    if not method or not _is_mechanism(mechanism):
        named = user.removesuffix(">")
    if client is None:
        return None
    if session and session.peer.address == client.address:
        return reason, named, session.peer, session, ", TLS" in elements
    return reason, named, client, None, ", TLS" in elements


@lru_cache(maxsize=64)
def _is_mechanism(text: str) -> bool:
    return bool(_MECHANISM.fullmatch(text))


def _session(text: str, now: float) -> SessionId | None:
    """The session id of `ID>`: what it is made of says that there is nothing else."""
    try:
        return session_id.decode(text[:-1], now=now) if text[-1:] == ">" else None
    except ValueError:
        return None


def _logged_in(message: str, now: float) -> Event | None:
    who = _who(message, now)
    return _ended(who, 1) if who else None


def _gave_up(message: str, now: float) -> Event | None:
    who = _who(message, now)
    if not who:
        return None
    reason, _, client, _, _ = who
    if "SSL_accept() failed" in reason:
        return FaultLine(sign=FaultSign.TLS_HANDSHAKE, client=client)
    attempts = _ATTEMPTS.search(reason)
    return _ended(who, int(attempts[1]) if attempts else 0)


def _ended(who: _Who, attempts: int) -> LoginEnded:
    reason, user, client, session, tls = who
    logged_in = reason in ("Login", "Logged in")
    return LoginEnded(client=client, logged_in=logged_in, user=user, attempts=attempts, tls=tls, session=session)


def _id_sent(message: str, now: float) -> Event | None:
    who = _who(message, now)
    if not who:
        return None
    reason, _, client, session, _ = who
    words = reason.partition(": ")[2].split(", ")
    fields = dict(word.partition("=")[::2] for word in reversed(words) if "=" in word)
    return IdSent(client=client, fields=fields, session=session)


def _header_fault(message: str, _now: float) -> Event | None:
    match = _HAPROXY.fullmatch(message)
    if not match or message.count("rip=") != 1:
        return None
    untrusted = "Client not trusted" in message
    sign = FaultSign.PROXY_HEADER_UNTRUSTED if untrusted else FaultSign.PROXY_HEADER_MISSING
    return FaultLine(sign=sign, client=peer_at(match[1]))


_LOGIN = (" imap-login",)
_GAVE_UP = r"(?:Disconnected|Login aborted|Aborted login)[: ]"
_NO_HEADER = r"haproxy: Client (?:timed out|disconnected: Failed to read )"
_NO_TRUST = r"haproxy: Client not trusted "

PATTERNS = tuple(
    Pattern(name=name, programs=_LOGIN, opening=opening, read=read, meaning=meaning)
    for name, opening, read, meaning in (
        ("login-2.3", "Login: user=<", _logged_in, "a client logged in"),
        ("login-2.4", "Logged in: user=<", _logged_in, "a client logged in"),
        ("gave-up", _GAVE_UP, _gave_up, "a client left before it was logged in, or TLS failed"),
        ("id", r"(?:Pre-login )?ID sent: ", _id_sent, "the client's ID fields (with imap_id_log, or in 2.4 log_debug)"),
        ("header-missing", _NO_HEADER, _header_fault, "wanted a PROXY header, got silence or TLS"),
        ("header-untrusted", _NO_TRUST, _header_fault, "a PROXY header's sender is not trusted"),
    )
)
"""Every Dovecot line of interest, first fit decides: name, how its messages open, reader, meaning."""

TABLE = Table(PATTERNS)


def parse(line: Line, *, now: float) -> Event | None:
    """What a Dovecot line says, None for a line of no interest."""
    return TABLE.parse(line, now)
