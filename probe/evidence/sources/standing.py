"""How a source fares, kept as it goes: its state, its counts, and what a person is told of it.

A reason is said when the state or the reason changes, never again while it stays; and of one kind (by default the
reason itself) once in a while only, however often it comes and goes and whatever else it says (`Once`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from probe.evidence.sources.source import Health, Lines, State
from probe.notices import Once

if TYPE_CHECKING:
    from probe.evidence.events import Stamp


class Standing:
    """The health of one source, for the source to write and others to read as `health`."""

    def __init__(self, source: str, once: Once | None = None) -> None:
        self._source = source
        self._once = once or Once()
        self._state, self._reason = State.WAITING, "not started"
        self._lines = self._gaps = self._cut = 0
        self._last_line_at: float | None = None

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
        if reason:
            self._once.warn("log source " + state, kind=kind or reason, source=self._source, reason=reason)

    def say(self, reason: str, *, kind: str) -> None:
        """A person should hear of something that leaves the state as it is."""
        self._once.warn("log source in trouble", kind=kind, source=self._source, reason=reason)

    def arrived(self, arrival: float, text: bytes, stamps: tuple[Stamp | None, ...] = ()) -> Lines:
        """Count lines on their way to the consumer."""
        self._lines += text.count(b"\n")
        self._last_line_at = arrival
        return Lines(arrival, text, stamps)

    def gap(self, reason: str, next_step: str, *, kind: str = "") -> None:
        """Lines are or may be lost."""
        self._gaps += 1
        fields = {"source": self._source, "reason": reason, "next_step": next_step}
        self._once.warn("log lines may be lost", kind=kind or reason, **fields)

    def cut(self, lines: int = 1) -> None:
        """So many lines were too long to be passed on whole."""
        self._cut += lines
