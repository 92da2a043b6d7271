"""What a person should hear while the probe runs, said through structlog.

structlog brings a terminal library along; it is loaded when there is something to say, which is mostly never.
"""

from __future__ import annotations

import sys
from typing import Any


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
