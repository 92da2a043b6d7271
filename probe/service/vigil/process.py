"""Another process, for as long as it lives: the change that is watched.

- A number is given again: when a process started tells it from a later one of its number (proc_pid_stat(5), field 22).
- One that only waits for its parent to hear of its end (a zombie) has ended. One that may not be signalled, because it
  is another user's, lives.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

STATE, PARENT, STARTED = 0, 1, 19
"""Where they stand after the program's name, which may hold anything."""

ENDED = "ZXx"


PROC = Path("/proc")


class Told(NamedTuple):
    """What /proc tells of a process."""

    state: str
    parent: int
    started: str


class Process:
    """Whoever has this number now."""

    def __init__(self, number: int, proc: Path = PROC) -> None:
        self._number = number
        self._proc = proc
        self._first = _told(number, proc)

    @property
    def lives(self) -> bool:
        """Whether it has not ended yet; where /proc tells nothing, whether anybody has its number."""
        try:
            os.kill(self._number, 0)
        except ProcessLookupError:
            return False
        except PermissionError:
            pass
        told = _told(self._number, self._proc)
        if told is None:
            return True
        return told.state not in ENDED and (self._first is None or told.started == self._first.started)


def ancestors(number: int, proc: Path = PROC) -> Iterator[int]:
    """Who began this process, who began that one, and so on, as far as /proc tells."""
    while (told := _told(number, proc)) is not None and told.parent:
        number = told.parent
        yield number


def _told(number: int, proc: Path) -> Told | None:
    try:
        words = (proc / str(number) / "stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
    except OSError:
        return None
    return Told(words[STATE], int(words[PARENT]), words[STARTED]) if len(words) > STARTED else None
