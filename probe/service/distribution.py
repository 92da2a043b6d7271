"""How seconds are distributed: what a histogram shows, kept as plain counts. Pure."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
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

    def copy(self) -> Distribution:
        """As it is now."""
        same = Distribution(self.bounds)
        same.counts, same.total, same.examples = self.counts.copy(), self.total, self.examples.copy()
        return same


def summed(parts: Sequence[Distribution]) -> Distribution:
    """A distribution of its own with what several of the same bounds count together."""
    whole = Distribution(parts[0].bounds) if parts else Distribution()
    for part in parts:
        whole.counts = [mine + theirs for mine, theirs in zip(whole.counts, part.counts, strict=True)]
        whole.total += part.total
        pairs = zip(whole.examples, part.examples, strict=True)
        whole.examples = [_later(mine, theirs) for mine, theirs in pairs]
    return whole


def _later(one: Example | None, other: Example | None) -> Example | None:
    return other if one is None or (other is not None and other.at > one.at) else one
