r"""The fast reader: whole chunks of log -> the events in them, at a million lines a second.

Rules of this file:
- Truth is `parse_line` and the PATTERNS tables: what comes out of a chunk is what they say of each of its lines.
- Lines are found, not split: for each program of interest one bytes regex runs over the chunk, begins with the
  program's name (which the regex engine seeks at memory speed) and goes on with the openings of the tables.
- A name that is not followed by `[pid]: ` or `: ` may stand in JSON, in RFC 5424 or in somebody's HELO. Such a line,
  and any whose header is not known yet, goes the slow way, line by line.
- Headers differ only in their digits. So a header with its digits masked is looked up among those already understood,
  and only a new shape is parsed. No rule of line.py tells one digit from another, but for `<PRI>1 `: kept out.
- A match says the truth about its line or sends it the slow way, so that a line found twice says the same twice.
- A line that follows a partial line (CRI's `P`, Docker's cut at 16 KiB) is its rest, whatever it looks like.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from enum import Enum
from typing import Any

from probe.evidence import dovecot, postfix, wrapped
from probe.evidence.events import Event, Line
from probe.evidence.line import CARRIERS, LONGEST, message_of, parse_line
from probe.evidence.pattern import LEVEL, Pattern

_BLOCK = 1 << 17
_REMEMBERED = 8192
_SHORT = 256
_MASK = bytes(ord("0") if chr(code).isdigit() and code < 128 else code for code in range(256))
_PARTIAL = re.compile(rb"\S{10,40} (?:stdout|stderr) P\S* ")
_LEVEL_X = re.compile(LEVEL + "x")
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


class _Head(Enum):
    """What is known of all headers of one shape."""

    KNOWN = "a program's message follows"
    CONTAINED = "the same, but in a container's log a line may be the rest of another"
    UNKNOWN = "the line must be parsed in full"


class _Search:
    """How to find the lines of one program. Group 1 is row 0: the groups stand for the rows."""

    def __init__(self, ending: str, rows: tuple[Pattern, ...]) -> None:
        self.ending = ending
        self.readers = tuple((row.read, _Memory(row.read) if row.repeats else None) for row in rows)
        name = re.escape(ending.lstrip("/ "))
        openings = "|".join(f"({row.opening}[^\\n]*)" for row in rows)
        after_pid = rf"(?:\[\d{{1,10}}\])?: {LEVEL}(?:{openings})"
        self.regex = re.compile(rf"{name}(?:{after_pid}|(?!\[\d|: )[^\n]*)".encode())


class _Memory(dict[bytes, Event | None]):
    """What messages said that come again and again, byte for byte."""

    def __init__(self, read: Callable[[str, float], Event | None]) -> None:
        super().__init__()
        self._read = read

    def __missing__(self, message: bytes) -> Event | None:
        try:
            event = self._read(message_of(message), 0.0)
        except ValueError:
            event = None
        if len(self) >= _REMEMBERED:
            self.clear()
        if len(message) <= _SHORT:
            self[message] = event
        return event


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
            found: dict[int, Found] = {}
            for search in _SEARCHES:
                self._search(search, start, end, found)
            if self._arrays:
                for match in _BYTE_ARRAY.finditer(self._text, start, end):
                    self._read_in_full(start, match.span(), found)
            yield from [found[begin] for begin in sorted(found)]
            start = end

    def _search(self, search: _Search, start: int, end: int, found: dict[int, Found]) -> None:
        """Add the events of one program's lines, by where the lines begin. Written out: this is the inner loop."""
        text, now, known_heads, readers = self._text, self._now, self._heads.get, search.readers
        length = 0
        for match in search.regex.finditer(text, start, end):
            group = match.lastindex
            if group is None:
                self._read_in_full(start, match.span(), found)
                continue
            at, stop = match.span(group)
            # Most headers are as long as the one before; with the newline before it, a known one is all of a header.
            head = known_heads(text[at - length : at].translate(_MASK)) if length <= at else None
            if head is None:
                begin = text.rfind(b"\n", start, at) + 1 or start
                length = at - begin + 1
                head = self._head(begin, at, search.ending)
            begin = at - length + 1
            if stop - begin >= LONGEST or (head is not _Head.KNOWN and not self._is_read(head, begin)):
                self._read_in_full(start, (at, stop), found)
                continue
            read, memory = readers[group - 1]
            if memory is not None:
                event = memory[match[group]]
            else:
                try:
                    event = read(message_of(match[group]), now)
                except ValueError:
                    continue
            if event is not None:
                found[begin] = Found(event, text[begin:stop], now)

    def _is_read(self, head: _Head, begin: int) -> bool:
        """True if a line with this header may be read without parsing all of it."""
        return head is _Head.CONTAINED and not self._is_rest(begin)

    def _head(self, begin: int, at: int, ending: str) -> _Head:
        """What is known of a header; the newline before it belongs to its shape."""
        head = self._text[begin:at]
        shape = b"\n" + head.translate(_MASK)
        return self._heads.get(shape) or self._learn(shape, head, ending)

    def _learn(self, shape: bytes, head: bytes, ending: str) -> _Head:
        """Understand a header: known is the program of every line that begins like this, whatever follows."""
        if len(head) > _SHORT or b"{" in head or b"<" in head:
            return _Head.UNKNOWN
        line = parse_line(head + b"x", now=self._now)
        known = _Head.UNKNOWN
        if line and _LEVEL_X.fullmatch(line.message) and not CARRIERS.fullmatch(line.program):
            contained = b" stdout " in head or b" stderr " in head
            if f" {line.program}".endswith(ending):
                known = _Head.CONTAINED if contained else _Head.KNOWN
        if len(self._heads) >= _REMEMBERED:
            self._heads.clear()
        self._heads[shape] = known
        return known

    def _read_in_full(self, start: int, place: tuple[int, int], found: dict[int, Found]) -> None:
        """Add the event of the line around this place, if it has one, by all rules."""
        at, stop = place
        begin = self._text.rfind(b"\n", start, at) + 1 or start
        event = self._in_full(begin, stop)
        if event is not None:
            found[begin] = Found(event, self._text[begin:stop], self._now)

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
