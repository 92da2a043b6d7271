"""Postfix's smtpd, postscreen and master: a log line's message -> an event.

Rules of this file:
- The client's address is read only where Postfix itself writes it, at the start of the message. HELO names, senders,
  recipients and the bytes of a client that talks too early come after it and can never pass for it.
- The tally of a `disconnect` holds verbs only; `commands=`, their sum, is left out.
- Any syslog_name: a program is known by what follows its last slash.

The formats are those of Postfix 3.7 and 3.10: smtpd.c, smtpd_check.c, smtpd_peer.c, tls_server.c,
smtpd_haproxy.c, postscreen.c, postscreen_early.c, postscreen_endpt.c, master_spawn.c.
"""

from __future__ import annotations

import re
from functools import lru_cache
from types import MappingProxyType

from probe.evidence.events import Accepted, Connected, Disconnected, Event, FaultLine, Line, Rejected
from probe.evidence.pattern import Pattern, Table
from probe.evidence.peer import ADDRESS_PORT, CLIENT, client_at, peer_at
from probe.model import Count, FaultSign, Tally

_QUEUE_ID = r"[0-9A-Za-z]{1,40}+"
_TALLY = re.compile(r"(?:[a-z]{1,16}=\d{1,9}(?:/\d{1,9})?(?: |\Z)){0,40}")
_REJECT = re.compile(rf"{_QUEUE_ID}: (?:milter-|proxy-)?reject: ([A-Za-z-]{{1,32}}) from {CLIENT}: ")
_SCREENED = re.compile(rf"CONNECT from {ADDRESS_PORT} to \[[0-9A-Fa-f:.]{{2,45}}\]:\d{{1,5}}")
_LIMIT = re.compile(rf"[^:]*: [^:]*: \d{{1,9}} from {CLIENT} for service \S{{1,255}}")
_PIPELINED = re.compile(rf"improper command pipelining after (?:CONNECT|QUIT) from {CLIENT}: ")
_PREGREET = re.compile(rf"PREGREET \d{{1,9}} after [\d.]{{1,16}} from {CLIENT}: ")
_TLS_ERROR = re.compile(rf"SSL_accept error from {CLIENT}: ")
_PROXY_HEADER = re.compile(
    r"PROXY (?:TCP[46]|UNKNOWN)"
    r"|(?:\\r\\n\\r\\n\\000\\r\\n|#015#012#015#012#000#015#012)QUIT"
    r"|!(?:\\021\\000\\f|!\\000\$)"
)


def _connected(message: str, _now: float) -> Event | None:
    return Connected(client=client_at(message[len("connect from ") :]))


def _screened(message: str, _now: float) -> Event | None:
    match = _SCREENED.fullmatch(message)
    return Connected(client=peer_at(match[1], match[2])) if match else None


def _disconnected(message: str, _now: float) -> Event | None:
    client, _, tally = message[len("disconnect from ") :].partition(" ")
    return Disconnected(client=client_at(client), tally=_tally(tally))


@lru_cache(maxsize=512)
def _tally(text: str) -> Tally:
    """`rset=2 rcpt=0/1 commands=3`: a count without a slash was accepted in full."""
    if not _TALLY.fullmatch(text):
        raise ValueError("no tally")
    counts = (count.split("=") for count in text.split())
    return MappingProxyType({verb: _count(number) for verb, number in counts if verb != "commands"})


def _count(text: str) -> Count:
    accepted, _, total = text.partition("/")
    return Count(int(accepted), int(total or accepted))


def _rejected(message: str, _now: float) -> Event | None:
    match = _REJECT.match(message)
    if not match:
        return None
    verb, address, port = match.groups()
    reply, _, said = _split_before_fields(message[match.end() :])
    return Rejected(
        client=peer_at(address, port),
        verb=verb,
        reply=reply,
        sender=_field(said, "from=<"),
        recipient=_field(said, "to=<"),
        helo=_field(said, "helo=<"),
    )


def _split_before_fields(text: str) -> tuple[str, str, str]:
    """Cut at the first `; from=<`, `; to=<` or `; proto=`: a session may have no sender or recipient yet."""
    cuts = [cut for mark in ("; from=<", "; to=<", "; proto=") if (cut := text.find(mark)) >= 0]
    cut = min(cuts, default=len(text))
    return text[:cut], text[cut : cut + 2], text[cut + 2 :]


def _field(said: str, name: str) -> str | None:
    """A field of the client's own words. smtpd puts a space between fields, postscreen a comma and a space."""
    _, found, rest = said.partition(name) if said.startswith(name) else said.partition(" " + name)
    return rest.partition(">")[0] if found else None


