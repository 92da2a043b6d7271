"""How long a session waits for somebody, and what it means that the time is up.

Rules:
- A bound that fires when it is due says that nobody answered.
- One that fires long after says nothing of anybody. This process stood still (stopped, swapped out, its machine
  paused), and an answer may lie in the socket: timers go before it in the turn that comes then. Nobody looked.
- It is late by when it fired, not by when its session comes to hear of it: where a thousand are due at once, the last
  one hears of it after all others.
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

    __slots__ = ("_beside", "_fired", "_timeout")

    def __init__(self, seconds: float) -> None:
        self._timeout = asyncio.timeout(seconds)
        self._fired = 0.0

    async def __aenter__(self) -> None:
        await self._timeout.__aenter__()
        self._beside = asyncio.get_running_loop().call_at(self._due, self._fires)

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._beside.cancel()
        try:
            await self._timeout.__aexit__(kind, error, traceback)
        except TimeoutError:
            late = self._fired - self._due
            if late <= STOOD_STILL:
                raise
            detail = f"this process stood still, and was {late:.0f} s late to see that time was up"
            raise Refusal(Failure.VANTAGE, detail) from None

    @property
    def _due(self) -> float:
        return self._timeout.when() or 0.0

    def _fires(self) -> None:
        self._fired = asyncio.get_running_loop().time()
