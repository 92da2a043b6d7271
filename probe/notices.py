"""What a person should hear while the probe runs, said through structlog on standard error.

structlog brings a terminal library along; it is loaded when there is something to say, which for `--once` is mostly
never. A command may choose JSON, one object a line, before anything is said; otherwise lines are for a person's eyes.
"""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Callable
from traceback import format_exception
from typing import Any

AGAIN = 600.0
MOST_KINDS = 256


def configure(*, as_json: bool) -> None:
    """Choose how everything is said from here on."""
    import structlog  # noqa: PLC0415 - see above

    shape: Any = structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())
    if as_json:
        shape = structlog.processors.JSONRenderer()
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            shape,
        ],
        logger_factory=lambda *_: structlog.PrintLogger(sys.stderr),
    )


def warn(event: str, **fields: Any) -> None:
    """Say that something wants attention."""
    tell("warning", event, **fields)


def tell_bug(error: BaseException, **where: Any) -> None:
    """Say that we are at fault, and that it says nothing about the mail server."""
    bug = "".join(format_exception(error))[-4000:]
    warn("this is a bug of mailprobe's own, and says nothing about the mail server", **where, bug=bug)


def tell(level: str, event: str, **fields: Any) -> None:
    """Say something, at one of logging's levels by name."""
    import structlog  # noqa: PLC0415 - see above

    if not structlog.is_configured():
        configure(as_json=False)
    getattr(structlog.get_logger("probe"), level)(event, **fields)


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
