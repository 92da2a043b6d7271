r"""The fast reader: whole chunks of log -> the events in them. What it costs and why: docs/bench-reader.md.

Rules of this file:
- Truth is `parse_line` and the PATTERNS tables: what comes out of a chunk is what they say of each of its lines.
- Lines are found, not split: for each program of interest one bytes regex runs over the chunk, begins with the
  program's name (which the regex engine seeks at memory speed) and goes on with the openings of the tables.
- A name that is not followed by `[pid]: ` or `: ` may stand in JSON, in RFC 5424 or in somebody's HELO. Such a line,
  and any whose header is not known yet, goes the slow way, line by line.
- A header is looked up by its shape among those already understood (heads.py), and only a new shape is parsed.
- A match says the truth about its line or sends it the slow way, so that a line found twice says the same twice.
- A line that follows a partial line (CRI's `P`, Docker's cut at 16 KiB) is its rest, whatever it looks like.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

from probe.evidence import dovecot, postfix, wrapped
from probe.evidence.events import Event, Line
from probe.evidence.heads import HEADS, UNKNOWN, ZEROS, Head
from probe.evidence.line import LONGEST, message_of, parse_line
from probe.evidence.pattern import LEVEL, Pattern

_BLOCK = 1 << 17
_REMEMBERED = 16384
_SHORT = 256
_PARTIAL = re.compile(rb"\S{10,40} (?:stdout|stderr) P\S* ")
_BYTE_ARRAY = re.compile(rb"MESSAGE\\*+\"\s?:\s?\[[^\n]*")


class Found:
    """An event and the line it was found in (`Told`); what is not asked for is not decoded."""

    __slots__ = ("_head", "_line", "_now", "_raw", "event")

    def __init__(self, event: Event, raw: bytes, now: float, head: Head = UNKNOWN) -> None:
        self.event = event
        self._raw = raw
        self._now = now
        self._head = head
        self._line: Line | None = None

    @property
    def raw(self) -> str:
        """The line as it was logged."""
        return self._raw.decode("utf-8", "replace").rstrip("\r\n")

    @property
    def program(self) -> str:
        """`line.program`, for a hundredth of what the whole line costs if its header is known."""
        return self.line.program if self._head is UNKNOWN else self._raw[self._head.program].decode()

    @property
    def line(self) -> Line:
        """The line without its header, with its time stamp."""
        if self._line is None:
            self._line = parse_line(self._raw, now=self._now)
        if self._line is None:
            raise AssertionError("a line that gave an event can be parsed")
        return self._line


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
    """One chunk of a log."""

    def __init__(self, text: bytes, now: float) -> None:
        self._text = text
        self._now = now
        self._arrays = b'"' in text and b"MESSAGE" in text  # the first is a hundred times faster to seek, and rare

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
                    self._read_in_full(start, *match.span(), found)
            yield from [found[begin] for begin in sorted(found)]
            start = end

    def _search(self, search: _Search, start: int, end: int, found: dict[int, Found]) -> None:
        """Add the events of one program's lines, by where the lines begin. Written out: this is the inner loop."""
        text, now, known, readers, newline_before = self._text, self._now, HEADS.get, search.readers, self._text.rfind
        for match in search.regex.finditer(text, start, end):
            row = match.lastindex
            if row is None:
                self._read_in_full(start, *match.span(), found)
                continue
            at, stop = match.span(row)
            begin = newline_before(b"\n", start, at) + 1 or start
            header = text[begin:at]
            head = known(header.translate(ZEROS)) or HEADS.learn(header, search.ending)
            if head is UNKNOWN or stop - begin >= LONGEST or (head.contained and self._is_rest(begin)):
                self._read_in_full(start, at, stop, found)
                continue
            read, memory = readers[row - 1]
            try:
                event = read(message_of(match[row]), now) if memory is None else memory[match[row]]
            except ValueError:
                continue
            if event is not None:
                found[begin] = Found(event, text[begin:stop], now, head)

    def _read_in_full(self, start: int, at: int, stop: int, found: dict[int, Found]) -> None:
        """Add the event of the line around this place, if it has one, by all rules."""
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
