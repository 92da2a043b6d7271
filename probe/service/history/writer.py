"""The one task that writes the history: its file from opening to closing, and what becomes of one in trouble.

Rules:
- Whatever goes wrong with the file is a trouble with a next step, said once; the file is closed and tried again.
  A broken file is moved aside, and a new one begun.
- A disk that does not answer in time is a trouble too. What was asked of it is waited for, and is over when it answers.
- Wall times in the file, the probe's clock in memory: what one is ahead of the other is read once for each batch.
- A file that is opened is settled by what the ledger knows: an outage that lasts there and not here ended when it was
  last seen.
- What an earlier process wrote down is known before anything is written: by the file, or, where that cannot be written
  or is still another's, by a look that needs neither.
- Rows go when their time is over by a clock that can be trusted: one by which somebody was at work the day before.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from probe.evidence.sources.backoff import Backoff
from probe.model import Result
from probe.report.json import timestamp
from probe.service.clock import SteadyClock
from probe.service.history import rows
from probe.service.history.faults import GONE, SLOW, UNUSABLE, HistoryTrouble, Remedy, trouble_of
from probe.service.history.file import HistoryFile
from probe.service.history.opening import looking
from probe.service.history.patience import Patience
from probe.service.history.place import move_aside
from probe.service.history.reading import Reader
from probe.service.history.restoring import restored
from probe.service.history.stands import Stands
from probe.service.ledger import DAY
from probe.service.standing import Standing, rest
from probe.settings.parts import HistorySettings

LIVED = DAY
"""Seconds: old rows go only by a clock by which sessions were opened between one and two such times ago."""

SLOW_DISK = "the disk does not answer in time: look at its load"
UPGRADES = "an older version's tables are brought up to date, once: let it run; what it tells is taken up after that"


class Writer:
    """Writes what waits in `stands` from `begin` to `end`. `bounds`: how long and how much is kept.

    `file`: the open one, None while there is none; `written`: sessions that are in it; `pruned`: looks for what is too
    old.
    """

    def __init__(
        self, bounds: HistorySettings, clock: SteadyClock, stands: Stands, warn: Callable[..., None], patience: Patience
    ) -> None:
        self.bounds = bounds
        self.file: HistoryFile | None = None
        self.written = self.pruned = 0
        self._path = bounds.file
        self._clock = clock
        self._stands = stands
        self._backlog = stands.backlog
        self._warn = warn
        self._patience = patience
        self._standing: Standing[HistoryTrouble] = Standing(
            warn,
            fails="history: sessions are not written down; tried again within a minute",
            works="history: sessions are written down again",
        )
        self._backoff = Backoff(first=patience.again, most=patience.longest)
        self._upgrades = False
        self._prune_at = 0.0
        self._lost_before = 0
        self._begun, self._news, self._closing = asyncio.Event(), asyncio.Event(), asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    @property
    def trouble(self) -> HistoryTrouble | None:
        """What is wrong with the file; None while it serves."""
        return self._standing.trouble

    @property
    def lost(self) -> int:
        """Sessions that were never written, since the file last served."""
        return self._backlog.dropped - self._lost_before

    async def begin(self) -> None:
        """Return when it is known what the file holds, or `Patience.start` is over."""
        self._task = asyncio.create_task(self._work(), name="history")
        await rest(self._patience.start, self._begun)
        if not self._begun.is_set():
            self._hangs()

    async def end(self) -> None:
        """Write what waits, for `Patience.close`; say what is lost."""
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

    def hear(self) -> None:
        """Something waits."""
        if self.lost and self.trouble is None:
            event = "history: sessions come faster than they are written; some are lost"
            self._standing.say("faster", event, file=str(self._path))
        self._news.set()

    def cannot_read(self, trouble: HistoryTrouble) -> None:
        """Whoever asked the file was refused."""
        self._standing.tell(trouble)
        self._news.set()

    # The one task

    async def _work(self) -> None:
        await self._start()
        self._begun.set()
        while True:
            await self._until_due()
            await self._turn()
            if self._closing.is_set() and (self.trouble is not None or not self._backlog):
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
                self._stands.take_up(await restored(Reader(connection), self._clock))
        except UNUSABLE:
            return  # why it cannot be opened is told already
        except Exception as error:  # be it a fault of our own: probing goes on, and it is said
            await self._fail(error)

    @property
    def _is_in_use(self) -> bool:
        """True if somebody else has the file, who may be about to end."""
        return self.trouble is not None and self.trouble.kind in {"locked", "busy"}

    async def _until_due(self) -> None:
        if self.trouble is not None:
            await rest(self._backoff.failed(), self._closing)
            return
        wait = self._prune_at - _now()
        if wait > 0 and not self._backlog:
            self._news.clear()
            await rest(wait, self._news)
        if self._backlog and not self._backlog.is_enough:
            await rest(self._patience.gather, self._closing)

    async def _turn(self) -> None:
        with self._in_time():
            await self._do_what_is_due()

    async def _do_what_is_due(self) -> None:
        trouble = self.trouble
        if trouble is not None and trouble.remedy is not Remedy.MAKE_ROOM:
            await self._shut()
            await self._is_begun_anew()
        if self.file is None and not await self._begin():
            return
        try:
            await self._write()
            await self._prune()
            if self._is_slow:
                self._recovered()
        except Exception as error:  # be it a fault of our own: probing goes on, and it is said
            await self._fail(error)

    async def _write(self) -> None:
        file, batch = self.file, self._backlog.next()
        if file is None or not batch:
            return
        try:
            reckoning, ahead = self._clock.reckoning, self._clock.ahead
            await file.write(rows.rows_of(batch, ahead, self._on_unfit), reckoning)
        except BaseException:
            self._backlog.give_back(batch)
            raise
        self._backlog.written()
        self.written += len(batch.sessions)
        self._recovered()

    async def _prune(self) -> None:
        if self.file is None or _now() < self._prune_at or self._closing.is_set():
            return
        today = self._clock.wall(self._clock())
        older, lived = today - self.bounds.retention, min(LIVED, self.bounds.retention / 2)
        more = await self.file.shrink(self.bounds.size)
        if await self.file.reader.has_lived(today - 2 * lived, today - lived):
            bounds = {"fine": max(older, today - DAY), "older": older, "changes": min(older, today - DAY)}
            more |= await self.file.prune(**bounds)
        self.pruned += 1
        self._prune_at = _now() + (0.0 if more else self._patience.prune)

    # The file, and what is wrong with it

    async def _begin(self) -> bool:
        """Open the file; False, and a trouble, if it cannot be."""
        try:
            self.file = await HistoryFile.opened(self._path, self._on_upgrade)
            await self.file.reckon(self._clock.reckoning)
            if not self._stands.is_known:
                self._stands.take_up(await restored(self.file.reader, self._clock))
            await self.file.settle(self._stands.lasting)
        except Exception as error:  # be it a fault of our own: probing goes on, and it is said
            await self._fail(error)
            return False
        self._prune_at, self._upgrades = _now(), False
        if self._is_slow or not self._backlog:
            self._recovered()
        return True

    async def _is_begun_anew(self) -> bool:
        """Move the file aside if it is broken; what still holds is written into the new one."""
        trouble = self.trouble
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
        file, self.file = self.file, None
        if file is not None:
            await file.close()

    async def _fail(self, error: Exception) -> None:
        trouble = trouble_of(error, self._path)
        self._standing.tell(trouble)
        if trouble.remedy is not Remedy.MAKE_ROOM:
            await self._shut()
        elif self.file is not None:
            with suppress(*UNUSABLE):
                await self.file.shrink(0)

    @contextmanager
    def _in_time(self) -> Iterator[None]:
        """What is done inside ends within `Patience.answer`, or it is said that it does not; it goes on."""
        late = asyncio.get_running_loop().call_later(self._patience.answer, self._hangs)
        try:
            yield
        finally:
            late.cancel()

    def _hangs(self) -> None:
        if self.trouble is None:  # another one has its own remedy
            self._standing.tell(HistoryTrouble(SLOW, self._path, UPGRADES if self._upgrades else SLOW_DISK))

    @property
    def _is_slow(self) -> bool:
        return self.trouble is not None and self.trouble.kind == SLOW

    def _say_what_is_lost(self) -> None:
        """It ends, or another file is kept."""
        sessions, outages = self._backlog.give_up()
        if sessions or outages:
            event = "history: what was not written down before the end is lost"
            self._warn(event, file=str(self._path), sessions=sessions, outages=outages)

    def _recovered(self) -> None:
        self._standing.recovered(file=str(self._path), lost=self.lost)
        self._backoff.succeeded()
        self._lost_before = self._backlog.dropped

    def _on_upgrade(self) -> None:
        self._upgrades = True

    def _on_unfit(self, result: Result, error: Exception) -> None:
        self._backlog.dropped += 1
        event = "history: a session cannot be written down"
        self._standing.say("unfit", event, session=result.session.id, reason=str(error))


def _now() -> float:
    return asyncio.get_running_loop().time()
