r"""What is in a chunk of log beside events: the time it spans, and lines that say nothing to us.

Rules of this file:
- Most lines of a mail log are of no interest and are understood well enough by their header. Not understood are lines
  without any header that a log has, lines of a client's coming or going that no server writes like this, and lines too
  long to be read. Not counted are clients of other logins than IMAP's: no table of ours reads those lines.
- Each kind is found by one regex over the whole chunk that matches only what is odd: a sound log costs little.
- Only the stamps of the first and last lines of a chunk are read, for the lines of a log come in order.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from probe.evidence import stamp
from probe.evidence.line import FOREIGN, LONGEST, TAG, parse_line
from probe.evidence.peer import ADDRESS_PORT
from probe.evidence.read import count_overlong, event_of
from probe.model import Puzzle

LONGEST_SHOWN = 500
"""Characters of a line that are kept to show it."""

_LOOKED_AT = 20
_QUICK = rb"(?!\d{4}-\d\d-\d\d[T ]\d\d:|[A-Z][a-z]{2} [ \d]\d \d\d:|\{)"
_STAMP = stamp.CLOCK + rb"|" + stamp.ISO
_LINE = rb"(?:<\d{1,3}>)?(?:1 )?(?:" + _STAMP + rb"|- - |\{|" + TAG + rb"|[\w.-]{1,64}+ {1,64}+\| )"
_ODD = _QUICK + rb"(?!" + FOREIGN + _LINE + rb")[^\r\n][^\n]*"
_FIRST_ODD = re.compile(_ODD)
_NEXT_ODD = re.compile(rb"\n" + _ODD)
_CLIENT = rb"[^\s\[\]]{0,255}" + ADDRESS_PORT.encode()
_TALLY = rb"(?: [a-z]{1,16}=[\da-z=/ ]*)?(?:[\r\n\"\\#]|\Z)"
_CROOKED = re.compile(rb"/smtpd\[\d{1,10}\]: (?:dis)?connect from (?!" + _CLIENT + _TALLY + rb")[^\n]*")
_OTHER_LOGIN = re.compile(rb"((?:pop3|submission|managesieve|sieve)-login): [^\n]*, rip=[^\n]*")

HEADLESS = "no header of a log"
CROOKED = "a client's line that is not as Postfix writes it"
OVERLONG = "too long to be read"


def puzzles(text: bytes, *, now: float) -> Iterator[Puzzle]:
    """Lines of a chunk that say nothing to us, by kind; each kind with its first line."""
    first = _FIRST_ODD.match(text)
    odd = [first.span()] if first else []
    odd += [(begin + 1, end) for begin, end in (match.span() for match in _NEXT_ODD.finditer(text))]
    if odd:
        yield Puzzle(kind=HEADLESS, count=len(odd), first=shown(text[slice(*odd[0])]))
    crooked = [line for match in _CROOKED.finditer(text) if _is_crooked(line := _line_at(text, match.start()), now)]
    if crooked:
        yield Puzzle(kind=CROOKED, count=len(crooked), first=shown(crooked[0]))
    if len(text) >= LONGEST and (overlong := count_overlong(text)):
        yield Puzzle(kind=OVERLONG, count=overlong, first="")
    if text.count(b"-login: ") > text.count(b"imap-login: "):
        yield from _other_logins(text)


def _other_logins(text: bytes) -> Iterator[Puzzle]:
    found: dict[bytes, list[int]] = {}
    for match in _OTHER_LOGIN.finditer(text):
        found.setdefault(match[1], []).append(match.start())
    for program, places in found.items():
        kind = f"clients of {program.decode()} are not counted"
        yield Puzzle(kind=kind, count=len(places), first=shown(_line_at(text, places[0])))


def _is_crooked(raw: bytes, now: float) -> bool:
    """True if a server wrote this line and no table reads it; a client may write the same into another line."""
    line = parse_line(raw, now=now)
    if line is None or not line.message.startswith(("connect from ", "disconnect from ")):
        return False
    return event_of(line, now=now) is None


def _line_at(text: bytes, at: int) -> bytes:
    begin = text.rfind(b"\n", 0, at) + 1
    end = text.find(b"\n", at)
    return text[begin : end if end >= 0 else len(text)]


def shown(line: bytes) -> str:
    """A line, or as much of it as is worth showing."""
    return line[:LONGEST_SHOWN].decode("utf-8", "replace").rstrip("\r\n")


def span(text: bytes, *, now: float) -> tuple[float, float] | None:
    """The stamps at both ends of a chunk, the earlier one first; None where no line near them has one."""
    ends = [found for found in (_stamp(_heads(text), now), _stamp(_tails(text), now)) if found is not None]
    return (min(ends), max(ends)) if ends else None


def _stamp(lines: Iterator[bytes], now: float) -> float | None:
    for raw, _ in zip(lines, range(_LOOKED_AT), strict=False):
        line = parse_line(raw, now=now)
        if line and line.stamp:
            return line.stamp.seconds
    return None


def _heads(text: bytes) -> Iterator[bytes]:
    start = 0
    while start < len(text):
        end = text.find(b"\n", start) + 1 or len(text)
        yield text[start:end]
        start = end


def _tails(text: bytes) -> Iterator[bytes]:
    end = len(text)
    while end > 0:
        start = text.rfind(b"\n", 0, end - 1) + 1
        yield text[start:end]
        end = start
