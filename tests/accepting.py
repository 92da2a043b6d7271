"""Who comes in the very moment in which an asyncio server closes is turned away, and not left open.

The loop of Python 3.11 has accepted him by then, makes a transport for a server that is closed, which fails, and closes
neither (`BaseSelectorEventLoop._accept_connection2`). The warning about that socket would fail whichever test runs as
it is collected.
"""

from __future__ import annotations

import functools
import inspect
from asyncio.selector_events import BaseSelectorEventLoop
from typing import Any


def turn_away_who_comes_too_late() -> None:
    """For every loop of this process; once is enough."""
    accept = BaseSelectorEventLoop._accept_connection2  # type: ignore[attr-defined]
    signature = inspect.signature(accept)

    @functools.wraps(accept)
    async def accepted(*arguments: Any, **more: Any) -> None:
        given = signature.bind(*arguments, **more).arguments
        server = given.get("server")
        if server is not None and not server.is_serving():
            given["conn"].close()
            return
        await accept(*arguments, **more)

    BaseSelectorEventLoop._accept_connection2 = accepted  # type: ignore[attr-defined]
