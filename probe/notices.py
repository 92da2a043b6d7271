"""What a person should hear while the probe runs, said through structlog.

structlog brings a terminal library along; it is loaded when there is something to say, which is mostly never.
"""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Callable
from typing import Any

AGAIN = 600.0
MOST_KINDS = 256


def warn(event: str, **fields: Any) -> None:
    """Say that something wants attention: on standard error, unless structlog has been told otherwise."""
    import structlog  # noqa: PLC0415 - see above

    if not structlog.is_configured():
        structlog.configure(
            processors=[
                structlog.processors.add_log_level,
                structlog.processors.TimeStamper(fmt="iso", utc=True),
                structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty()),
            ],
            logger_factory=lambda *_: structlog.PrintLogger(sys.stderr),
        )
    structlog.get_logger("probe").warning(event, **fields)


class Once:
    """Says each kind of thing once in `again` seconds, however often it comes and goes and however its text varies.

    Kinds are of the program's making, never a peer's text. Of too many, as with pods that come and go, the one that
    was said longest ago is forgotten.
    """

    def __init__(self, *, again: float = AGAIN, clock: Callable[[], float] = time.monotonic) -> None:
        self._again = again
        self._clock = clock
        self._said: dict[str, float] = {}

    def warn(self, event: str, *, kind: str, **fields: Any) -> None:
        """Say it, unless its kind was said lately."""
        now = self._clock()
        if now - self._said.get(kind, -math.inf) < self._again:
            return
        self._said.pop(kind, None)
        if len(self._said) >= MOST_KINDS:
            del self._said[next(iter(self._said))]
        self._said[kind] = now
        warn(event, **fields)
