"""The mail server's log: one file, written as syslog writes it (RFC 3164 headers, local time, whole seconds).

    Nov 22 18:29:06 mail postfix/smtpd[11186]: connect from unknown[192.168.1.10]
    Nov 22 18:29:07 mail dovecot: imap-login: Disconnected: Aborted login by logging out (no auth attempts …

- A Postfix process serves one client at a time and is used again by the next: so are the process numbers here. Whoever
  joins a `connect` to its `disconnect` by process number alone is wrong as often as on a real server.
- Every line goes to the file at once. What is not printable is logged as `?`, as Postfix does: a client writes no line.
"""

from __future__ import annotations

import heapq
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
FIRST_PROCESS = 11185


def header(now: float) -> str:
    """RFC 3164 time stamp; month names are English whatever the locale says.

    >>> len(header(0.0))
    15
    """
    local = time.localtime(now)
    return f"{MONTHS[local.tm_mon - 1]} {local.tm_mday:2d} {time.strftime('%H:%M:%S', local)}"


def printable(text: str) -> str:
    """Postfix's printable(): anything that could start or hide a line becomes a question mark."""
    return "".join(character if character.isprintable() and character.isascii() else "?" for character in text)


class MailLog:
    """One log file for the whole mail server. `ahead`: seconds by which its clock is ahead of this machine's."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.ahead = 0.0
        self._file = path.open("a", encoding="ascii", buffering=1)
        self._idle: list[int] = []
        self._processes = FIRST_PROCESS

    def write(self, tag: str, message: str) -> None:
        """Append one line. `tag` is what stands before the colon: `postfix/smtpd[11186]` or `dovecot`."""
        self._file.write(f"{header(time.time() + self.ahead)} mail {tag}: {printable(message)}\n")

    @contextmanager
    def process(self) -> Iterator[int]:
        """The number of a server process that nobody else has meanwhile."""
        if not self._idle:
            self._processes += 1
            self._idle.append(self._processes)
        number = heapq.heappop(self._idle)
        try:
            yield number
        finally:
            heapq.heappush(self._idle, number)

    def reopen(self) -> None:
        """Go on in a new file at the same path, as a log daemon does that is told of a rotation."""
        self._file.close()
        self._file = self.path.open("a", encoding="ascii", buffering=1)

    def close(self) -> None:
        """Close the file."""
        self._file.close()
