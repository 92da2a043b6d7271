"""The history: takes what the ledger tells, writes it in order, and never stops probing, whatever becomes of the file.

    Ledger ──take──▶ Stands ──one task──▶ HistoryFile      Past (sessions, session, outages), Restored ◀── Reader

Rules:
- `take` never waits and never raises. What it takes is written within `Patience.gather`, several sessions at once.
- Whatever goes wrong with the file is a trouble with a next step, said once; the file is closed and tried again.
  A broken file is moved aside, and a new one begun.
- Wall times in the file, the probe's clock in memory: what one is ahead of the other is read once for each batch.
- A disk that does not answer in time is a trouble too. What was asked of it is waited for, and is over when it answers.
- A file that is opened is settled by what the ledger knows: an outage that lasts there and not here ended when it was
  last seen.
- The ledger goes on where an earlier process stopped (`restored`): by the file, or, where that cannot be written or
  is still another's, by a look that needs neither. Where a disk does not answer in time it begins without that, and
  takes it up when the file can be read (`when_found`).
- Whoever asks is told of what is in the file and of what waits for it, which is all there is; or an error is raised.
- Rows go when their time is over by a clock that can be trusted: one by which somebody was at work the day before.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from types import TracebackType
from typing import TypeVar

from probe.evidence.sources.backoff import Backoff
from probe.model import EndpointName, Outage, Result
from probe.notices import warn
from probe.report.json import timestamp
from probe.report.record import record_object
from probe.service.clock import SteadyClock
from probe.service.history import lists, rows
from probe.service.history.faults import GONE, SLOW, HistoryTrouble, Remedy, trouble_of
from probe.service.history.file import HistoryFile
from probe.service.history.opening import looking
from probe.service.history.patience import PATIENCE, Patience
from probe.service.history.place import move_aside
from probe.service.history.reading import Reader
from probe.service.history.restoring import restored
from probe.service.history.stands import Stands
from probe.service.ledger import DAY, Entry, Restored
from probe.service.standing import Standing, rest
from probe.service.wanted import Wanted
from probe.settings.parts import HistorySettings

LIVED = DAY
"""Seconds: old rows go only by a clock by which sessions were opened between one and two such times ago."""

SLOW_DISK = "the disk does not answer in time: look at its load"
UPGRADES = "an older version's tables are brought up to date, once: let it run; what it tells is taken up after that"

_UNUSABLE = (sqlite3.Error, HistoryTrouble, OSError, ValueError)
"""ValueError: aiosqlite's word for a connection that was closed meanwhile."""

_Found = TypeVar("_Found")


