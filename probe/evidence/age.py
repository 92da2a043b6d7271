"""How old a line is: what was written before a session opened is not the session's, however late it arrives. Pure.

Old lines arrive anew when a log is read from its beginning: `kubectl logs -f` into standard input, a shipper that lost
its place, a backlog after an outage. Among them is a line with our own address and port for every session of ours.

Rule 1: lateness, arrival less stamp, is lag and clock offset in one. The least that a source has shown is what its
        clock and its way take; a line was written, at the latest, when its stamp says, by a clock that is off so much.
Rule 2: a clock may be off by MINUTES, a stamp without a zone may be of UTC or of the probe's zone. What is further off
        is no clock but an old log, and nothing of it counts: `unverified` is the price, a wrong `preserved` the other.
Rule 3: lines that come late by the same time for STEADY seconds are live: old ones are read faster than they were
        written. A stamp without a zone may then be of any, and a clock that was set back is believed again; so is one
        that was set by as much as the probe's own (`shift`), for the probe's moments do not follow a clock that is set.
Rule 4: a line may be stamped by its source, in its header, and in Dovecot's session id. Each has a pace of its own, and
        all must agree. Of a line without a stamp nothing is known.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from math import inf

from probe.evidence.events import LoginEnded, Observed, SessionId, Stamp

MINUTES = 900.0
ZONES = 15 * 3600.0
"""No place on earth is further than 14 hours from UTC."""

SAME = 2.0
"""Seconds by which two latenesses may differ and still be of one clock: whole seconds in a header, and some lag."""

STEADY = 5.0
SLACK = 5.0
"""Seconds by which a line may seem older than it is: several hosts may write into one log, each by its own clock."""


UTC = 0.0


class Stamper(StrEnum):
    """Who says when a line was written."""

    SOURCE = "source"
    HEADER = "header"
    HEADER_WITHOUT_ZONE = "header_without_zone"
    SESSION_ID = "session_id"


@dataclass(frozen=True, slots=True)
class Pace:
    """The least lateness that one kind of stamp of a source has shown.

    `steady`: none was less than the `first` by more than SAME, STEADY seconds after it. `later`: the pace that lines
    show meanwhile, which takes over once it is steady.
    """

    least: float
    first: float
    since: float
    zoned: bool = True
    steady: bool = False
    later: Pace | None = None

    def is_plausible(self, zones: Sequence[float], shift: float = 0.0) -> bool:
        """True for what a clock may be off by (rules 2 and 3); `zones`: how far those are off that may be left out."""
        if self.zoned:
            return abs(self.least) <= MINUTES or (self.steady and abs(self.least + shift) <= MINUTES)
        return (self.steady and abs(self.least) <= ZONES) or any(abs(self.least - zone) <= MINUTES for zone in zones)

    def awaited(self, zones: Sequence[float], shift: float = 0.0) -> Pace | None:
        """The pace by which lines would count that do not yet, if they went on coming like this (rule 3).

        It may be the `later` one: of a clock that was set back, of a summer time that ended. Less is lag, and no clock.
        """
        counts, later = self.is_plausible(zones, shift), self.later
        if counts and (later is None or later.least < self.least + MINUTES):
            return None
        ways = (later,) if counts else (self, later)
        return next((way for way in ways if way and replace(way, steady=True).is_plausible(zones, shift)), None)

    def after(self, arrival: float, stamp: Stamp) -> Pace:
        """What is known when another line has arrived."""
        late = lateness(arrival, stamp)
        if late < self.first - SAME:
            return Pace(late, late, arrival, stamp.zoned)
        if late <= self.least + SAME:
            steady = self.steady or arrival >= self.since + STEADY
            # A line that is prompt shows that the clock was not set back: whatever came late was old.
            return replace(self, least=min(late, self.least), zoned=stamp.zoned, steady=steady, later=None)
        if self.later is None or late > self.later.least + SAME:
            return replace(self, later=Pace(late, late, arrival, stamp.zoned))
        later = self.later.after(arrival, stamp)
        return later if later.steady else replace(self, later=later)


Paces = Mapping[tuple[str, Stamper], Pace]
"""By source and kind of stamp."""


def lateness(arrival: float, stamp: Stamp) -> float:
    """Seconds from the middle of a stamp's grain to its arrival."""
    return arrival - stamp.seconds - stamp.resolution / 2


