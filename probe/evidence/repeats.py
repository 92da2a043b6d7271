"""The same line told more than once: by several sources of one log, or twice by one whose shipper doubles lines.

Rule 1: what two sources tell is one line where program, pid and text agree. Their stamps need not: each may be another
        relay's. Of lines that one log has twice, each source tells the first and the second.
Rule 2: what one source tells twice is one line only where the stamps agree too, to the microsecond. A server may well
        write the same text twice in one second; not in one microsecond by one process.
Rule 3: a source that leaves out the pid says nothing against those that name it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Generic, TypeVar

from probe.evidence.events import Line, Observed, Stamp

FINE = 1e-6
"""Resolution in seconds of a stamp that tells two lines of one process apart."""

MOST_TOLD = 20_000
"""Lines that are remembered to know them again; some 10 MB. Sources lie minutes apart at worst."""

Said = tuple[str, int | None, str]
Key = TypeVar("Key")
Value = TypeVar("Value")


def without_repeats(observed: Iterable[Observed]) -> list[Observed]:
    """Each line once, as it came first."""
    told = list(observed)
    unnamed = {(seen.line.program, seen.line.message) for seen in told if seen.line.pid is None}
    exact: set[tuple[str, Said, Stamp]] = set()
    times: Counter[tuple[str, Said]] = Counter()
    most: Counter[Said] = Counter()
    kept = []
    for seen in told:
        said = _said(seen.line, unnamed)
        stamp = seen.line.stamp
        if stamp is not None and stamp.resolution <= FINE:
            if (seen.source, said, stamp) in exact:
                continue
            exact.add((seen.source, said, stamp))
        times[seen.source, said] += 1
        if times[seen.source, said] > most[said]:
            most[said] += 1
            kept.append(seen)
    return kept


class Telling:
    """The same of lines that go on coming, without an end: what was told long ago is forgotten.

    Processes are not told apart where two sources are compared, so rule 3 needs no knowledge of lines yet to come.
    """

    def __init__(self, most: int = MOST_TOLD) -> None:
        self._exact = _Recent[tuple[str, Said, Stamp], bool](most)
        self._told = _Recent[tuple[str, str], dict[str, int]](most)

    def is_new(self, source: str, line: Line) -> bool:
        """Whether nobody has told this line yet; it is told now."""
        if line.stamp is not None and line.stamp.resolution <= FINE:
            exactly = (source, (line.program, line.pid, line.message), line.stamp)
            if self._exact.get(exactly):
                return False
            self._exact.put(exactly, value=True)
        said = (line.program, line.message)
        times = self._told.get(said) or {}
        most = max(times.values(), default=0)
        times[source] = times.get(source, 0) + 1
        self._told.put(said, times)
        return times[source] > most


class _Recent(Generic[Key, Value]):
    """A mapping that forgets what was not looked up or put among the last so many."""

    def __init__(self, most: int) -> None:
        self._young: dict[Key, Value] = {}
        self._old: dict[Key, Value] = {}
        self._half = max(1, most // 2)

    def get(self, key: Key) -> Value | None:
        return self._young.get(key, self._old.get(key))

    def put(self, key: Key, value: Value) -> None:
        if len(self._young) >= self._half and key not in self._young:
            self._old, self._young = self._young, {}
        self._young[key] = value


def are_alike(observed: Iterable[Observed]) -> bool:
    """True if these lines say the same to the letter, so that one source may have told one of them again."""
    told = list(observed)
    unnamed = {(seen.line.program, seen.line.message) for seen in told if seen.line.pid is None}
    return len({_said(seen.line, unnamed) for seen in told}) == 1


def _said(line: Line, unnamed: set[tuple[str, str]]) -> Said:
    return line.program, None if (line.program, line.message) in unnamed else line.pid, line.message
