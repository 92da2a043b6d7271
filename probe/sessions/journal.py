"""What one session writes down while it runs: phases with their times, and the transcript.

    with journal.phase(Phase.CONNECT):
        ...

gives the phase a duration whether it succeeds or not; the first phase that an exception leaves is where a session
failed. The first phase begins with the journal, which may have begun `spent` seconds ago: with a lookup, before there
was a place for the session's connections.
What the server says is hostile until proven otherwise: here it is joined to whole lines (a secret that straddles two
reads would escape its mask), masked, made printable (a surrogate or an escape sequence must not reach a terminal),
and cut.
"""

from __future__ import annotations

from probe.model import Clock, Phase, PhaseTiming, Spoken, without

KEPT_LINES = 200
KEPT_CHARACTERS = 500
MOST_UNFINISHED = 10_000
"""Of one read, and of a line without an end; masking comes before cutting, so it is more than KEPT_CHARACTERS."""


def printable(text: str) -> str:
    r"""The text with everything that is not printable escaped.

    >>> print(printable("a\x1b[2J\udcff"))
    a\x1b[2J\udcff
    """
    if text.isprintable():
        return text
    return "".join(sign if sign.isprintable() else sign.encode("unicode_escape").decode() for sign in text)


class PhaseTimer:
    """A phase while it runs. A class, because a generator would cost three times as much, ten times a session."""

    __slots__ = ("_begun", "_journal", "_phase")

    def __init__(self, journal: Journal, phase: Phase) -> None:
        self._journal = journal
        self._phase = phase

    def __enter__(self) -> None:
        self._journal.reached = self._phase
        self._begun = self._journal.clock() if self._journal.phases else self._journal.opened

    def __exit__(self, _: object, error: BaseException | None, __: object) -> None:
        journal = self._journal
        if error is not None:
            journal.failed = journal.failed or self._phase
        journal.phases.append(PhaseTiming(phase=self._phase, seconds=journal.clock() - self._begun))


class Journal:
    """Phases and transcript of one session; bounded, whatever the server sends."""

    def __init__(self, clock: Clock, *, secrets: tuple[str, ...] = (), spent: float = 0.0) -> None:
        self.clock = clock
        self.opened = clock() - spent
        self.phases: list[PhaseTiming] = []
        self.failed: Phase | None = None
        self.reached = Phase.RESOLVE
        self.broke_handshake = False
        self.server_spoke = True
        self.transcript: list[Spoken] = []
        self._secrets = tuple(sorted((secret for secret in secrets if secret), key=len, reverse=True))
        self._unfinished = b""

    def phase(self, phase: Phase) -> PhaseTimer:
        """Time one phase, also when it ends in an exception."""
        return PhaseTimer(self, phase)

    def note(self, octets: bytes, *, ours: bool) -> None:
        """Keep whole lines of the transcript; a line of the server's without an end waits for the rest of it."""
        if len(self.transcript) >= KEPT_LINES:
            return
        octets = octets[:MOST_UNFINISHED]
        if ours:
            self._keep([self._unfinished] if self._unfinished else [], ours=False, whole=False)
            self._keep(octets.splitlines(), ours=True)
            self._unfinished = b""
            return
        *lines, unfinished = (self._unfinished + octets).split(b"\n")
        self._unfinished = unfinished[:MOST_UNFINISHED]
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
            text = without(text, secret)
        # No line break is printable, so most texts are plain as they are.
        return text if text.isprintable() else printable(" ".join(text.splitlines()))

    def _keep(self, lines: list[bytes], *, ours: bool, whole: bool = True) -> None:
        seconds = self.clock() - self.opened
        for line in lines[: KEPT_LINES - len(self.transcript)]:
            text = self.plain(line.rstrip(b"\r").decode("utf-8", "replace"))
            uncut = whole and len(text) <= KEPT_CHARACTERS
            self.transcript.append(Spoken(seconds, ours, text[:KEPT_CHARACTERS], uncut))