def pace_after(known: Pace | None, arrival: float, stamp: Stamp) -> Pace:
    """The pace with one more line; the first line begins it."""
    late = lateness(arrival, stamp)
    return known.after(arrival, stamp) if known else Pace(late, late, arrival, stamp.zoned)


def stamps_of(seen: Observed) -> Iterator[tuple[Stamper, Stamp]]:
    """Everything that says when a line was written."""
    if seen.stamped is not None:
        yield Stamper.SOURCE, seen.stamped
    if seen.line.stamp is not None:
        # Postfix by way of syslog and Dovecot's own log may share a file, and only one of them name its zone.
        yield Stamper.HEADER if seen.line.stamp.zoned else Stamper.HEADER_WITHOUT_ZONE, seen.line.stamp
    match seen.event:
        case LoginEnded(session=SessionId(opened=opened)):
            yield Stamper.SESSION_ID, Stamp(opened, 1e-6)


class Written:
    """Tells lines that may have been written after a moment, of those that arrived after it.

    What the paces say is the same for all lines of one source and kind of stamp, and worked out once for each.
    """

    def __init__(self, moment: float, paces: Paces, zones: Sequence[float] = (UTC,), shift: float = 0.0) -> None:
        self._moment = moment
        self._paces = paces
        self._zones = zones
        self._shift = shift
        self._bounds: dict[tuple[str, Stamper], float] = {}
        self._undated: dict[tuple[str, Stamper], tuple[float, float]] = {}

    def may_be_since(self, seen: Observed) -> bool:
        """Whether a line that arrived after the moment may have been written after it too."""
        source = seen.source
        return all(stamp.seconds + stamp.resolution >= self._bound((source, who)) for who, stamp in stamps_of(seen))

    def dated_from(self, seen: Observed) -> float:
        """When one line more would tell that this one is of now, for all that is against it is a clock not known yet.

        -inf where that is not so.
        """
        told = -inf
        for who, stamp in stamps_of(seen):
            bound, dated_from = self._undated_bound((seen.source, who))
            if stamp.seconds + stamp.resolution >= bound:
                told = max(told, dated_from)
        return told

    def _undated_bound(self, kind: tuple[str, Stamper]) -> tuple[float, float]:
        """The earliest end of a stamp that would be meant, were its clock known; and when one line more tells that."""
        known = self._undated.get(kind)
        if known is None:
            pace = self._paces.get(kind)
            pace = pace.awaited(self._zones, self._shift) if pace else None
            known = (self._moment - SLACK - pace.least, pace.since + STEADY) if pace else (inf, -inf)
            self._undated[kind] = known
        return known

    def _bound(self, kind: tuple[str, Stamper]) -> float:
        """The earliest end of a stamp of this kind that may be meant; where nothing is plausible, none is."""
        bound = self._bounds.get(kind)
        if bound is None:
            bound = self._bounds[kind] = self._worked_out(self._paces.get(kind))
        return bound

    def _worked_out(self, pace: Pace | None) -> float:
        if pace is None:
            return -inf
        return self._moment - SLACK - pace.least if pace.is_plausible(self._zones, self._shift) else inf


def may_be_since(
    moment: float, seen: Observed, paces: Paces, zones: Sequence[float] = (UTC,), shift: float = 0.0
) -> bool:
    """Whether a line that arrived after this moment may have been written after it too."""
    return Written(moment, paces, zones, shift).may_be_since(seen)
