"""What a person should hear while the probe runs, said through structlog on standard error.

structlog brings a terminal library along; it is loaded when there is something to say, which for `--once` is mostly
never. A command may choose JSON, one object a line, before anything is said; otherwise lines are for a person's eyes.
"""

from __future__ import annotations

import sys
from traceback import format_exception
from typing import Any


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
