"""When an endpoint's next session is due: turns on a grid, each a little off it. Pure but for the dice passed in.

Rules of this file:
- A turn is a multiple of the interval after `anchor`, so nothing drifts, however long sessions take or wait.
- Jitter moves a session off its turn and never the turns after it: probes do not march in step. The first turn has
  none, for somebody waits for it.
- A turn that passed while a session was still under way is left out, not made up for.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import ceil
from random import Random

FIRST_APART = 0.5
"""Seconds between the first sessions of two endpoints at most: a person who starts the daemon waits for them."""


@dataclass(slots=True)
class Turns:
    """The turns of one endpoint. `jitter` is a share of the interval; `missed` counts turns left out."""

    anchor: float
    interval: float
    jitter: float
    random: Random
    missed: int = 0
    _taken: int = -1

    def next(self, now: float) -> float:
        """When the next session is due, `now` at the earliest; each call takes one turn."""
        passed = ceil((now - self.anchor) / self.interval) if self._taken >= 0 else 0
        turn = max(self._taken + 1, passed)
        self.missed += turn - self._taken - 1
        self._taken = turn
        off = self.random.uniform(-self.jitter, self.jitter) * self.interval if turn else 0.0
        return max(now, self.anchor + turn * self.interval + off)


def anchors(count: int, interval: float, start: float) -> Iterator[float]:
    """Where the turns of so many endpoints begin: spread over the interval, and the first ones soon."""
    apart = min(FIRST_APART, interval / max(count, 1))
    return (start + number * apart for number in range(count))
