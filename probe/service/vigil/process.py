"""Another process, for as long as it lives: the change that is watched.

- A number is given again: when a process started tells it from a later one of its number (proc_pid_stat(5), field 22).
- One that only waits for its parent to hear of its end (a zombie) has ended. One that may not be signalled, because it
  is another user's, lives.
"""

from __future__ import annotations

import os
from pathlib import Path

STATE, STARTED = 0, 19
"""Where they stand after the program's name, which may hold anything."""

ENDED = "ZXx"


class Process:
    """Whoever has this number now."""

    def __init__(self, number: int, proc: Path = Path("/proc")) -> None:
        self._number = number
        self._stat = proc / str(number) / "stat"
        self._started = self._told()

    @property
    def lives(self) -> bool:
        """Whether it has not ended yet; where /proc tells nothing, whether anybody has its number."""
        try:
            os.kill(self._number, 0)
        except ProcessLookupError:
            return False
        except PermissionError:
            pass
        told = self._told()
        if told is None:
            return True
        state, started = told
        return state not in ENDED and (self._started is None or started == self._started[1])

    def _told(self) -> tuple[str, str] | None:
        try:
            words = self._stat.read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
        except OSError:
            return None
        return (words[STATE], words[STARTED]) if len(words) > STARTED else None
