"""`probe explain`: saved logs -> whose addresses clients come from.

    files, standard input ──chunks──▶ events ──count──▶ Clients ──conclude──▶ Explained

One pass over each log, in the order they are named; a log that is named twice is read twice. Ctrl-C ends the reading,
not the answer: it then covers what was read.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from probe.evidence.clients import ClientCounter
from probe.evidence.read import count_lines, events
from probe.evidence.unread import OVERLONG, puzzles, span
from probe.evidence.whose import Names
from probe.model import Address, Explained, Puzzle, Reading, SavedLog
from probe.service.saved_logs import Chunker, OpenLog, Unreadable, open_log
from probe.verdict.clients import conclude

Progress = Callable[[int, int], None]
"""Told how many octets were taken from files so far, and how many lines that made."""

MOST_PUZZLES = 20
LONG_AGO = 946_684_800.0
"""The year 2000: a file that claims to be older has lost its date on the way, and tells no year for RFC 3164 stamps."""


class Desk:
    """What is read is counted here."""

    def __init__(self, names: Names, now: float, progress: Progress) -> None:
        self.counter = ClientCounter(names.whose)
        self.lines = self.events = 0
        self._octets = 0
        self._now = now
        self._progress = progress
        self._since: float | None = None
        self._until: float | None = None
        self._puzzles: dict[str, Puzzle] = {}
        self._logs: list[SavedLog] = []
        self._open: tuple[OpenLog, Chunker, int] | None = None

    def read(self, name: str) -> None:
        """Read one log to its end, or to where it is broken. An interrupt leaves it to `finish`."""
        try:
            log = open_log(name)
        except Unreadable as unreadable:
            self._logs.append(SavedLog(name=name, lines=0, octets=0, fault=str(unreadable)))
            return
        chunker = Chunker()
        self._open = log, chunker, self.lines
        fault: str | None = None
        try:
            for piece in log.pieces():
                if text := chunker.feed(piece):
                    self._take(text, log)
        except Unreadable as unreadable:
            fault = str(unreadable)
        self.finish(fault)

    def finish(self, fault: str | None = None) -> None:
        """What is left of the log that is open counts too."""
        if self._open is None:
            return
        log, chunker, lines_before = self._open
        self._open = None
        if rest := chunker.rest():
            self._take(rest, log)
        if chunker.overlong:
            self._note(Puzzle(kind=OVERLONG, count=chunker.overlong, first=""))
        log.close()
        self._octets += log.octets
        lines = self.lines - lines_before + chunker.overlong
        self.lines += chunker.overlong
        self._logs.append(SavedLog(name=log.name, lines=lines, octets=log.octets, fault=fault))

    def reading(self, *, interrupted: bool) -> Reading:
        """All that was read."""
        return Reading(
            logs=tuple(self._logs),
            lines=self.lines,
            events=self.events,
            since=self._since,
            until=self._until,
            puzzles=tuple(sorted(self._puzzles.values(), key=lambda puzzle: -puzzle.count)),
            interrupted=interrupted,
        )

    def _take(self, text: bytes, log: OpenLog) -> None:
        now = log.changed if log.changed is not None and LONG_AGO < log.changed < self._now else self._now
        self.events += self.counter.take(events(text, now=now))
        self.lines += count_lines(text)
        for puzzle in puzzles(text, now=now):
            self._note(puzzle)
        if (ends := span(text, now=now)) is not None:
            self._since = ends[0] if self._since is None else min(self._since, ends[0])
            self._until = ends[1] if self._until is None else max(self._until, ends[1])
        self._progress(self._octets + log.octets, self.lines)

    def _note(self, puzzle: Puzzle) -> None:
        known = self._puzzles.get(puzzle.kind)
        if known:
            puzzle = Puzzle(kind=puzzle.kind, count=known.count + puzzle.count, first=known.first)
        elif len(self._puzzles) >= MOST_PUZZLES:
            return
        self._puzzles[puzzle.kind] = puzzle


def explain(
    logs: Sequence[str], names: Names, called: dict[Address, str], *, now: float, progress: Progress
) -> Explained:
    """Read the logs and conclude. `called`: what the nodes of the cluster are called."""
    desk = Desk(names, now, progress)
    interrupted = False
    try:
        for name in logs:
            desk.read(name)
    except KeyboardInterrupt:
        interrupted = True
        desk.finish()
    return conclude(desk.counter.clients(), desk.reading(interrupted=interrupted), called=called, named=names.any)
