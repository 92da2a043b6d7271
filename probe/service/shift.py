"""A shift: one configuration at work, its workshop and its patrol.

A reload opens the next one beside the one at work, which goes on meanwhile (a source may need seconds), ends that, and
begins.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass

from probe.model import Endpoint
from probe.service.budget import Budgets
from probe.service.clock import SteadyClock
from probe.service.ledger import Ledger
from probe.service.outfit import outfitted
from probe.service.patrol import Patrol
from probe.service.workshop import Workshop
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


@dataclass(frozen=True, slots=True)
class Opened:
    """A configuration that is ready to work: its sources are open, beside those of the shift before."""

    settings: Settings
    endpoints: Sequence[Endpoint]
    workshop: Workshop
    _stack: AsyncExitStack

    async def close(self) -> None:
        """It is not put to work after all."""
        await self._stack.aclose()

    async def begin(self, books: Books, before: Patrol | None) -> Shift:
        """Put it to work, going on where the patrol before stopped."""
        async with self._stack:
            await self.workshop.watch.begin()
            self.workshop.budgets = books.budgets
            if before is not None:
                self.workshop.take_over(before.workshop)
            books.budgets.limit(self.settings.schedule.max_sessions_per_minute)
            books.ledger.configure(self.endpoints, books.clock())
            patrol = Patrol(self.settings, self.endpoints, self.workshop, books.ledger, before)
            await self._stack.enter_async_context(patrol)
            return Shift(self.settings, patrol, self._stack.pop_all())
        raise AssertionError("an exit stack swallows nothing")


async def open_shift(settings: Settings, clock: SteadyClock) -> Opened:
    """Open what a configuration needs. OSError, UnusableCaFile: it cannot be; nothing is left open then."""
    endpoints = targets(settings)
    async with AsyncExitStack() as stack:
        workshop = await stack.enter_async_context(outfitted(settings, endpoints, clock, in_shifts=True))
        return Opened(settings, endpoints, workshop, stack.pop_all())
    raise AssertionError("an exit stack swallows nothing")
