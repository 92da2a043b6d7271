"""Tell systemd how the daemon fares: ready, reloading, stopping, alive. Without systemd nothing happens.

The protocol is sd_notify(3): datagrams of `NAME=value` lines to the socket that $NOTIFY_SOCKET names; one that begins
with `@` is in the abstract namespace. A watchdog wants `WATCHDOG=1` more often than every $WATCHDOG_USEC.
"""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Mapping


class Systemd:
    """The service manager as the daemon sees it."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        place = environment.get("NOTIFY_SOCKET", "")
        self._place = "\0" + place[1:] if place.startswith("@") else place
        self._watchdog = _watchdog_seconds(environment)
        self._owes_ready = False

    @property
    def watchdog(self) -> float | None:
        """Seconds within which a sign of life is wanted; None: no watchdog."""
        return self._watchdog

    def ready(self, status: str) -> None:
        """The daemon is ready, or has taken its new configuration; said again, as a sign of life, until heard."""
        self._owes_ready = not self._notify(f"READY=1\nSTATUS={_line(status)}")

    def reloading(self) -> None:
        """The configuration is being read again (Type=notify-reload wants the moment)."""
        self._owes_ready = False
        self._notify(f"RELOADING=1\nMONOTONIC_USEC={time.monotonic_ns() // 1000}")

    def stopping(self) -> None:
        """The daemon ends."""
        self._notify("STOPPING=1")

    def alive(self, status: str) -> None:
        """A sign of life, with one line that `systemctl status` shows."""
        if self._owes_ready:
            self.ready(status)
        self._notify(f"WATCHDOG=1\nSTATUS={_line(status)}")

    def _notify(self, text: str) -> bool:
        """False where the manager has too much to hear now: nobody here waits for it."""
        if not self._place:
            return True
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as speaker:
                speaker.settimeout(0)
                speaker.sendto(text.encode(), self._place)
        except BlockingIOError:
            return False
        except OSError:
            return True  # a manager that does not listen is none of the mail server's business
        return True


def _line(text: str) -> str:
    return text.replace("\n", " ")[:512]


def _watchdog_seconds(environment: Mapping[str, str]) -> float | None:
    """$WATCHDOG_USEC as seconds; it is ours only where $WATCHDOG_PID names us or nobody (sd_watchdog_enabled(3))."""
    microseconds, process = environment.get("WATCHDOG_USEC", ""), environment.get("WATCHDOG_PID", str(os.getpid()))
    if not microseconds.isdigit() or int(microseconds) == 0 or process != str(os.getpid()):
        return None
    return int(microseconds) / 1e6
