r"""What is in a chunk of log beside events: the time it spans, and lines that say nothing to us.

Rules of this file:
- Most lines of a mail log are of no interest and are understood well enough by their header. Not understood are lines
  without any header that a log has, lines of a client's coming or going that no server writes like this, and lines too
  long to be read. Not counted are clients of other logins than IMAP's: no table of ours reads those lines.
- Each kind is found by one regex over the whole chunk that matches only what is odd: a sound log costs next to nothing.
- Only the stamps of the first and last lines of a chunk are read, for the lines of a log come in order.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from probe.evidence import stamp
from probe.evidence.line import LONGEST, TAG, parse_line
from probe.evidence.peer import ADDRESS_PORT
from probe.evidence.read import count_overlong
from probe.model import Puzzle

LONGEST_SHOWN = 500
"""Characters of a line that are kept to show it."""

_LOOKED_AT = 20
_QUICK = rb"(?!\d{4}-\d\d-\d\d[T ]\d\d:|[A-Z][a-z]{2} [ \d]\d \d\d:|\{)"
_HEAD = rb"(?:<\d{1,3}>)?(?:1 )?(?:" + stamp.CLOCK + rb"|" + stamp.ISO + rb"|\{|" + TAG + rb"|[\w.-]{1,64}+ {1,64}+\| )"
_FIRST = re.compile(_QUICK + rb"(?!" + _HEAD + rb")[^\r\n][^\n]*")
_HEADLESS = re.compile(rb"\n" + _QUICK + rb"(?!" + _HEAD + rb")[^\r\n][^\n]*")
_CLIENT = rb"[^\s\[\]]{0,255}" + ADDRESS_PORT.encode()
_CROOKED = re.compile(
    rb"/smtpd\[\d{1,10}\]: (?:dis)?connect from (?!"
    + _CLIENT
    + rb"(?: [a-z]{1,16}=[\da-z=/ ]*)?(?:[\s\"\\#]|\Z))[^\n]*"
)
_OTHER_LOGIN = re.compile(rb"((?:pop3|submission|managesieve|sieve)-login): [^\n]*, rip=[^\n]*")

KINDS = ("no header of a log", "a client's line that is not as Postfix writes it", "too long to be read")


def puzzles(text: bytes) -> Iterator[Puzzle]:
    """Lines of a chunk that say nothing to us, by kind; each kind with its first line."""
    first = _FIRST.match(text)
    headless = [first[0]] if first else []
    headless += [line[1:] for line in _HEADLESS.findall(text)]
    yield from _puzzle("no header of a log", headless)
    crooked = [match.start() for match in _CROOKED.finditer(text)]
    yield from _puzzle("a client's line that is not as Postfix writes it", [_line_at(text, at) for at in crooked])
    if len(text) >= LONGEST and (overlong := count_overlong(text)):
        yield Puzzle(kind="too long to be read", count=overlong, first="")
    if text.count(b"-login: ") > text.count(b"imap-login: "):
        yield from _other_logins(text)


def _other_logins(text: bytes) -> Iterator[Puzzle]:
    found: dict[bytes, list[int]] = {}
    for match in _OTHER_LOGIN.finditer(text):
        found.setdefault(match[1], []).append(match.start())
    for program, places in found.items():
        kind = f"clients of {program.decode()} are not counted"
        yield Puzzle(kind=kind, count=len(places), first=shown(_line_at(text, places[0])))


def _puzzle(kind: str, lines: list[bytes]) -> Iterator[Puzzle]:
    if lines:
        yield Puzzle(kind=kind, count=len(lines), first=shown(lines[0]))


def _line_at(text: bytes, at: int) -> bytes:
    begin = text.rfind(b"\n", 0, at) + 1
    return text[begin : begin + LONGEST_SHOWN].partition(b"\n")[0]


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
