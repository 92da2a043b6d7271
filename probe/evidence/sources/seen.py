"""The latest lines of one log, so that it can be read again from a point in time without doubling or losing any.

Rules:
- A log that is read again begins at a whole second (the API rounds down), so lines come that were delivered before.
  They are told by time stamp and text; as many as were seen are known, and no more: lines may be equal.
- `since` is a margin before the latest line, in file order: lines of two streams (stdout, stderr) may be out of the
  order of their stamps. All lines from `since` on are remembered.
- Bounded: after MOST lines within the margin `since` moves up, though never past the latest line: a clock that was set
  back far, or a flood, may double lines, but not hide what comes.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterable
from math import floor

MARGIN = 1.0
"""Seconds before the whole second of the latest line; stamps of two streams differ by milliseconds."""

LEAST = 1000
"""So many lines are remembered however old, for clocks that are set back."""

MOST = 200_000


class Seen:
    """What was read of one log.

    >>> seen = Seen()
    >>> seen.remember_all([(12.5, b"a"), (12.5, b"a")])
    >>> seen.since
    11
    >>> seen.expect()
    >>> [seen.known(b"a") for _ in range(3)]
    [True, True, False]
    """

    def __init__(self, *, least: int = LEAST, most: int = MOST) -> None:
        self._least = least
        self._most = most
        self._lines: deque[tuple[float, int]] = deque()
        self._counts: Counter[int] = Counter()
        self._expected: Counter[int] = Counter()
        self._forgotten: float | None = None

    def __bool__(self) -> bool:
        return bool(self._lines)

    @property
    def since(self) -> int | None:
        """The second from which on to read again; None before the first line."""
        if not self._lines:
            return None
        latest = self._lines[-1][0]
        margin = floor(latest - MARGIN)
        return margin if self._forgotten is None else min(floor(latest), max(margin, floor(self._forgotten) + 1))

    def expect(self) -> None:
        """The log is read again from `since` on: every line remembered may come once more."""
        self._expected = Counter(self._counts)

    def known(self, line: bytes) -> bool:
        """True if this line, with its stamp, was seen before it was read again."""
        key = hash(line)
        if self._expected[key] <= 0:
            return False
        self._expected[key] -= 1
        return True

    def remember_all(self, lines: Iterable[tuple[float, bytes]]) -> None:
        """More lines, each as the seconds of its stamp and the line with its stamp."""
        for seconds, line in lines:
            key = hash(line)
            self._lines.append((seconds, key))
            self._counts[key] += 1
        while self._dispensable():
            self._forget()

    def _dispensable(self) -> bool:
        if not (held := len(self._lines)):
            return False
        past = self._lines[0][0] < floor(self._lines[-1][0] - MARGIN)
        return held > self._most or (held > self._least and past)

    def _forget(self) -> None:
        seconds, key = self._lines.popleft()
        self._forgotten = seconds if self._forgotten is None else max(self._forgotten, seconds)
        self._counts[key] -= 1
        if not self._counts[key]:
            del self._counts[key]
