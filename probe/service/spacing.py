"""When the next connection may come in, so that each can be told from all others of ours by when it did.

The spacing is drawn at random and nobody else knows it: it is the rhythm (rhythms.py).

Rules of this file:
- Connections to one host never come in together.
- Those to different hosts may lead to one server, whose log shows them under one address: they are kept apart too, as
  long as that makes none wait for longer than ELSEWHERE. Of so many that it would, some come in together, and then
  another session is opened for the verdict (cycle.py).
"""

from __future__ import annotations

from collections.abc import Callable
from math import inf

SPACING = (0.06, 0.25)
"""Seconds between two connections: wider than the jitter of a busy server, short enough for a round of beats to be done
in a second."""

ELSEWHERE = 2.0
"""Seconds that a connection waits at most for those to other hosts."""


class Spacing:
    """The moments that were given away last, by host."""

    def __init__(self) -> None:
        self._hosts: dict[str, float] = {}
        self._anywhere = -inf

    def take(self, host: str, now: float, apart: float) -> float:
        """The moment of the next connection to a host, by the clock of `now`; for so long after it none comes in."""
        due = max(now, self._hosts.get(host, now))
        if self._anywhere <= now + ELSEWHERE:
            due = max(due, self._anywhere)
        self._hosts[host] = due + apart
        self._anywhere = max(self._anywhere, due + apart)
        return due

    def only(self, wanted: Callable[[str], bool]) -> None:
        """No other host is connected to any more."""
        self._hosts = {host: at for host, at in self._hosts.items() if wanted(host)}
