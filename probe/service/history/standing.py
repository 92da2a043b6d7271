"""How the history fares, and what a person is told of it: each kind of trouble once, and that it is over."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from probe.service.history.faults import HistoryTrouble

AGAIN = 600.0
"""Seconds in which the same kind of trouble is said once, however often it comes and goes."""


class Standing:
    """The trouble there is, None while all is well. Use within one event loop."""

    def __init__(self, warn: Callable[..., None]) -> None:
        self.trouble: HistoryTrouble | None = None
        self._warn = warn
        self._said: dict[str, float] = {}
        self._is_told = False

    def tell(self, trouble: HistoryTrouble) -> None:
        """Sessions cannot be written."""
        self.trouble = trouble
        self._is_told |= self.say(trouble.kind, "history: sessions are not written down", reason=trouble.reason)

    def recovered(self, **fields: object) -> None:
        """They can be again."""
        if self.trouble is not None and self._is_told:
            self._warn("history: sessions are written down again", **fields)
        self.trouble, self._is_told = None, False

    def say(self, kind: str, event: str, **fields: object) -> bool:
        """Say something of this kind, unless it was said lately; True if it was news."""
        now = asyncio.get_running_loop().time()
        if kind in self._said and now - self._said[kind] < AGAIN:
            return False
        self._said[kind] = now
        self._warn(event, **fields)
        return True
