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

from probe.evidence.events import Line, Observed, Stamp

FINE = 1e-6
"""Resolution in seconds of a stamp that tells two lines of one process apart."""

Said = tuple[str, int | None, str]


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


def are_alike(observed: Iterable[Observed]) -> bool:
    """True if these lines say the same to the letter, so that one source may have told one of them again."""
    told = list(observed)
    unnamed = {(seen.line.program, seen.line.message) for seen in told if seen.line.pid is None}
    return len({_said(seen.line, unnamed) for seen in told}) == 1


def _said(line: Line, unnamed: set[tuple[str, str]]) -> Said:
    return line.program, None if (line.program, line.message) in unnamed else line.pid, line.message
