"""A shift: one configuration at work, its workshop and its patrol.

A reload opens the next one beside the one at work, which goes on meanwhile (a source may need seconds), ends that,
listens, and begins. What one shift leaves to the next is in `Learnt` and in the ledger, which are the process's.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass

from probe.model import Endpoint
from probe.service.learnt import Learnt
from probe.service.ledger import Ledger
from probe.service.outfit import outfitted
from probe.service.patrol import Patrol
from probe.service.workshop import Workshop
from probe.settings import Settings, targets


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
        """It is not put to work after all; nothing happens if it is."""
        await self._stack.aclose()

    async def listen(self) -> None:
        """Follow its sources, now that those of the shift before are closed: no port is without a listener for long."""
        try:
            await self.workshop.watch.begin()
        except BaseException:
            await self.close()
            raise

    async def begin(self, ledger: Ledger) -> Shift:
        """Put it to work, going on where the shift before stopped (`learnt`, ledger)."""
        async with self._stack:
            learnt = self.workshop.learnt
            learnt.only(self.endpoints, {source.name for source in self.workshop.watch.sources})
            learnt.budgets.limit(self.settings.schedule.max_sessions_per_minute)
            ledger.configure(self.endpoints, learnt.clock())
            patrol = Patrol(self.settings, self.endpoints, self.workshop, ledger)
            await self._stack.enter_async_context(patrol)
            return Shift(self.settings, patrol, self._stack.pop_all())
        raise AssertionError("an exit stack swallows nothing")


async def open_shift(settings: Settings, learnt: Learnt) -> Opened:
    """Open what a configuration needs, to go on from what was learnt.

    OSError, UnusableCaFile: it cannot be; nothing is left open then.
    """
    endpoints = targets(settings)
    async with AsyncExitStack() as stack:
        workshop = await stack.enter_async_context(outfitted(settings, endpoints, learnt.clock, learnt=learnt))
        return Opened(settings, endpoints, workshop, stack.pop_all())
    raise AssertionError("an exit stack swallows nothing")
