"""Find a secret rhythm again in the server's own times.

The hard case is IMAPS without a login behind SNAT on a busy server: address and port are gone, and many lines fit
by time. So the probe opens a few more connections with a secret spacing. Dovecot's session ids carry the
microsecond at which they were made, so the spacing stands in the log, whatever the server's clock says.

    ours     |    |       |  |           one span each: when the id must have been made
    server     x |y  x|x    | z| x       candidates, shifted by an unknown offset
               ↑ the one shift under which every span has a candidate

Rule 1: every span must have a candidate; a rhythm with a gap proves nothing.
Rule 2: a fit is worth what chance would not give. Around the median shift, each distance d between a span's start
        and its nearest candidate has the p-value 1 - exp(-2·density·d); Fisher's method joins them; times the
        number of shifts tried.
Rule 3: two fits that chance would not give prove nothing.
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

LATENESS = 0.03
"""Seconds by which a moment may be late beyond its span: a process was scheduled, or a reader polled, that late."""

ANY_SHIFT = Span(-inf, inf)

WORSE = 100.0
"""The second best fit must be by this factor more likely chance than the best."""


@dataclass(frozen=True, slots=True)
class Fit:
    """A candidate for the first span, the shift it implies, and how likely chance alone gives as good a fit."""

    index: int
    shift: float
    chance: float


def best_fit(
    spans: Sequence[Span], firsts: Sequence[float], others: Sequence[float], shifts: Span = ANY_SHIFT
) -> Fit | None:
    """The fit of the rhythm, None where none stands out.

    `firsts` are times that may be the first span's, `others` (sorted) those that may be the rest's; `shifts` is what
    may lie between their clock and ours.
    """
    possible = [at for at, seen in enumerate(firsts) if shifts.start <= seen - spans[0].start <= shifts.end]
    density = _density(others)
    fits = [
        replace(fit, chance=min(1.0, fit.chance * len(possible)))
        for index in possible
        if (fit := _fit(index, spans, firsts[index], others, density))
    ]
    fits.sort(key=lambda fit: fit.chance)
    if not fits or (len(fits) > 1 and fits[1].chance < min(1.0, fits[0].chance * WORSE)):
        return None
    return fits[0]


def _fit(index: int, spans: Sequence[Span], seen: float, others: Sequence[float], density: float) -> Fit | None:
    first = spans[0]
    shifts = [seen - first.start]
    for span in spans[1:]:
        nearest = _nearest(span.start + shifts[0], others)
        if nearest is None or abs(nearest - span.start - shifts[0]) > max(span.seconds, first.seconds, LATENESS):
            return None  # further off than any latency we saw explains
        shifts.append(nearest - span.start)
    middle = median(shifts)
    distances = sorted(abs(shift - middle) for shift in shifts)[1:]  # the median's own distance says nothing
    p_values = [1 - exp(-2 * density * max(distance, GRAIN)) for distance in distances]
    return Fit(index, middle, fisher(p_values))


def _nearest(target: float, others: Sequence[float]) -> float | None:
    at = bisect_left(others, target)
    return min(others[max(0, at - 1) : at + 1], key=lambda other: abs(other - target), default=None)


def _density(others: Sequence[float]) -> float:
    """Candidates per second; one more than seen, because what was lost may have had company."""
    span = others[-1] - others[0] if len(others) > 1 else 0.0
    return (len(others) + 1) / max(span, 1.0)


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
