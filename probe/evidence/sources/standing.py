"""How a source fares, kept as it goes: its state, its counts, and what a person is told of it.

A reason is said once, when the state or the reason changes, never again while it stays. Trouble that has a kind, and
gaps, are said once in AGAIN seconds, however often they come and go and whatever else their reason says.
"""

from __future__ import annotations

import math
import time
from typing import TYPE_CHECKING

from probe.evidence.sources.source import Health, Lines, State
from probe.notices import warn

if TYPE_CHECKING:
    from probe.evidence.events import Stamp

AGAIN = 600.0


class Standing:
    """The health of one source, for the source to write and others to read as `health`."""

    def __init__(self, source: str) -> None:
        self._source = source
        self._state, self._reason = State.WAITING, "not started"
        self._lines = self._gaps = self._cut = 0
        self._last_line_at: float | None = None
        self._said: dict[str, float] = {}

    @property
    def health(self) -> Health:
        """A snapshot."""
        return Health(
            state=self._state,
            reason=self._reason,
            lines=self._lines,
            last_line_at=self._last_line_at,
            gaps=self._gaps,
            cut=self._cut,
        )

    def tell(self, state: State, reason: str = "", *, kind: str = "") -> None:
        """Take note of a state; a person hears of it where it has a reason that was not the last one."""
        if (state, reason) == (self._state, self._reason):
            return
        self._state, self._reason = state, reason
        if reason and (not kind or self._is_news(kind)):
            warn("log source " + state, source=self._source, reason=reason)

    def say(self, reason: str, *, kind: str) -> None:
        """A person should hear of something that leaves the state as it is."""
        if self._is_news(kind):
            warn("log source in trouble", source=self._source, reason=reason)

    def arrived(self, arrival: float, text: bytes, stamps: tuple[Stamp | None, ...] = ()) -> Lines:
        """Count lines on their way to the consumer."""
        self._lines += text.count(b"\n")
        self._last_line_at = arrival
        return Lines(arrival, text, stamps)

    def gap(self, reason: str, next_step: str) -> None:
        """Lines are or may be lost."""
        self._gaps += 1
        if self._is_news(reason):
            warn("log lines may be lost", source=self._source, reason=reason, next_step=next_step)

    def cut(self, lines: int = 1) -> None:
        """So many lines were too long to be passed on whole."""
        self._cut += lines

    def _is_news(self, kind: str) -> bool:
        """True unless it was said lately; kinds are of the program's making and few."""
        now = time.monotonic()
        lately = now - self._said.get(kind, -math.inf) < AGAIN
        if not lately:
            self._said[kind] = now
        return not lately
