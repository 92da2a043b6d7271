"""How long the history waits for what."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True, slots=True)
class Patience:
    """Bounds of time in seconds.

    `gather`: how long sessions wait for others to be written with them. `again`, `longest`: the first and the longest
    wait after a failure. `start`, `close`: how long opening and the last writing may hold up the daemon; `yields` of
    the first it waits for another process that still has the file. `answer`: how long a disk may take for a batch
    before it is said not to answer; longer than SQLite waits for another program's lock (opening.py). `prune`: between
    two looks for what is too old.
    """

    gather: float = 0.2
    again: float = 1.0
    longest: float = 60.0
    start: float = 3.0
    yields: float = 2.0
    answer: float = 5.0
    close: float = 1.0
    prune: float = 60.0


PATIENCE = Patience()
