"""When an endpoint's next session is due: turns on a grid, each a little off it. Pure.

Rules of this file:
- A turn is a multiple of the interval after `anchor`, so nothing drifts, however long sessions take or wait.
- Jitter moves a session off its turn and never the turns after it: probes do not march in step. The first turn has
  none, for somebody waits for it.
- A turn that passed while a session was still under way is left out, not made up for.
- Looking at what is due takes no turn, only a session does: who asks twice, as over a reload, hears the same moment.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from math import ceil, inf

FIRST_APART = 0.5
"""Seconds between the first sessions of two endpoints at most: a person who starts the daemon waits for them."""


@dataclass(slots=True)
class Turns:
    """The turns of one endpoint. `missed` counts turns left out.

    `turn`: the one that has its session next, or has it now; `due`: when.
    """

    anchor: float
    interval: float
    missed: int = 0
    turn: int = 0
    due: float = field(init=False)

    def __post_init__(self) -> None:
        self.due = self.anchor

    def go_on(self, now: float, off: float = 0.0) -> None:
        """This turn has had its session: the next one is due, so many seconds off the grid, `now` at the earliest."""
        passed = ceil((now - self.anchor) / self.interval)
        turn = max(self.turn + 1, passed)
        self.missed += turn - self.turn - 1
        self.turn = turn
        self.due = max(now, self._moment + off)

    def hurry(self, now: float) -> None:
        """A session is due at once: of this turn, or, where its moment has yet to come, of the one before once more."""
        if self.due > now:
            self.turn -= self._moment > now
            self.due = now

    @property
    def _moment(self) -> float:
        return self.anchor + self.turn * self.interval


@dataclass(kw_only=True, slots=True)
class Course:
    """How far an endpoint has come on its turns: all that it keeps over a reload.

    `connections`, `beats`: how many its last session took, `last`: when that one began; `bug`: how it failed by ours.
    `broken_off`: by a reload, so that it is repeated.
    """

    turns: Turns
    connections: int = 1
    beats: int = 0
    last: float = -inf
    bug: str = ""
    broken_off: bool = False


def anchors(count: int, interval: float, start: float) -> Iterator[float]:
    """Where the turns of so many endpoints begin: spread over the interval, and the first ones soon."""
    apart = min(FIRST_APART, interval / max(count, 1))
    return (start + number * apart for number in range(count))
