"""What one session writes down while it runs: phases with their times, and the transcript.

    with journal.phase(Phase.CONNECT):
        ...

gives the phase a duration whether it succeeds or not; the first phase that an exception leaves is where a session
failed.
What the server says is hostile until proven otherwise: here it is joined to whole lines (a secret that straddles two
reads would escape its mask), masked, made printable (a surrogate or an escape sequence must not reach a terminal),
and cut.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from probe.model import Phase, PhaseTiming, Spoken

Clock = Callable[[], float]
"""Seconds since the epoch on the probe's own clock; it never jumps within a process."""

KEPT_LINES = 200
KEPT_CHARACTERS = 500
MOST_OCTETS = 10_000
"""Of one read, and of a line without an end; masking comes before cutting, so it is more than KEPT_CHARACTERS."""


def printable(text: str) -> str:
    r"""The text with everything that is not printable escaped.

    >>> print(printable("a\x1b[2J\udcff"))
    a\x1b[2J\udcff
    """
    if text.isprintable():
        return text
    return "".join(sign if sign.isprintable() else sign.encode("unicode_escape").decode() for sign in text)


class Journal:
    """Phases and transcript of one session; bounded, whatever the server sends."""

    def __init__(self, clock: Clock, *, secrets: tuple[str, ...] = ()) -> None:
        self.clock = clock
        self.opened = clock()
        self.phases: list[PhaseTiming] = []
        self.failed: Phase | None = None
        self.reached = Phase.RESOLVE
        self.broke_handshake = False
        self.server_spoke = True
        self.transcript: list[Spoken] = []
        self._secrets = tuple(sorted((secret for secret in secrets if secret), key=len, reverse=True))
        self._unfinished = b""

    @contextmanager
    def phase(self, phase: Phase) -> Iterator[None]:
        """Time one phase, also when it ends in an exception."""
        begun = self.clock()
        self.reached = phase
        try:
            yield
        except BaseException:
            self.failed = self.failed or phase
            raise
        finally:
            self.phases.append(PhaseTiming(phase=phase, seconds=self.clock() - begun))

    def note(self, octets: bytes, *, ours: bool) -> None:
        """Keep whole lines of the transcript; a line of the server's without an end waits for the rest of it."""
        if len(self.transcript) >= KEPT_LINES:
            return
        octets = octets[:MOST_OCTETS]
        if ours:
            self._keep([self._unfinished] if self._unfinished else [], ours=False, whole=False)
            self._keep(octets.splitlines(), ours=True)
            self._unfinished = b""
            return
        *lines, unfinished = (self._unfinished + octets).split(b"\n")
        self._unfinished = unfinished[:MOST_OCTETS]
        self._keep(lines, ours=False)

    def told(self) -> tuple[Spoken, ...]:
        """The transcript, with what the server said last even if it never ended the line."""
        if self._unfinished:
            self._keep([self._unfinished], ours=False, whole=False)
            self._unfinished = b""
        return tuple(self.transcript)

    def plain(self, text: str) -> str:
        """A text as it may be kept and shown: masked, on one line, printable."""
        for secret in self._secrets:
            text = text.replace(secret, "****")
        return printable(" ".join(text.splitlines()))

    def _keep(self, lines: list[bytes], *, ours: bool, whole: bool = True) -> None:
        seconds = self.clock() - self.opened
        for line in lines[: KEPT_LINES - len(self.transcript)]:
            text = self.plain(line.rstrip(b"\r").decode("utf-8", "replace"))
            uncut = whole and len(text) <= KEPT_CHARACTERS
            self.transcript.append(Spoken(seconds, ours, text[:KEPT_CHARACTERS], uncut))
