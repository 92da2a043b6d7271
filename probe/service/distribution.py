"""How seconds are distributed: what a histogram shows, kept as plain counts. Pure."""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass, field

PHASE_BOUNDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
"""Upper bounds in seconds: from one network round trip to a session's longest life."""


@dataclass(frozen=True, slots=True)
class Example:
    """One of the sessions counted in a bucket: which one, how many seconds, when (the probe's clock)."""

    session: str
    seconds: float
    at: float


@dataclass(slots=True)
class Distribution:
    """Counts by bucket, the last bucket for what lies above all bounds; `examples` is the latest of each bucket."""

    bounds: tuple[float, ...] = PHASE_BOUNDS
    counts: list[int] = field(init=False)
    total: float = 0.0
    examples: list[Example | None] = field(init=False)

    def __post_init__(self) -> None:
        self.counts = [0] * (len(self.bounds) + 1)
        self.examples = [None] * (len(self.bounds) + 1)

    def add(self, seconds: float, session: str, at: float) -> None:
        """Count one."""
        bucket = bisect_left(self.bounds, seconds)
        self.counts[bucket] += 1
        self.total += seconds
        self.examples[bucket] = Example(session, seconds, at)
