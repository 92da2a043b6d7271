"""What a row of the PATTERNS tables is made of.

Rules of this file:
- A pattern knows its lines by program and by `opening`, how all its messages start: an attacker's text never stands
  at the start of a message. The reader skips every line that opens otherwise.
- The first row whose program and opening fit decides alone. Its `read` gets the whole message and answers None, or
  raises ValueError, where the rest of the message is not what this server writes.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from probe.evidence.events import Event, Line

LEVEL = r"(?>(?:(?:Debug|Info|Warning|Error|Fatal|Panic): )?)"
"""Dovecot's own log file tells the level before the message; syslog does not."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Pattern:
    """One kind of log line. `programs` are endings: `/smtpd` is smtpd under any syslog_name.

    `repeats`: the same message comes again and again and always says the same, so that what it said is remembered.
    """

    name: str
    programs: tuple[str, ...]
    opening: str
    read: Callable[[str, float], Event | None]
    meaning: str
    repeats: bool = False

    def event(self, message: str, now: float) -> Event | None:
        """What a message with this opening says, None if it says nothing for sure."""
        try:
            return self.read(message, now)
        except ValueError:
            return None


class Table:
    """Patterns made ready for looking up."""

    def __init__(self, patterns: tuple[Pattern, ...]) -> None:
        self._of_program = {
            ending: (re.compile(LEVEL + "(?:" + "|".join(f"({row.opening})" for row in rows) + ")"), rows)
            for ending in {ending for row in patterns for ending in row.programs}
            if (rows := [row for row in patterns if ending in row.programs])
        }

    def find(self, line: Line) -> tuple[Pattern, str] | None:
        """The row that decides about this line, and its message without a level."""
        program = " " + line.program
        for ending, (openings, rows) in self._of_program.items():
            if program.endswith(ending):
                match = openings.match(line.message)
                group = match.lastindex if match else None
                return (rows[group - 1], line.message[match.start(group) :]) if match and group else None
        return None

    def parse(self, line: Line, now: float) -> Event | None:
        """The event of this line, None for the many lines that are none."""
        found = self.find(line)
        return found[0].event(found[1], now) if found else None
