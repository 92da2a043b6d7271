"""`probe run`: everything put together once, kept for months, and swapped whole when the configuration changes.

    Learnt ◀─▶ Shift (one configuration at work: workshop, patrol) ──▶ Ledger ──▶ logbook, history, sink, metrics, pages

Rules of this file:
- A configuration is taken whole or not at all: what can fail is tried, and its sources are opened, while the shift that
  works goes on. What then fails is a bug of ours, and the daemon ends with it: it would only look alive.
- Whoever wants the configuration read while a reload waits for its turn is served by that one. Its turn comes when what
  the one before broke off is repeated: however fast reloads come, there are verdicts, and no change is lost.
- Nothing that blocks is done on the loop (aside.py), and an end waits for nothing that hangs.
- The ledger and what was learnt (learnt.py) outlive a shift; nothing is handed from one shift to the next.
- A shift that ends is shown until the next one is there; where its sources were, the next one's listen at once.
- The daemon is ready when every source serves, or has said why it does not.
- It ends politely: sessions under way say goodbye, within FAREWELL seconds.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Coroutine, Mapping
from typing import Any, TypeVar

from probe.aside import unless
from probe.evidence.clients import by_network
from probe.evidence.health import Heard
from probe.model import EndpointName, Severity, Topology
from probe.notices import tell, tell_bug
from probe.service.budget import Budgets
from probe.service.clock import SteadyClock
from probe.service.keeping import Keeping
from probe.service.learnt import Learnt
from probe.service.ledger import Ledger
from probe.service.limits import raise_limit
from probe.service.logbook import Logbook
from probe.service.outfit import UnusableCaFile
from probe.service.recall import recall
from probe.service.shift import Opened, Shift, open_shift
from probe.service.station import Asked, Past, Reload
from probe.service.systemd import Systemd
from probe.service.web import CannotListen, Web
from probe.settings import ConfigurationError, Settings, targets
from probe.streams import Behind

FAREWELL = 2.0
"""Seconds for sessions under way to say goodbye, and as many for what is still to be written down: 5 s in all, of the
10 s and more for which service managers and container runtimes wait."""

BUG = "a bug of mailprobe's own"

BREATH = 5.0
"""Seconds between two signs of life, less where a watchdog wants more."""

T = TypeVar("T")

Read = Callable[[], Awaitable[Settings]]
"""The configuration as its files are now (reading.Reader)."""


class Daemon:
    """Implements `Station`, which is how metrics and pages see it."""

    def __init__(
        self, read: Read, settings: Settings, clock: SteadyClock, systemd: Systemd, log: Behind | None = None
    ) -> None:
        """`log`: where its lines wait to be written."""
        self.clock = clock
        self.started = clock()
        self.reload = Reload(at=clock())
        self.reloaded: float | None = None
        self._read = read
        self._log = log
        self._settings = settings
        self._systemd = systemd
        self._learnt = Learnt(clock=clock, budgets=Budgets(settings.schedule.max_sessions_per_minute))
        self._logbook = Logbook(tell)
        self.ledger = Ledger(targets(settings))
        """What became of every endpoint."""
        self._shift: Shift | None = None
        self._keeping: Keeping | None = None
        self._web: Web | None = None
        self._swapping = asyncio.Lock()
        self._next: asyncio.Task[Reload] | None = None
        self._stop = asyncio.Event()
        self._is_ready = False
        self._failed: Exception | None = None
        self._chores: set[asyncio.Task[Any]] = set()
        self._departing: set[asyncio.Task[None]] = set()

    @property
    def settings(self) -> Settings:
        """The configuration that is in force."""
        return self._settings

    @property
    def past(self) -> Past | None:
        """The history, while it can be read."""
        history = self._keeping.history if self._keeping else None
        return history if history and history.usable else None

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
        """Clients seen in the logs since the sources were opened, by whose network they come from."""
        counted = by_network(self._shift.patrol.workshop.watch.clients()) if self._shift else {}
        return {network.value: count for network, count in counted.items()}

    @property
    def waiting_for(self) -> tuple[str, ...]:
        """What the daemon waits for before it is ready: sources that neither serve nor have said why."""
        if self._shift is None:
            return ("its sources to be opened",)
        return tuple(one.source for one in self.heard() if not one.up and not one.reason)

    @property
    def troubles(self) -> tuple[str, ...]:
        """What is wrong with the daemon itself."""
        kept = self._keeping.troubles if self._keeping else ()
        stuck = (f"{name} was to have its turn long ago and has not: {BUG}" for name in self._stuck())
        bugs = self._shift.patrol.bugs if self._shift else ()
        failed = (f"the latest session to {name} gave no verdict: {BUG} ({bug}); see the log" for name, bug in bugs)
        lost = self._log.lost if self._log else 0
        unread = (f"nobody reads the log (standard error): {lost} lines of it are lost so far",) if lost else ()
        return (*kept, *stuck, *failed, *self._slowed(), *unread)

    def heard(self) -> tuple[Heard, ...]:
        """How each evidence source serves."""
        workshop = self._shift.patrol.workshop if self._shift else None
        return workshop.watch.heard(self._learnt.clocks) if workshop else ()

    async def ask(self, endpoint: EndpointName, *, seconds: float) -> Asked:
        """A session to this endpoint, answered within so many seconds."""
        if self._shift is None:
            return Asked(refusal="the sources are being opened", retry_after=1.0)
        return await self._shift.patrol.ask(endpoint, seconds=seconds)

    async def run(self, stop: asyncio.Event) -> None:
        """Work until told to stop. Raises UnusableCaFile, ConfigurationError or CannotListen where it cannot begin."""
        raise_limit()
        self._stop = stop
        opening = asyncio.create_task(self._open())
        self._chores.add(opening)
        opening.add_done_callback(self._chores.discard)
        try:
            await unless(stop, opening)
            if not stop.is_set():
                self._chore(self._breathe())
            await stop.wait()
            self._systemd.stopping()
        finally:
            await self._close()
        tell("info", "stopped")
        if self._failed is not None:
            raise self._failed

    async def read_configuration_again(self) -> Reload:
        """Read the file again and take it whole, or not at all, even if whoever asks does not wait for it."""
        return await asyncio.shield(self._reload())

    def hang_up(self) -> None:
        """Read the file again; nobody waits for it."""
        self._reload()

    def _reload(self) -> asyncio.Task[Reload]:
        """A reload that has yet to read the file."""
        if self._next is None:
            self._next = self._chore(self._read_again())
        return self._next

    async def _read_again(self) -> Reload:
        async with self._swapping:
            try:
                await self._settled()
            finally:
                self._next = None
            if was_ready := self._is_ready:
                self._systemd.reloading()
            fault = await self._swap()
            self.reload = Reload(at=self.clock(), fault=fault)
            if fault is None:
                tell("info", "configuration read again", endpoints=len(self.ledger.accounts))
            else:
                tell("error", "configuration not taken, the old one goes on", fault=fault)
            if was_ready:  # else that word is yet to come, and not before its sources serve
                self._systemd.ready(self._status())
            return self.reload

    async def _settled(self) -> None:
        """Wait, for a bounded time, for what the reload before broke off.

        The file is read after that, whatever it is then, and whoever asks meanwhile is served by it.
        """
        if self._shift is None:
            return
        if owed := self._shift.patrol.owes:
            tell("info", "a reload waits for sessions that the one before broke off", sessions=owed)
        await self._shift.patrol.settled()

    async def _open(self) -> None:
        """What can fail for the user first; sessions last, for the history must be read before they are told."""
        async with self._swapping:
            self._web = await Web(self).__aenter__()
            self._keeping = await Keeping(self._settings, self.clock).__aenter__()
            ledger = Ledger(targets(self._settings))
            ledger.listeners.append(self._logbook.note)
            ledger.farewells.append(self._logbook.part)
            self._keeping.follow(ledger)
            self.ledger = ledger
            if self.past is not None:
                await recall(self.past, self._learnt.budgets, targets(self._settings), self.clock)
            opened = await open_shift(self._settings, self._learnt)
            await opened.listen()
            await self._begin(opened)

    async def _close(self) -> None:
        """Everything ends, whatever fails; sessions and pages together, then what is still to be written down."""
        shift, self._shift = self._shift, None
        ends = [_broken_off(list(self._chores))]
        ends += [shift.end()] if shift else []
        ends += [self._web.__aexit__(None, None, None)] if self._web else []
        await asyncio.gather(*map(_farewell, ends), *self._departing)
        if self._keeping is not None:
            await _farewell(self._keeping.__aexit__())

    async def _swap(self) -> str | None:
        """Take the file's configuration; why not, if it cannot be."""
        before = self._shift
        if before is None:
            return "the daemon ends"
        try:
            opened = await self._opened()
        except (ConfigurationError, UnusableCaFile, OSError) as error:
            return str(error)
        except Exception as error:
            tell_bug(error)
            return f"{BUG} ({type(error).__name__}: {error})"
        try:
            await asyncio.shield(self._departs(before.end()))
            await opened.listen()
            if self._keeping is not None:
                await self._keeping.change(opened.settings, self.ledger.known)
            await self._begin(opened)
            self.reloaded = self.clock()
        except Exception as error:
            self._failed, self._shift = error, None
            self._stop.set()
            return f"it could not be put to work: {BUG} ({type(error).__name__}: {error})"
        finally:
            await opened.close()  # of a shift that is at work nothing is left here
        return None

    async def _opened(self) -> Opened:
        """The configuration of the files, its sources open, after all that can fail; pages are where it says by now."""
        settings = await self._read()
        opened = await open_shift(settings, self._learnt)
        try:
            await self._serve(settings)
        except BaseException:
            await opened.close()
            raise
        return opened

    async def _serve(self, settings: Settings) -> None:
        """Serve pages where these settings say; the old place is left when the new one is taken."""
        before, self._settings = self._settings, settings
        here, there, old = before.web.listen, settings.web.listen, self._web
        if here == there:
            return
        if old is not None and here.port == there.port:
            await old.rest()  # the same port of all addresses and of one cannot be had at once
        try:
            self._web = await Web(self).__aenter__()
        except (CannotListen, ConfigurationError):
            self._settings = before
            if old is not None and here.port == there.port:
                await old.serve_again()
            raise
        if old is not None:  # beside all else: a request to it may be what asked for this
            self._departs(old.__aexit__(None, None, None))

    async def _begin(self, opened: Opened) -> None:
        self._settings = opened.settings
        self._shift = await opened.begin(self.ledger)
        self._logbook.only(self.ledger.accounts)
        if self._keeping is not None:
            self._keeping.configure(self.ledger.lasting)

    def _chore(self, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        """Something done beside all else; at the end of the daemon it is broken off."""
        chore = asyncio.create_task(work)
        self._chores.add(chore)
        chore.add_done_callback(self._done)
        return chore

    def _departs(self, end: Awaitable[None]) -> asyncio.Task[None]:
        """Something that ends beside all else; the end of the daemon waits for it."""
        departing = asyncio.create_task(_farewell(end))
        self._departing.add(departing)
        departing.add_done_callback(self._departing.discard)
        return departing

    def _done(self, chore: asyncio.Task[Any]) -> None:
        self._chores.discard(chore)
        if not chore.cancelled() and (error := chore.exception()) is not None:
            tell_bug(error)

    def _stuck(self) -> tuple[EndpointName, ...]:
        """After a sleep of the machine nobody is, until each has had time for the turn that it slept through."""
        now, limits = self.clock(), self._settings.timeouts
        late = 2 * self._settings.schedule.interval + 4 * (limits.session + limits.evidence)
        return self._shift.patrol.stuck(now) if self._shift and now > self.clock.woke + late else ()

    def _slowed(self) -> tuple[str, ...]:
        """One sentence for all of them: it is one setting."""
        slowed = self._shift.patrol.slowed if self._shift else ()
        if not slowed:
            return ()
        name, seconds = max(slowed, key=lambda one: one[1])
        others = f" (and {len(slowed) - 1} more are slowed)" if len(slowed) > 1 else ""
        return (
            f"{name} has a session every {seconds:.0f} s{others}, not every {self.settings.schedule.interval:g} s: "
            "each takes more connections than schedule.max_sessions_per_minute leaves room for; raise it as far as "
            "the server lets one client connect, or raise schedule.interval",
        )

    async def _breathe(self) -> None:
        """Say when the daemon is ready, and from then on that it is alive, unless it is stuck."""
        while self.waiting_for:  # noqa: ASYNC110 - sources tell no event, and this is over in a moment
            await asyncio.sleep(0.05)
        self._is_ready = True
        self._systemd.ready(self._status())
        tell("info", "ready", vantage=self._settings.vantage.name, endpoints=len(self.ledger.accounts))
        for one in self.heard():
            if not one.up:
                tell("warning", "a source does not serve yet", source=one.source, reason=one.reason)
        while True:
            await asyncio.sleep(min(BREATH, (self._systemd.watchdog or BREATH) / 3))
            if not self._stuck():
                self._systemd.alive(self._status())

    def _status(self) -> str:
        told = [account.told(self.clock()) for account in self.ledger.accounts.values()]
        verdicts = [change.verdict for change in told if change]
        ok = sum(verdict.severity is Severity.OK for verdict in verdicts)
        critical = sum(verdict.severity is Severity.CRITICAL for verdict in verdicts)
        refused = "; its new configuration was not taken, see the log" if self.reload.fault else ""
        return f"{ok} of {len(self.ledger.accounts)} endpoints ok, {critical} critical{refused}"


async def _farewell(end: Awaitable[None]) -> None:
    """Wait for an end, but not for ever; what fails in it is told and keeps nothing else from ending."""
    try:
        async with asyncio.timeout(FAREWELL):
            await end
    except TimeoutError:
        return
    except Exception as error:
        tell_bug(error)


async def _broken_off(chores: Collection[asyncio.Task[Any]]) -> None:
    for chore in chores:
        chore.cancel()
    await asyncio.gather(*chores, return_exceptions=True)