def _accepted(message: str, _now: float) -> Event | None:
    queue_id, _, said = message.partition(": client=")
    client, _, said = said.partition(", ")
    user = said.partition("sasl_username=")[2].partition(", ")[0] if said else ""
    return Accepted(client=client_at(client), queue_id=queue_id, user=user or None)


def _limited(message: str, _now: float) -> Event | None:
    match = _LIMIT.fullmatch(message)
    return FaultLine(sign=FaultSign.RATE_LIMITED, client=peer_at(*match.groups())) if match else None


def _spoke_first(message: str, _now: float) -> Event | None:
    """Who talks before the greeting may be rude or early; only a PROXY header's own bytes are a fault of the path.

    Version 2 has `QUIT` in its signature: smtpd behind postscreen reads it as a command and complains of the rest.
    """
    match = _PIPELINED.match(message) or _PREGREET.match(message)
    if not match or not _PROXY_HEADER.match(message, match.end()):
        return None
    return FaultLine(sign=FaultSign.PROXY_HEADER_UNEXPECTED, client=peer_at(*match.groups()))


def _tls_failed(message: str, _now: float) -> Event | None:
    match = _TLS_ERROR.match(message)
    return FaultLine(sign=FaultSign.TLS_HANDSHAKE, client=peer_at(*match.groups())) if match else None


def _header_missing(_message: str, _now: float) -> Event:
    return FaultLine(sign=FaultSign.PROXY_HEADER_MISSING)


def _health_check(_message: str, _now: float) -> Event:
    return FaultLine(sign=FaultSign.HEALTH_CHECK)


def _throttled(_message: str, _now: float) -> Event:
    return FaultLine(sign=FaultSign.THROTTLED)


def _fatal(_message: str, _now: float) -> Event:
    return FaultLine(sign=FaultSign.SERVICE_FATAL)


_SMTPD = ("/smtpd",)
_SCREEN = ("/postscreen",)
_BOTH = (*_SMTPD, *_SCREEN)
_MASTER = ("/master",)
_HEALTH = r"fatal: smtpd_peer_hostaddr_to_sockaddr: "
_HANGUP = r"warning: getpeername: [^-]{1,80} -- dropping this connection"
_NO_HEADER = r"warning: haproxy read: (?:time limit exceeded|timeout error|unrecognized protocol header)"
_THROTTLE = r"warning: [^\s:]{1,255}: bad command startup -- throttling"
_RATE = r"warning: [A-Za-z ]{1,60} (?:rate|concurrency) limit exceeded: "
_REPEATING = ("connect", "disconnect")
_PIPELINING = r"improper command pipelining after (?:CONNECT|QUIT) from "

PATTERNS = tuple(
    Pattern(name=name, programs=programs, opening=opening, read=read, meaning=meaning, repeats=name in _REPEATING)
    for name, programs, opening, read, meaning in (
        ("connect", _SMTPD, "connect from ", _connected, "a client connected"),
        ("disconnect", _SMTPD, "disconnect from ", _disconnected, "it left; its commands, counted"),
        ("screened", _SCREEN, "CONNECT from ", _screened, "a client connected, with its port"),
        ("accept", _SMTPD, rf"{_QUEUE_ID}: client=", _accepted, "a queue file was opened for its message"),
        ("reject", _BOTH, rf"{_QUEUE_ID}: (?:milter-|proxy-)?reject: ", _rejected, "a command was refused"),
        ("header-missing", _BOTH, _NO_HEADER, _header_missing, "wanted a PROXY header, got silence or TLS"),
        ("header-unexpected", _SMTPD, _PIPELINING, _spoke_first, "got a PROXY header, wanted none"),
        ("header-screened", _SCREEN, "PREGREET ", _spoke_first, "the same, before postscreen's greeting"),
        ("tls", _SMTPD, "SSL_accept error from ", _tls_failed, "the TLS handshake failed"),
        ("rate", _SMTPD, _RATE, _limited, "anvil's limit for this client is spent"),
        ("health-check", _SMTPD, _HEALTH, _health_check, "somebody hung up instead of a PROXY header"),
        ("health-screened", _SCREEN, _HANGUP, _health_check, "somebody hung up before postscreen looked"),
        ("fatal", _BOTH, r"(?:fatal|panic): ", _fatal, "the process ended itself"),
        ("throttle", _MASTER, _THROTTLE, _throttled, "master starts this service no more for a minute"),
    )
)
"""Every Postfix line of interest, first fit decides: name, programs, how its messages open, reader, meaning."""

TABLE = Table(PATTERNS)


def parse(line: Line, *, now: float) -> Event | None:
    """What a Postfix line says, None for a line of no interest."""
    return TABLE.parse(line, now)
