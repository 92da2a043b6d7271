"""A shift: one configuration at work, its workshop and its patrol. A reload ends one and begins another."""

from __future__ import annotations

from contextlib import AsyncExitStack
from dataclasses import dataclass

from probe.service.budget import Budgets
from probe.service.clock import SteadyClock
from probe.service.ledger import Ledger
from probe.service.outfit import outfitted
from probe.service.patrol import Patrol
from probe.service.sources import CALM_LOOK
from probe.settings import Settings, targets


@dataclass(frozen=True, kw_only=True, slots=True)
class Books:
    """What outlives a shift: what became of every endpoint, and what was spent."""

    clock: SteadyClock
    ledger: Ledger
    budgets: Budgets


@dataclass(frozen=True, slots=True)
class Shift:
    """One configuration at work."""

    settings: Settings
    patrol: Patrol
    _stack: AsyncExitStack

    async def end(self) -> None:
        """End its sessions politely and close its sources."""
        await self._stack.aclose()


async def begin_shift(settings: Settings, books: Books, before: Patrol | None) -> Shift:
    """Put a configuration to work, going on where the patrol before stopped. OSError, UnusableCaFile: it cannot be."""
    endpoints = targets(settings)
    async with AsyncExitStack() as stack:
        workshop = await stack.enter_async_context(outfitted(settings, endpoints, books.clock, look=CALM_LOOK))
        workshop.budgets = books.budgets
        patrol = Patrol(settings, endpoints, workshop, books.ledger)
        if before is not None:
            patrol.take_over(before)
        books.budgets.limit(settings.schedule.max_sessions_per_minute)
        books.ledger.configure(endpoints)
        await stack.enter_async_context(patrol)
        return Shift(settings, patrol, stack.pop_all())
    raise AssertionError("an exit stack swallows nothing")
