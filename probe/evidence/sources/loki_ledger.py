"""What was delivered, so that nothing is delivered twice: Loki has no cursor. Pure.

Rules:
- Loki keeps a line once per stream and stamp. So (stream, stamp, line) is one entry, however often it is told.
- Queries and tails may render the labels of one stream differently (parsed labels, structured metadata), so streams
  are compared within one way only. Across ways an entry is new if its way has now told it of more streams than
  any way had before: two pods that log the same words at the same nanosecond are two lines.
- What is older than `floor` is not remembered. A query's entry from there is taken for old: an old line that is
  taken for a new one could prove something false. A tail tells what has just come in, so its entry is new.
- At most `most` entries are remembered; then the oldest second goes, and the floor rises.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import Enum

from probe.evidence.loki import SECOND, Entry


class Way(Enum):
    """How an entry came."""

    QUERY = 0
    TAIL = 1


_Told = dict[int, tuple[tuple[int, ...], tuple[int, ...]]]
"""Stamp and line -> the streams of which queries told it, and those of which tails did."""


class Ledger:
    """The entries of the last minutes. `newest` is the latest stamp seen, `floor` the earliest one remembered."""

    def __init__(self, floor: int = 0, *, most: int = 100_000) -> None:
        self.floor = floor
        self.newest: int | None = None
        self._most = most
        self._size = 0
        self._seconds: dict[int, _Told] = {}

    def fresh(self, entries: Iterable[Entry], way: Way) -> list[Entry]:
        """Those of the entries that are new; from now on they are not."""
        return [entry for entry in entries if self._is_new(entry, way)]

    def forget(self, before: int) -> None:
        """Nobody will ask for what is older than this."""
        self.floor = max(self.floor, before)
        for second in [second for second in self._seconds if (second + 1) * SECOND <= before]:
            self._drop(second)

    def _is_new(self, entry: Entry, way: Way) -> bool:
        if entry.at < self.floor and way is Way.QUERY:
            return False
        self.newest = max(self.newest or 0, entry.at)
        told = self._seconds.setdefault(entry.at // SECOND, {})
        key = hash((entry.at, entry.line))
        before = told.get(key, ((), ()))
        if entry.stream in before[way.value]:
            return False
        streams = (*before[way.value], entry.stream)
        told[key] = (streams, before[1]) if way is Way.QUERY else (before[0], streams)
        if not any(before):
            self._size += 1
            self._make_room()
        return len(streams) > max(map(len, before))

    def _make_room(self) -> None:
        while self._size > self._most:
            oldest = min(self._seconds)
            self._drop(oldest)
            self.floor = max(self.floor, (oldest + 1) * SECOND)

    def _drop(self, second: int) -> None:
        self._size -= len(self._seconds.pop(second))
