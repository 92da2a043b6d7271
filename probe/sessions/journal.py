"""What one session writes down while it runs: phases with their times, and the transcript.

    with journal.phase(Phase.CONNECT):
        ...

gives the phase a duration whether it succeeds or not; the first phase that an exception leaves is where a session
failed.
Secrets are masked here, before anything is kept.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from probe.model import Phase, PhaseTiming, Spoken

Clock = Callable[[], float]
"""Seconds since the epoch on the probe's own clock; it never jumps within a process."""

KEPT_LINES = 200
KEPT_CHARACTERS = 500


class Journal:
    """Phases and transcript of one session; bounded, whatever the server sends."""

    def __init__(self, clock: Clock, *, secrets: tuple[str, ...] = ()) -> None:
        self.clock = clock
        self.opened = clock()
        self.phases: list[PhaseTiming] = []
        self.failed: Phase | None = None
        self.server_spoke = True
        self.transcript: list[Spoken] = []
        self._secrets = tuple(secret for secret in secrets if secret)

    @contextmanager
    def phase(self, phase: Phase) -> Iterator[None]:
        """Time one phase, also when it ends in an exception."""
        begun = self.clock()
        try:
            yield
        except BaseException:
            self.failed = self.failed or phase
            raise
        finally:
            self.phases.append(PhaseTiming(phase=phase, seconds=self.clock() - begun))

    def note(self, text: bytes, *, ours: bool) -> None:
        """Keep lines of the transcript, cut and masked."""
        if len(self.transcript) >= KEPT_LINES:
            return
        seconds = self.clock() - self.opened
        for line in text[: KEPT_CHARACTERS * 20].decode("utf-8", "replace").splitlines():
            self.transcript.append(Spoken(seconds, ours, self._masked(line)[:KEPT_CHARACTERS]))

    def heard(self) -> list[str]:
        """What the server said, line by line."""
        return [spoken.text for spoken in self.transcript if not spoken.ours]

    def _masked(self, line: str) -> str:
        for secret in self._secrets:
            line = line.replace(secret, "****")
        return line
