"""Keeps, for each source, what its health is reckoned from: how much it brought and how late.

One lateness is taken of each batch of lines, of the last one with a time stamp: that is what a source is judged by, and
costs the same however many lines come at once.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field

from probe.evidence.age import Pace, Stamper, lateness, pace_after, stamps_of
from probe.evidence.events import Observed, Stamp
from probe.evidence.health import LAG_BUCKETS, REMEMBERED, Heard, bucket
from probe.evidence.line import parse_line
from probe.evidence.sources.source import Lines, Source, State


@dataclass(slots=True)
class Hearing:
    """What one source has brought. `bug`: what mailprobe itself failed with on its latest lines.

    `paces`: of all sources, from before this one was opened too (learnt.py).
    """

    source: Source
    paces: dict[tuple[str, Stamper], Pace] = field(default_factory=dict)
    bug: str = ""
    _lines: int = 0
    _events: int = 0
    _late: deque[tuple[float, bool]] = field(default_factory=lambda: deque(maxlen=REMEMBERED))
    _counted: list[int] = field(default_factory=lambda: [0] * (len(LAG_BUCKETS) + 1))
    _late_in_all: float = 0.0

    def note(self, lines: Lines, found: Sequence[Observed]) -> None:
        """Take note of a batch, and of the events in it."""
        self._lines += lines.text.count(b"\n")
        self._events += len(found)
        for seen in found:
            for who, stamp in stamps_of(seen):
                kind = self.source.name, who
                self.paces[kind] = pace_after(self.paces.get(kind), seen.arrival, stamp)
        if (last := _last_stamp(lines)) is not None:
            late = lateness(lines.arrival, last)
            self._late.append((late, last.zoned))
            self._counted[bucket(late)] += 1
            self._late_in_all += max(late, 0.0)

    def heard(self, offset: float | None, shift: float) -> Heard:
        """All of it, as a value."""
        health = self.source.health
        return Heard(
            source=self.source.name,
            up=health.state is State.FOLLOWING and not self.bug,
            reason=self.bug or health.reason,
            lines=self._lines,
            events=self._events,
            last_line_at=health.last_line_at,
            gaps=health.gaps,
            late=tuple(late for late, _ in self._late),
            zoned=all(zoned for _, zoned in self._late),
            counted=tuple(self._counted),
            late_in_all=self._late_in_all,
            offset=offset,
            shift=shift,
        )


def _last_stamp(lines: Lines) -> Stamp | None:
    if lines.stamps:
        return next((stamp for stamp in reversed(lines.stamps) if stamp is not None), None)
    line = parse_line(lines.text[lines.text.rfind(b"\n", 0, -1) + 1 :], now=lines.arrival)
    return line.stamp if line else None