class History:
    """One history file, written while the context is open. Implements `station.Past`.

    `written`: sessions that are in the file; `pruned`: looks for what is too old.
    """

    def __init__(
        self,
        settings: HistorySettings,
        clock: SteadyClock,
        *,
        warn: Callable[..., None] = warn,
        patience: Patience = PATIENCE,
    ) -> None:
        self._path = settings.file
        self.bound(settings)
        self._clock = clock
        self._warn = warn
        self._patience = patience
        self._standing: Standing[HistoryTrouble] = Standing(
            warn,
            fails="history: sessions are not written down; tried again within a minute",
            works="history: sessions are written down again",
        )
        self._backoff = Backoff(first=patience.again, most=patience.longest)
        self._stands = Stands()
        self._restored: Restored | None = None
        self._late: Callable[[Restored], Restored] | None = None
        self._file: HistoryFile | None = None
        self._upgrades = False
        self._prune_at = 0.0
        self._lost_before = 0
        self._begun, self._news, self._closing = asyncio.Event(), asyncio.Event(), asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self.written = self.pruned = 0

    @property
    def usable(self) -> bool:
        """True if it can be read now."""
        return self._file is not None

    @property
    def trouble(self) -> str | None:
        """What is wrong with the file, with the next step; None while it serves."""
        if self._standing.trouble is None:
            return None
        return self._standing.trouble.reason + (f"; {self._lost} sessions are lost so far" if self._lost else "")

    @property
    def dropped(self) -> int:
        """Sessions that were never written, since the start."""
        return self._stands.backlog.dropped

    @property
    def _lost(self) -> int:
        """Of these, since the file last served."""
        return self.dropped - self._lost_before

    @property
    def restored(self) -> Restored:
        """What earlier processes wrote down, on this process's clock; nothing where the file could not be read."""
        return self._restored or Restored()

    def bound(self, settings: HistorySettings) -> None:
        """How long and how much is kept from now on, in the same file."""
        self._retention, self._size = settings.retention, settings.size

    def go_on(self, known: Restored) -> None:
        """Begin with what the ledger knows, and tell it nothing, for it is at work already. Before it is entered."""
        self._restored = Restored()
        self._stands.go_on(known, self._restored)

    def when_found(self, take_up: Callable[[Restored], Restored]) -> None:
        """The ledger has begun. If what earlier processes wrote down is found only now, it takes that up, and tells all
        that it then knows."""
        self._late = take_up

    async def __aenter__(self) -> History:
        self._task = asyncio.create_task(self._work(), name="history")
        await rest(self._patience.start, self._begun)
        if not self._begun.is_set():
            self._hangs()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._closing.set()
        self._news.set()
        for task in filter(None, [self._task]):
            try:
                await asyncio.wait([task], timeout=self._patience.close)
            finally:
                task.cancel()
                self._say_what_is_lost()
            await asyncio.wait([task], timeout=self._patience.close)
        with suppress(TimeoutError):
            async with asyncio.timeout(self._patience.close):
                await self._shut()

    def take(self, entry: Entry) -> None:
        """Keep what the ledger tells. For Ledger.listeners."""
        self._stands.take(entry)
        if self._lost and self._standing.trouble is None:
            event = "history: sessions come faster than they are written; some are lost"
            self._standing.say("faster", event, file=str(self._path))
        self._news.set()

    def configure(self, lasting: Mapping[EndpointName, Outage | None]) -> None:
        """Only these endpoints are watched from now on, and no other outages last (Ledger.lasting)."""
        self._stands.configure(lasting)
        self._news.set()

    # Past: each raises HistoryTrouble where the file cannot be asked.

    async def session(self, identity: str) -> Mapping[str, object] | None:
        """The record of a session."""
        waiting = next((one for one in self._stands.backlog.sessions if one.session.id == identity), None)
        if waiting is not None:
            return record_object(waiting, shift=self._clock.shift)
        return await self._read(lambda reader: reader.session(identity))

    async def sessions(self, wanted: Wanted, most: int = 100) -> Sequence[Mapping[str, object]]:
        """Records of sessions, the latest first, MOST_READ at most."""
        waits, shift = self._stands.backlog, self._clock.shift
        return await self._read(lambda reader: lists.sessions(reader, waits, wanted, most, shift))

    async def outages(self, wanted: Wanted, most: int = 100) -> Sequence[Outage]:
        """Outages, the latest first, MOST_READ at most; their times are wall times."""
        waits, ahead = self._stands.backlog, self._clock.ahead
        return await self._read(lambda reader: lists.outages(reader, waits, wanted, most, ahead))

    async def _read(self, ask: Callable[[Reader], Awaitable[_Found]]) -> _Found:
        file = self._file
        if file is None:
            raise self._standing.trouble or HistoryTrouble("closed", self._path, "it is not open")
        try:
            return await ask(file.reader)
        except _UNUSABLE as error:
            trouble = trouble_of(error, self._path)
            if file is self._file:
                self._standing.tell(trouble)
                self._news.set()
            raise trouble from error

    # The one task that writes

    async def _work(self) -> None:
        await self._start()
        self._begun.set()
        while True:
            await self._until_due()
            await self._turn()
            if self._closing.is_set() and (self._standing.trouble is not None or not self._stands.backlog):
                return

    async def _start(self) -> None:
        """Open the file; or know at least what it holds, and begin it anew if it is broken."""
        until = _now() + self._patience.yields
        while not await self._begin():
            if not self._is_in_use or _now() > until or self._closing.is_set():
                break
            await rest(min(self._patience.again, 0.1), self._closing)
        else:
            return
        if await self._is_begun_anew():
            await self._begin()
        else:
            await self._look()

    async def _look(self) -> None:
        """What an earlier process wrote down, of a file that cannot be opened, if it can be read."""
        try:
            async with looking(self._path) as connection:
                self._take_up(await restored(Reader(connection), self._clock))
        except _UNUSABLE:
            return  # why it cannot be opened is told already
        except Exception as error:  # be it a fault of our own: probing goes on, and it is said
            await self._fail(error)

    def _take_up(self, found: Restored) -> None:
        """The ledger goes on from here. If it has begun without it, what it has told meanwhile was not all of it."""
        if self._restored is not None:
            return
        self._stands.go_on(found if self._late is None else self._late(found), found)
        self._restored = found  # where the ledger fails to take it up, that is tried again

    @property
    def _is_in_use(self) -> bool:
        """True if somebody else has the file, who may be about to end."""
        return self._standing.trouble is not None and self._standing.trouble.kind in {"locked", "busy"}

    async def _until_due(self) -> None:
        if self._standing.trouble is not None:
            await rest(self._backoff.failed(), self._closing)
            return
        wait = self._prune_at - _now()
        if wait > 0 and not self._stands.backlog:
            self._news.clear()
            await rest(wait, self._news)
        if self._stands.backlog and not self._stands.backlog.is_enough:
            await rest(self._patience.gather, self._closing)

    async def _turn(self) -> None:
        with self._in_time():
            await self._do_what_is_due()

    async def _do_what_is_due(self) -> None:
        trouble = self._standing.trouble
        if trouble is not None and trouble.remedy is not Remedy.MAKE_ROOM:
            await self._shut()
            await self._is_begun_anew()
        if self._file is None and not await self._begin():
            return
        try:
            await self._write()
            await self._prune()
            if self._is_slow:
                self._recovered()
        except Exception as error:  # be it a fault of our own: probing goes on, and it is said
            await self._fail(error)

    async def _write(self) -> None:
        file, batch = self._file, self._stands.backlog.next()
        if file is None or not batch:
            return
        try:
            reckoning, ahead = self._clock.reckoning, self._clock.ahead
            await file.write(rows.rows_of(batch, ahead, self._on_unfit), reckoning)
        except BaseException:
            self._stands.backlog.give_back(batch)
            raise
        self._stands.backlog.written()
        self.written += len(batch.sessions)
        self._recovered()

    async def _prune(self) -> None:
        if self._file is None or _now() < self._prune_at or self._closing.is_set():
            return
        today = self._clock.wall(self._clock())
        older, lived = today - self._retention, min(LIVED, self._retention / 2)
        more = await self._file.shrink(self._size)
        if await self._file.reader.has_lived(today - 2 * lived, today - lived):
            bounds = {"fine": max(older, today - DAY), "older": older, "changes": min(older, today - DAY)}
            more |= await self._file.prune(**bounds)
        self.pruned += 1
        self._prune_at = _now() + (0.0 if more else self._patience.prune)

    # The file, and what is wrong with it

    async def _begin(self) -> bool:
        """Open the file; False, and a trouble, if it cannot be."""
        try:
            self._file = await HistoryFile.opened(self._path, self._on_upgrade)
            await self._file.reckon(self._clock.reckoning)
            if self._restored is None:
                self._take_up(await restored(self._file.reader, self._clock))
            await self._file.settle(self._stands.lasting)
        except Exception as error:  # be it a fault of our own: probing goes on, and it is said
            await self._fail(error)
            return False
        self._prune_at, self._upgrades = _now(), False
        if self._is_slow or not self._stands.backlog:
            self._recovered()
        return True

    async def _is_begun_anew(self) -> bool:
        """Move the file aside if it is broken; what still holds is written into the new one."""
        trouble = self._standing.trouble
        if trouble is None or trouble.remedy is not Remedy.BEGIN_ANEW:
            return False
        stamp = "".join(filter(str.isalnum, timestamp(self._clock.wall(self._clock()))))
        try:
            aside = await asyncio.to_thread(move_aside, self._path, stamp) if trouble.kind != GONE else None
        except FileNotFoundError:
            aside = None
        except OSError as error:
            self._standing.tell(trouble_of(error, self._path))
            return False
        self._stands.begin_anew()
        if aside is not None:
            event = "history: the broken file is kept, a new one begun"
            self._standing.say(f"kept {stamp}", event, file=str(self._path), kept_as=str(aside))
        return True

    async def _shut(self) -> None:
        file, self._file = self._file, None
        if file is not None:
            await file.close()

    async def _fail(self, error: Exception) -> None:
        trouble = trouble_of(error, self._path)
        self._standing.tell(trouble)
        if trouble.remedy is not Remedy.MAKE_ROOM:
            await self._shut()
        elif self._file is not None:
            with suppress(*_UNUSABLE):
                await self._file.shrink(0)

    @contextmanager
    def _in_time(self) -> Iterator[None]:
        """What is done inside ends within `Patience.answer`, or it is said that it does not; it goes on."""
        late = asyncio.get_running_loop().call_later(self._patience.answer, self._hangs)
        try:
            yield
        finally:
            late.cancel()

    def _hangs(self) -> None:
        self._standing.tell(HistoryTrouble(SLOW, self._path, UPGRADES if self._upgrades else SLOW_DISK))

    @property
    def _is_slow(self) -> bool:
        return self._standing.trouble is not None and self._standing.trouble.kind == SLOW

    def _say_what_is_lost(self) -> None:
        """It ends, or another file is kept."""
        sessions, outages = self._stands.backlog.give_up()
        if sessions or outages:
            event = "history: what was not written down before the end is lost"
            self._warn(event, file=str(self._path), sessions=sessions, outages=outages)

    def _recovered(self) -> None:
        self._standing.recovered(file=str(self._path), lost=self._lost)
        self._backoff.succeeded()
        self._lost_before = self.dropped

    def _on_upgrade(self) -> None:
        self._upgrades = True

    def _on_unfit(self, result: Result, error: Exception) -> None:
        self._stands.backlog.dropped += 1
        event = "history: a session cannot be written down"
        self._standing.say("unfit", event, session=result.session.id, reason=str(error))


def _now() -> float:
    return asyncio.get_running_loop().time()
