"""Observed lines, kept while a session may need them: those that arrived since the oldest one under way began.

Rules of this file:
- What a session may need is never let go, but for the bound MOST.
- To find what arrived since a moment costs as much as there is of it, however much is kept. Sources stamp arrivals
  each for itself, so they are not quite in order: `_latest` is the latest arrival up to each line, which is.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import count
from math import inf

from probe.evidence.events import Observed

FEW = 2_000
"""Lines that stay whether they are needed or not (some 2 MB): to look for what may go costs time too."""

MOST = 50_000
"""The oldest half goes when there are more (some 25 MB)."""


class Shelf:
    """Lines in the order in which they were put here.

    `forgotten_until`: when the last line arrived that was let go although a session may need it.
    """

    def __init__(self, few: int = FEW, most: int = MOST) -> None:
        self._few, self._most = min(few, most // 2), most
        self._lines: list[Observed] = []
        self._latest: list[float] = []
        self._needed: dict[int, float] = {}
        self._numbers = count()
        self._enough = self._few
        self.forgotten_until = -inf

    def __len__(self) -> int:
        return len(self._lines)

    def put(self, found: Sequence[Observed]) -> None:
        """Keep these too."""
        latest = self._latest[-1] if self._latest else -inf
        for seen in found:
            latest = max(latest, seen.arrival)
            self._lines.append(seen)
            self._latest.append(latest)
        if len(self._lines) > self._enough:
            self._let_go()

    def since(self, moment: float) -> Sequence[Observed]:
        """What arrived at this moment or later."""
        begin = bisect_left(self._latest, moment)
        return [seen for seen in self._lines[begin:] if seen.arrival >= moment]

    @contextmanager
    def needed_since(self, moment: float) -> Iterator[None]:
        """Within this, whatever arrives from this moment on is kept."""
        number = next(self._numbers)
        self._needed[number] = moment
        try:
            yield
        finally:
            del self._needed[number]

    def _let_go(self) -> None:
        unneeded = bisect_left(self._latest, min(self._needed.values(), default=inf))
        too_many = self._most // 2 if len(self._lines) > self._most else 0
        gone = max(min(unneeded, len(self._lines) - self._few), too_many)
        if gone > unneeded:
            self.forgotten_until = self._latest[gone - 1]
        del self._lines[:gone]
        del self._latest[:gone]
        self._enough = min(max(2 * len(self._lines), 2 * self._few), self._most)
