"""Find a secret rhythm again in the server's own times.

The hard case is IMAPS without a login behind SNAT on a busy server: address and port are gone, and many lines fit
by time. So the probe opens a few more connections with a secret spacing. Dovecot's session ids carry the
microsecond at which they were made, so the spacing stands in the log, whatever the server's clock says.

    ours     |    |       |  |           one stroke each: when the id must have been made
    server     x |y  x|x    | z| x       marks, shifted by an unknown offset
               ↑ the one shift under which every stroke has a mark

Rule 1: every stroke must have a mark; a rhythm with a gap proves nothing.
Rule 2: no line arrives before what it tells of: a mark that came before we had said LOGOUT is somebody else's.
Rule 3: a fit is worth what chance would not give. Around the median shift, each distance d between a stroke and its
        nearest mark has the p-value 1 - exp(-2·density·d), with the density of the busiest second; Fisher's method
        joins them; times the number of shifts tried.
Rule 4: two fits that chance would not give prove nothing, nor do two marks for the first stroke that lie as near as
        this fit can tell (crowded): the first is the session, the rest only help to find it.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import exp, inf, log
from statistics import median

from probe.model import Span

GRAIN = 0.0003
"""Seconds: no distance counts as smaller, because no client knows its own moments better than this."""

LATENESS = 0.08
"""Seconds by which a moment may be late beyond its span: a process was forked or scheduled, a reader looked, late."""

ANY_SHIFT = Span(-inf, inf)

WORSE = 100.0
"""The second best fit must be by this factor more likely chance than the best."""

ALONE = 0.03
BLUR = 2.0
"""A mark of the first stroke must be alone within 30 ms, within twice the largest distance of the fit, and within the
time that its answers took longer than the quickest: on a loaded machine one line in a hundred is that late, and the
one that is may be ours. What all answers took is the way there and back."""


@dataclass(frozen=True, slots=True)
class Stroke:
    """One connection of ours: when its mark must have been made, and before when its line cannot have arrived.

    `sluggishness`: the longest that an answer took on this connection; its line may be late by as much.
    """

    span: Span
    not_before: float
    sluggishness: float = 0.0


@dataclass(frozen=True, slots=True)
class Mark:
    """A time that a line shows, on whatever clock, and when the line arrived, on ours."""

    time: float
    arrival: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Fit:
    """A mark for the first stroke, the shift it implies, and how likely chance alone gives as good a fit.

    `stand_in`: how likely a stranger's mark lies as near to the first stroke as that one does, if the first stroke's
    own is elsewhere. `crowded`: another mark, or a rival, may as well be the first stroke's, and no further stroke
    changes that.
    """

    index: int
    shift: float
    chance: float
    stand_in: float
    crowded: bool


def best_fit(
    strokes: Sequence[Stroke],
    firsts: Sequence[Mark],
    others: Sequence[Mark],
    shifts: Span = ANY_SHIFT,
    rivals: Sequence[Mark] = (),
) -> Fit | None:
    """The fit of the rhythm, None where none stands out.

    `firsts` may be the first stroke's marks, `others` the rest's; `shifts` is what may lie between their clock and
    ours. `rivals`: what may be the first stroke's mark although the rest has none of its kind.
    """
    start = strokes[0].span.start
    possible = [
        (index, mark)
        for index, mark in enumerate(firsts)
        if mark.arrival >= strokes[0].not_before and shifts.start <= mark.time - start <= shifts.end
    ]
    series = _Series.of(others)
    found = (_repeat(index, mark.time, strokes, series) for index, mark in possible)
    repeats = [repeat for repeat in found if repeat]
    best = min(repeats, key=lambda repeat: repeat.chance, default=None)
    if best is None:
        return None
    elsewhere = [repeat for repeat in repeats if abs(repeat.shift - best.shift) > ALONE]
    if any(repeat.chance * len(possible) < min(1.0, best.chance * len(possible) * WORSE) for repeat in elsewhere):
        return None
    delay = strokes[0].sluggishness - min(stroke.sluggishness for stroke in strokes)
    blur = max(ALONE, BLUR * best.distances[-1], delay)
    may_be = (*(mark for _, mark in possible), *(mark for mark in rivals if mark.arrival >= strokes[0].not_before))
    near = [mark for mark in may_be if abs(mark.time - start - best.shift) <= blur]
    return Fit(
        index=best.index,
        shift=best.shift,
        chance=min(1.0, best.chance * len(possible)),
        stand_in=_stand_in(best, series),
        crowded=len(near) > 1,
    )


@dataclass(frozen=True, slots=True)
class _Series:
    """Marks in the order of their times, and how many a second there are where they come thickest.

    Strangers come in bursts: another probe's beats are one. One more than seen, for what was lost may have had company.
    """

    times: Sequence[float]
    arrivals: Sequence[float]
    density: float

    @classmethod
    def of(cls, marks: Iterable[Mark]) -> _Series:
        ordered = sorted(marks, key=lambda mark: mark.time)
        times = [mark.time for mark in ordered]
        return cls(times, [mark.arrival for mark in ordered], _density(times))

    def nearest(self, target: float, not_before: float) -> float | None:
        """The time of the nearest mark that may be meant, less than a second away, from the target outwards."""
        after = bisect_left(self.times, target)
        before = after - 1
        while True:
            early = target - self.times[before] if before >= 0 else inf
            late = self.times[after] - target if after < len(self.times) else inf
            if min(early, late) >= 1:
                return None
            nearest = before if early <= late else after
            if self.arrivals[nearest] >= not_before:
                return self.times[nearest]
            before, after = (before - 1, after) if early <= late else (before, after + 1)


@dataclass(frozen=True, slots=True)
class _Repeat:
    """A mark that may be the first stroke's, with the others' marks: the times of all, and by how much each is shifted.

    `distances` from the median shift, the least first and without the median's own, which says nothing.
    """

    index: int
    times: Sequence[float]
    shifts: Sequence[float]
    shift: float
    distances: Sequence[float]
    chance: float


def _repeat(index: int, first: float, strokes: Sequence[Stroke], series: _Series) -> _Repeat | None:
    times = [first]
    shift = first - strokes[0].span.start
    for stroke in strokes[1:]:
        target = stroke.span.start + shift
        nearest = series.nearest(target, stroke.not_before)
        slack = max(stroke.span.seconds, strokes[0].span.seconds, LATENESS)
        if nearest is None or abs(nearest - target) > slack:
            return None
        times.append(nearest)
    shifts = [time - stroke.span.start for time, stroke in zip(times, strokes, strict=True)]
    middle = median(shifts)
    distances = sorted(abs(one - middle) for one in shifts)[1:]
    chance = fisher([_p_value(distance, series.density) for distance in distances])
    return _Repeat(index, times, shifts, middle, distances, chance)


def _stand_in(repeat: _Repeat, series: _Series) -> float:
    ours = set(repeat.times)
    first, *rest = repeat.shifts
    strangers = [time for time in series.times if time not in ours]
    return _p_value(abs(first - median(rest or [first])), _density(strangers))


def _p_value(distance: float, density: float) -> float:
    """How likely one mark is as near as this by chance, where so many come a second."""
    return 1 - exp(-2 * density * max(distance, GRAIN))


def _density(times: Sequence[float]) -> float:
    return 1.0 + max((bisect_left(times, time + 1.0) - index for index, time in enumerate(times)), default=0)


def fisher(p_values: Sequence[float]) -> float:
    """Probability that chance gives a product of p-values as small as this one (Fisher 1925, for independent ones).

    >>> round(fisher([0.5]), 3)
    0.5
    """
    exponent = -sum(log(max(p_value, 1e-12)) for p_value in p_values)
    term, total = exp(-exponent), 0.0
    for number in range(1, len(p_values) + 1):
        total += term
        term *= exponent / number
    return min(1.0, total)
