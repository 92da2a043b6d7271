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
        this fit can tell: the first is the session, the rest only help to find it.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass, replace
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
time that answers took: on a loaded machine one line in a hundred is that late, and the one that is may be ours."""


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


@dataclass(frozen=True, slots=True)
class Fit:
    """A mark for the first stroke, the shift it implies, and how likely chance alone gives as good a fit.

    `blur`: how far from its stroke a mark may lie and still be meant, as far as this fit can tell. `stand_in`: how
    likely a stranger's mark lies as near to the first stroke as that one does, if the first stroke's own is elsewhere.
    """

    index: int
    shift: float
    blur: float
    chance: float
    stand_in: float


def best_fit(
    strokes: Sequence[Stroke], firsts: Sequence[Mark], others: Sequence[Mark], shifts: Span = ANY_SHIFT
) -> Fit | None:
    """The fit of the rhythm, None where none stands out.

    `firsts` may be the first stroke's marks, `others` the rest's; `shifts` is what may lie between their clock and
    ours.
    """
    start = strokes[0].span.start
    possible = [
        (index, mark)
        for index, mark in enumerate(firsts)
        if mark.arrival >= strokes[0].not_before and shifts.start <= mark.time - start <= shifts.end
    ]
    ordered = sorted(others, key=lambda mark: mark.time)
    found = (_fit(index, mark, strokes, ordered) for index, mark in possible)
    fits = [replace(fit, chance=min(1.0, fit.chance * len(possible))) for fit in found if fit]
    best = min(fits, key=lambda fit: fit.chance, default=None)
    if best is None:
        return None
    elsewhere = [fit for fit in fits if abs(fit.shift - best.shift) > ALONE]
    near = [mark for _, mark in possible if abs(mark.time - start - best.shift) <= best.blur]
    stands_out = all(fit.chance >= min(1.0, best.chance * WORSE) for fit in elsewhere)
    return best if stands_out and len(near) == 1 else None


def _fit(index: int, first: Mark, strokes: Sequence[Stroke], others: Sequence[Mark]) -> Fit | None:
    shifts = [first.time - strokes[0].span.start]
    ours = {first.time}
    for stroke in strokes[1:]:
        target = stroke.span.start + shifts[0]
        nearest = _nearest(target, stroke.not_before, others)
        slack = max(stroke.span.seconds, strokes[0].span.seconds, LATENESS)
        if nearest is None or abs(nearest - target) > slack:
            return None
        shifts.append(nearest - stroke.span.start)
        ours.add(nearest)
    middle = median(shifts)
    distances = sorted(abs(shift - middle) for shift in shifts)[1:]  # the median's own distance says nothing
    p_values = [_p_value(distance, others) for distance in distances]
    blur = max(ALONE, BLUR * distances[-1], strokes[0].sluggishness)
    strangers = [mark for mark in others if mark.time not in ours]
    stand_in = _p_value(abs(shifts[0] - median(shifts[1:] or shifts)), strangers)
    return Fit(index, middle, blur, fisher(p_values), stand_in)


def _p_value(distance: float, others: Sequence[Mark]) -> float:
    """How likely one of them is as near as this by chance."""
    return 1 - exp(-2 * _density(others) * max(distance, GRAIN))


def _nearest(target: float, not_before: float, others: Sequence[Mark]) -> float | None:
    """The time of the nearest mark that may be meant, less than a second away; looked for from the target outwards."""
    after = bisect_left(others, target, key=lambda mark: mark.time)
    before = after - 1
    while True:
        early = target - others[before].time if before >= 0 else inf
        late = others[after].time - target if after < len(others) else inf
        if min(early, late) >= 1:
            return None
        nearest = others[before] if early <= late else others[after]
        if nearest.arrival >= not_before:
            return nearest.time
        before, after = (before - 1, after) if early <= late else (before, after + 1)


def _density(others: Sequence[Mark]) -> float:
    """Marks per second where they come thickest, for strangers come in bursts: another probe's beats are one.

    One more than seen, because what was lost may have had company.
    """
    times = [mark.time for mark in others]
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
