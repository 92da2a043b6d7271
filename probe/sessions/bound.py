"""How long a session waits for somebody, and what it means that the time is up.

Rules:
- A bound that fires when it is due says that nobody answered.
- One that fires long after says nothing of anybody. This process stood still (stopped, swapped out, its machine
  paused), and an answer may lie in the socket: timers go before it in the turn that comes then. Nobody looked.
"""

from __future__ import annotations

import asyncio
from types import TracebackType

from probe.model import Failure
from probe.sessions.faults import Refusal

STOOD_STILL = 1.0
"""Seconds that a bound may be late: more than the longest turn of the event loop (0.5 s, of a thousand endpoints)."""


class Bound:
    """asyncio.timeout, but Refusal where it is late: TimeoutError is told by asyncio itself."""

    __slots__ = ("_timeout",)

    def __init__(self, seconds: float) -> None:
        self._timeout = asyncio.timeout(seconds)

    async def __aenter__(self) -> None:
        await self._timeout.__aenter__()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        try:
            await self._timeout.__aexit__(kind, error, traceback)
        except TimeoutError:
            in_time(self._timeout.when())
            raise


def in_time(due: float | None) -> None:
    """Refusal if what was due at this moment of the event loop comes late."""
    late = 0.0 if due is None else asyncio.get_running_loop().time() - due
    if late > STOOD_STILL:
        raise Refusal(
            Failure.VANTAGE, f"this process stood still, and was {late:.0f} s late to see that time was up"
        ) from None
