"""Find a secret rhythm again in the server's own times.

The hard case is IMAPS without a login behind SNAT on a busy server: address and port are gone, and many lines fit
by time. So the probe opens a few more connections with a secret spacing. Dovecot's session ids carry the
microsecond at which each connection came in, so the spacing stands in the log, whatever the server's clock says.

    ours     |    |       |  |           one moment each: connected … greeted
    server     x |y  x|x    | z| x       candidates, shifted by an unknown offset
               ↑ the one shift under which every moment has a candidate

Rule 1: every moment must have a candidate; a rhythm with a gap proves nothing.
Rule 2: a fit is worth what chance would not give. Each distance d between a moment and its nearest candidate has
        the p-value 1 - exp(-2·density·d); Fisher's method joins them; times the number of shifts tried.
Rule 3: two fits that chance would not give prove nothing.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from math import exp, log

GRAIN = 0.0005
"""Seconds: no distance counts as smaller, because no client knows its own connect time better than this."""

WORSE = 100.0
"""The second best fit must be by this factor more likely chance than the best."""


@dataclass(frozen=True, slots=True)
class Moment:
    """When the server must have seen a connection, on the probe's clock: connected, and at the latest greeted."""

    connected: float
    greeted: float


@dataclass(frozen=True, slots=True)
class Fit:
    """A candidate for the first moment, the shift it implies, and how likely chance alone gives as good a fit."""

    index: int
    shift: float
    chance: float


def best_fit(moments: Sequence[Moment], firsts: Sequence[float], others: Sequence[float]) -> Fit | None:
    """The fit of the rhythm, None where none stands out.

    `firsts` are server times that may be the first moment's, `others` (sorted) those that may be the rest's.
    """
    fits = sorted(_fits(moments, firsts, others), key=lambda fit: fit.chance)
    if not fits:
        return None
    if len(fits) > 1 and fits[1].chance < min(1.0, fits[0].chance * WORSE):
        return None
    return fits[0]


def _fits(moments: Sequence[Moment], firsts: Sequence[float], others: Sequence[float]) -> list[Fit]:
    first, rest = moments[0], moments[1:]
    density = _density(others)
    fits = []
    for index, seen in enumerate(firsts):
        shift = seen - first.connected
        distances = [_distance(moment, shift, first, others) for moment in rest]
        if all(distance is not None for distance in distances):
            p_values = [1 - exp(-2 * density * max(distance or 0.0, GRAIN)) for distance in distances]
            fits.append(Fit(index, shift, min(1.0, len(firsts) * fisher(p_values))))
    return fits


def _distance(moment: Moment, shift: float, first: Moment, others: Sequence[float]) -> float | None:
    """How far the nearest candidate is from where this moment should be; None beyond what latency explains."""
    target = moment.connected + shift
    at = bisect_left(others, target)
    nearest = min((abs(other - target) for other in others[max(0, at - 1) : at + 1]), default=None)
    slack = max(moment.greeted - moment.connected, first.greeted - first.connected)
    return nearest if nearest is not None and nearest <= slack else None


def _density(others: Sequence[float]) -> float:
    """Candidates per second; one more than seen, because what was lost may have had company."""
    span = others[-1] - others[0] if len(others) > 1 else 0.0
    return (len(others) + 1) / max(span, 1.0)


def fisher(p_values: Sequence[float]) -> float:
    """Probability that chance gives a product of p-values as small as this one (Fisher 1925, for independent ones).

    >>> round(fisher([0.5]), 3)
    0.5
    """
    product = 1.0
    for p_value in p_values:
        product *= max(p_value, 1e-12)
    term, total = 1.0, 0.0
    for number in range(len(p_values)):
        total += term
        term *= -log(product) / (number + 1)
    return min(1.0, product * total)
