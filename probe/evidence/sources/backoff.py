"""How long a network source waits before it tries again.

Rules:
- The wait doubles from `first` to `most`. Half of it is left to chance, so that what broke for many at once is not
  asked again by all of them at once.
- Who is told how long to wait (Retry-After) waits at least so long, within `LONGEST`: a source that may be told to
  stay away for a day would be no source.
- A success forgets the failures before it. What only connects and breaks again is no success: say `succeeded` when
  the other side has done what it was asked for.

>>> backoff = Backoff(first=1.0, most=8.0, chance=lambda: 1.0)
>>> [backoff.failed() for _ in range(5)]
[1.0, 2.0, 4.0, 8.0, 8.0]
>>> backoff.failed(at_least=20.0)
20.0
>>> backoff.succeeded()
>>> backoff.failed()
1.0
"""

from __future__ import annotations

from collections.abc import Callable
from random import SystemRandom

LONGEST = 300.0
"""Seconds; nobody makes a source wait longer."""

_random = SystemRandom().random


class Backoff:
    """The waits of one connection. `chance` gives a number in [0, 1]."""

    def __init__(self, *, first: float = 0.25, most: float = 15.0, chance: Callable[[], float] = _random) -> None:
        self._first = first
        self._most = most
        self._chance = chance
        self.failures = 0

    def failed(self, *, at_least: float = 0.0) -> float:
        """Seconds to wait after this failure; `at_least` is what the other side asked for."""
        whole = min(self._most, self._first * 2.0 ** min(self.failures, 16))
        self.failures += 1
        return min(LONGEST, max(at_least, whole * (0.5 + 0.5 * self._chance())))

    def succeeded(self) -> None:
        """It did what it was asked for: the next failure is a first one."""
        self.failures = 0
