"""`probe run`: everything put together once, kept for months, and swapped whole when the configuration changes.

    Shift (one configuration at work: workshop and patrol) ──▶ Ledger ──▶ logbook, metrics, pages

Rules of this file:
- A configuration is taken whole or not at all: what can fail is tried before the shift that works is ended, and if
  the new shift cannot begin after all, the old configuration goes on.
- The ledger, the budgets and what was learnt of the servers outlive a shift.
- The daemon is ready when every source serves, or has said why it does not.
- It ends politely: sessions under way say goodbye, within FAREWELL seconds.
"""

from __future__ import annotations

import asyncio
import contextlib
import resource
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass

from probe.evidence.health import Heard
from probe.model import EndpointName, Severity, Topology
from probe.notices import tell
from probe.service.budget import Budgets
from probe.service.clock import SteadyClock
from probe.service.ledger import Ledger
from probe.service.logbook import Logbook
from probe.service.outfit import UnusableCaFile, contexts, outfitted
from probe.service.patrol import Patrol
from probe.service.sources import CALM_LOOK
from probe.service.station import Asked, Past, Reload
from probe.service.systemd import Systemd
from probe.settings import ConfigurationError, Settings, targets

FAREWELL = 4.0
"""Seconds for sessions under way to say goodbye; service managers and container runtimes wait 10 s and more."""

BREATH = 5.0
"""Seconds between two signs of life, less where a watchdog wants more."""

Load = Callable[[], Settings]
"""Reads the configuration file; ConfigurationError with every fault."""


@dataclass(frozen=True, slots=True)
class Shift:
    """One configuration at work."""

    settings: Settings
    patrol: Patrol
    stack: AsyncExitStack


class Daemon:
    """Implements `Station`, which is how metrics and pages see it."""

    def __init__(self, load: Load, settings: Settings, clock: SteadyClock, systemd: Systemd) -> None:
        self.clock = clock
        self.started = clock()
        self.reload = Reload(at=clock())
        self.ledger = Ledger(targets(settings))
        self._load = load
        self._settings = settings
        self._systemd = systemd
        self._budgets = Budgets(settings.schedule.max_sessions_per_minute)
        self._shift: Shift | None = None
        self._swapping = asyncio.Lock()

    @property
    def settings(self) -> Settings:
        """The configuration that is in force."""
        return self._settings

    @property
    def past(self) -> Past | None:
        """The history."""
        return None

    @property
    def topology(self) -> Topology | None:
        """The facts last gathered around the cluster."""
        return self._shift.patrol.workshop.survey.topology if self._shift else None

    @property
    def logins(self) -> float | None:
        """Dovecot's count of logins, as last read."""
        return self._shift.patrol.workshop.logins.latest if self._shift else None

    @property
    def clients(self) -> Mapping[str, int]:
        """Clients seen in the logs since the start, by whose network they come from."""
        return {}

    @property
    def waiting_for(self) -> tuple[str, ...]:
        """What the daemon waits for before it is ready."""
        if self._shift is None:
            return ("its sources to be opened",)
        return tuple(one.source for one in self.heard() if not one.up and not one.reason)

    @property
    def troubles(self) -> tuple[str, ...]:
        """What is wrong with the daemon itself."""
        stuck = self._shift.patrol.stuck(self.clock()) if self._shift else ()
        return tuple(f"the session to {name} does not end: this is a bug of mailprobe's own" for name in stuck)

    def heard(self) -> tuple[Heard, ...]:
        """How each evidence source serves."""
        workshop = self._shift.patrol.workshop if self._shift else None
        return workshop.watch.heard(workshop.clocks) if workshop else ()

    async def ask(self, endpoint: EndpointName, *, seconds: float) -> Asked:
        """A session to this endpoint, answered within so many seconds."""
        shift = self._shift
        if shift is None:
            return Asked(refusal="the configuration is being read again", retry_after=1.0)
        return await shift.patrol.ask(endpoint, seconds=seconds)

    async def run(self, stop: asyncio.Event) -> None:
        """Work until told to stop. Raises UnusableCaFile if the first configuration cannot work."""
        _raise_limit()
        self.ledger.listeners.append(Logbook(tell).note)
        try:
            self._shift = await self._begin(self._settings, before=None)
            breath = asyncio.create_task(self._breathe())
            await stop.wait()
            self._systemd.stopping()
            await _cancelled(breath)
        finally:
            if self._shift is not None:
                await _bounded(self._shift.stack.aclose())
        tell("info", "stopped")

    async def read_configuration_again(self) -> Reload:
        """Read the file again and take it whole, or not at all."""
        async with self._swapping:
            self._systemd.reloading()
            fault = await self._swap()
            self.reload = Reload(at=self.clock(), fault=fault)
            if fault is None:
                tell("info", "configuration read again", endpoints=len(self.ledger.accounts))
            else:
                tell("error", "configuration not taken, the old one goes on", fault=fault)
            self._systemd.ready(self._status())
            return self.reload

    async def _swap(self) -> str | None:
        """Take the file's configuration; why not, if it cannot be."""
        before = self._shift
        if before is None:
            return "the daemon has not begun, or has ended"
        try:
            settings = self._load()
            contexts(targets(settings))
        except (ConfigurationError, UnusableCaFile) as error:
            return str(error)
        await _bounded(before.stack.aclose())
        self._shift = None
        try:
            self._shift = await self._begin(settings, before=before.patrol)
        except (OSError, UnusableCaFile) as error:
            self._shift = await self._begin(before.settings, before=before.patrol)
            return f"it could not be put to work: {error}"
        return None

    async def _begin(self, settings: Settings, *, before: Patrol | None) -> Shift:
        endpoints = targets(settings)
        async with AsyncExitStack() as stack:
            workshop = await stack.enter_async_context(outfitted(settings, endpoints, self.clock, look=CALM_LOOK))
            workshop.budgets = self._budgets
            patrol = Patrol(settings, endpoints, workshop, self.ledger)
            if before is not None:
                patrol.take_over(before)
            self._budgets.limit(settings.schedule.max_sessions_per_minute)
            self.ledger.configure(endpoints)
            self._settings = settings
            await stack.enter_async_context(patrol)
            return Shift(settings=settings, patrol=patrol, stack=stack.pop_all())

    async def _breathe(self) -> None:
        """Say when the daemon is ready, and from then on that it is alive, unless it is stuck."""
        while self.waiting_for:  # noqa: ASYNC110 - sources tell no event, and this is over in a moment
            await asyncio.sleep(0.05)
        self._systemd.ready(self._status())
        tell("info", "ready", vantage=self._settings.vantage.name, endpoints=len(self.ledger.accounts))
        for one in self.heard():
            if not one.up:
                tell("warning", "a source does not serve yet", source=one.source, reason=one.reason)
        while True:
            await asyncio.sleep(min(BREATH, (self._systemd.watchdog or BREATH) / 3))
            if not self.troubles:
                self._systemd.alive(self._status())

    def _status(self) -> str:
        verdicts = [account.change.verdict for account in self.ledger.accounts.values() if account.change]
        ok = sum(verdict.severity is Severity.OK for verdict in verdicts)
        critical = sum(verdict.severity is Severity.CRITICAL for verdict in verdicts)
        return f"{ok} of {len(self.ledger.accounts)} endpoints ok, {critical} critical"


async def _bounded(farewell: Awaitable[None]) -> None:
    """Wait for a farewell, but not for ever."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(FAREWELL):
            await farewell


async def _cancelled(task: asyncio.Task[None]) -> None:
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task


def _raise_limit() -> None:
    """As many descriptors as the system lets us have: each session takes one, a thousand at once are possible."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
