r"""The fast reader: whole chunks of log -> the events in them, at a million lines a second.

Rules of this file:
- Truth is `parse_line` and the PATTERNS tables: what comes out of a chunk is what they say of each of its lines.
- Lines are found, not split: for each program of interest one bytes regex runs over the chunk, begins with the
  program's name (which the regex engine seeks at memory speed) and goes on with the openings of the tables.
- A name that is not followed by `[pid]: ` or `: ` may stand in JSON, in RFC 5424 or in somebody's HELO. Such a line,
  and any whose header is not known yet, goes the slow way, line by line.
- Headers differ only in their digits. So a header with its digits masked is looked up among those already understood,
  and only a new shape is parsed. No rule of line.py tells one digit from another, but for `<PRI>1 `: kept out.
- A line that follows a partial line (CRI's `P`, Docker's cut at 16 KiB) is its rest, whatever it looks like.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from probe.evidence import dovecot, postfix, wrapped
from probe.evidence.events import Event, Line
from probe.evidence.line import CARRIERS, LONGEST, message_of, parse_line
from probe.evidence.pattern import LEVEL, Pattern

_BLOCK = 1 << 20
_REMEMBERED = 8192
_SHORT = 256
_MASK = bytes(ord("0") if chr(code).isdigit() and code < 128 else code for code in range(256))
_PARTIAL = re.compile(rb"\S{10,40} (?:stdout|stderr) P\S* ")
_BYTE_ARRAY = re.compile(rb"MESSAGE\\*+\"\s?:\s?\[[^\n]*")


class Found:
    """An event and the line it was found in; what is not asked for is not decoded."""

    __slots__ = ("_now", "_raw", "event")

    def __init__(self, event: Event, raw: bytes, now: float) -> None:
        self.event = event
        self._raw = raw
        self._now = now

    @property
    def raw(self) -> str:
        """The line as it was logged."""
        return self._raw.decode("utf-8", "replace").rstrip("\r\n")

    @property
    def line(self) -> Line:
        """The line without its header, with its time stamp."""
        line = parse_line(self._raw, now=self._now)
        if line is None:
            raise AssertionError("a line that gave an event can be parsed")
        return line

    def __iter__(self) -> Iterator[Any]:
        """For unpacking: event, line, raw."""
        return iter((self.event, self.line, self.raw))


@dataclass(frozen=True, slots=True)
class _Head:
    """What is known of all headers of one shape: the rows its program's messages may fit, by group of the search.

    `rows` is empty where a line must be parsed in full. In a container's log a line may be the rest of another.
    """

    rows: tuple[Pattern, ...] = ()
    contained: bool = False


_PARSED_IN_FULL = _Head()


class _Search:
    """How to find the lines of one program. Group 1 is row 0: the groups stand for the rows."""

    def __init__(self, ending: str, rows: tuple[Pattern, ...]) -> None:
        self.ending = ending
        self.rows = rows
        name = re.escape(ending.lstrip("/ "))
        openings = "|".join(f"({row.opening}[^\\n]*)" for row in rows)
        after_pid = rf"(?:\[\d{{1,10}}\])?: {LEVEL}(?:{openings})"
        self.regex = re.compile(rf"{name}(?:{after_pid}|(?!\[\d|: )[^\n]*)".encode())


_ROWS = (*postfix.PATTERNS, *dovecot.PATTERNS)
_SEARCHES = tuple(
    _Search(ending, tuple(row for row in _ROWS if ending in row.programs))
    for ending in dict.fromkeys(ending for row in _ROWS for ending in row.programs)
)


def event_of(line: Line, *, now: float) -> Event | None:
    """What one line says, by all tables."""
    return postfix.parse(line, now=now) or dovecot.parse(line, now=now)


def count_lines(text: bytes) -> int:
    """Lines in a chunk; the last needs no newline."""
    return text.count(b"\n") + (bool(text) and not text.endswith(b"\n"))


def count_overlong(text: bytes) -> int:
    """Lines too long to be read; they give no event, for a line that was cut somewhere proves nothing."""
    overlong, start = 0, 0
    while len(text) - start >= LONGEST:
        end = text.rfind(b"\n", start, start + LONGEST)
        if end < 0:
            overlong += 1
            end = text.find(b"\n", start + LONGEST)
        if end < 0:
            break
        start = end + 1
    return overlong


def count_candidates(text: bytes) -> int:
    """Places in a chunk that the reader looks at; what it costs to find them is the price of every other line."""
    return sum(1 for search in _SEARCHES for _ in search.regex.finditer(text))


def events(text: bytes, *, now: float) -> Iterator[Found]:
    """The events in a chunk of whole lines, in the order of the lines."""
    return _Chunk(text, now).events()


class _Chunk:
    """One chunk and what was understood of it so far."""

    def __init__(self, text: bytes, now: float) -> None:
        self._text = text
        self._now = now
        self._heads: dict[bytes, _Head] = {}
        self._arrays = b"MESSAGE" in text

    def events(self) -> Iterator[Found]:
        """In blocks, so that what was found and is not yet asked for stays small."""
        start = 0
        while start < len(self._text):
            end = self._text.find(b"\n", start + _BLOCK) + 1 or len(self._text)
            yield from self._block(start, end)
            start = end

    def _matches(self, start: int, end: int) -> list[re.Match[bytes]]:
        """Where lines may say something. A line may be found more than once."""
        matches = [match for search in _SEARCHES for match in search.regex.finditer(self._text, start, end)]
        if self._arrays:
            matches += _BYTE_ARRAY.finditer(self._text, start, end)
        matches.sort(key=re.Match.start)
        return matches

    def _block(self, done: int, end: int) -> Iterator[Found]:
        """The events of the lines from one line's start to another's. The first match in a line speaks for it."""
        text, now, heads = self._text, self._now, self._heads
        for match in self._matches(done, end):
            group = match.lastindex
            at = match.start(group or 0)
            if at < done:
                continue
            begin = text.rfind(b"\n", done, at) + 1 or done
            done = match.end()
            shape = text[begin:at].translate(_MASK) if group else b""
            head = heads.get(shape) or self._learn(shape, begin, at)
            if head.rows and group and done - begin < LONGEST:
                try:
                    event = head.rows[group - 1].read(message_of(match[group]), now)
                except ValueError:
                    event = None
            else:
                event = self._in_full(begin, done)
            if event is not None and not (head.contained and self._is_rest(begin)):
                yield Found(event, text[begin:done], now)

    def _learn(self, shape: bytes, begin: int, at: int) -> _Head:
        """Understand a header: known is the program of every line that begins like this, whatever follows."""
        head = self._text[begin:at]
        if not shape or len(head) > _SHORT or b"{" in head or b"<" in head:
            return _PARSED_IN_FULL
        line = parse_line(head + b"x", now=self._now)
        known = _PARSED_IN_FULL
        if line and line.message == "x" and not CARRIERS.fullmatch(line.program):
            program = " " + line.program
            rows = next((search.rows for search in _SEARCHES if program.endswith(search.ending)), ())
            known = _Head(rows, contained=b" stdout " in head or b" stderr " in head)
        if len(self._heads) >= _REMEMBERED:
            self._heads.clear()
        self._heads[shape] = known
        return known

    def _in_full(self, begin: int, end: int) -> Event | None:
        """The event of a line in full."""
        if end - begin >= LONGEST or self._is_rest(begin):
            return None
        line = parse_line(self._text[begin:end], now=self._now)
        return event_of(line, now=self._now) if line else None

    def _is_rest(self, begin: int) -> bool:
        """True if the line before is partial."""
        end = max(begin - 1, 0)
        start = self._text.rfind(b"\n", 0, end) + 1
        if _PARTIAL.match(self._text, start, end):
            return True
        if not wrapped.DOCKER_CUT < end - start < LONGEST or self._text[start : start + 1] != b"{":
            return False
        before = wrapped.unwrap(self._text[start:end], now=self._now)
        return bool(before and before.cut)
