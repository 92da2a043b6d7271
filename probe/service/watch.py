"""Watch evidence sources and keep what they say, as long as somebody may need it.

Besides, all clients in what they say are counted, each once, however many sources tell of it.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Hashable, Iterable, Sequence
from contextlib import AbstractContextManager, asynccontextmanager
from math import inf

from probe.evidence.age import UTC, Pace, Stamper
from probe.evidence.clients import ClientCounter
from probe.evidence.events import Observed, Stamp
from probe.evidence.health import Heard, offset_of
from probe.evidence.read import events
from probe.evidence.repeats import Telling
from probe.evidence.scene import Clocks
from probe.evidence.sources.backoff import Backoff
from probe.evidence.sources.source import Lines, Source
from probe.evidence.whose import Names
from probe.model import Clients, Clock
from probe.notices import tell_bug
from probe.service.clock import shift_of
from probe.service.hearing import Hearing
from probe.service.lookout import Lookouts
from probe.service.shelf import MOST, Shelf
from probe.service.sources import is_one_alone

MOST_ADDRESSES = 10_000
"""Clients' addresses kept one by one, so that to ask for their count stays cheap (some 10 ms)."""


REPEAT = 600.0
"""Seconds in which a bug of ours in what a source brings is told once."""


class Watch:
    """Follows every source; lines are kept while a session may need them, and `news` is set whenever some came."""

    def __init__(
        self,
        sources: Sequence[Source],
        clock: Clock,
        names: Names | None = None,
        paces: dict[tuple[str, Stamper], Pace] | None = None,
        most_kept: int = MOST,
    ) -> None:
        """`paces`: how late lines came so far, by source and by who stamps them; it goes on from them."""
        self.paces = {} if paces is None else paces
        self.sources = tuple(sources)
        self._shelf = Shelf(most=most_kept)
        self._lookouts = Lookouts()
        self.lines = 0
        self._hearings = tuple(Hearing(source, self.paces) for source in self.sources)
        self._telling = Telling()
        self._counter = ClientCounter((names or Names()).whose, most_addresses=MOST_ADDRESSES)
        self._clock = clock
        self._news = asyncio.Event()
        self._bugs_told: dict[tuple[str, str], float] = {}
        self._tasks: list[asyncio.Task[None]] = []

    @asynccontextmanager
    async def opened(self) -> AsyncIterator[Watch]:
        """Its sources are open beside those of a watch before it, but for those that only one can have; see `begin`."""
        try:
            await _started(source for source in self.sources if not is_one_alone(source))
            yield self
        finally:
            await self.__aexit__()

    async def begin(self) -> None:
        """Follow every source, now that the watch before has closed its own."""
        await _started(source for source in self.sources if is_one_alone(source))
        self._tasks = [asyncio.create_task(self._follow(hearing)) for hearing in self._hearings]

    async def __aenter__(self) -> Watch:
        try:
            await _started(self.sources)
        except BaseException:
            await self.__aexit__()
            raise
        self._tasks = [asyncio.create_task(self._follow(hearing)) for hearing in self._hearings]
        return self

    async def __aexit__(self, *_: object) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        closed = await asyncio.gather(*(source.close() for source in self.sources), return_exceptions=True)
        for error in filter(None, closed):
            raise error

    async def news(self, seconds: float) -> None:
        """Return when something was observed, or after so many seconds."""
        self._news.clear()
        await self.wait(self._news, seconds)

    def on_the_lookout(self, keys: Iterable[Hashable]) -> AbstractContextManager[asyncio.Event]:
        """An event that is set when a line with one of these keys has come (bearing.py)."""
        return self._lookouts.posted(keys)

    async def wait(self, event: asyncio.Event, seconds: float) -> None:
        """Return when it is set, or after so many seconds."""
        try:
            async with asyncio.timeout(max(0.0, seconds)):
                await event.wait()
        except TimeoutError:
            return

    def since(self, moment: float) -> Sequence[Observed]:
        """What arrived since then."""
        return self._shelf.since(moment)

    @property
    def forgotten_until(self) -> float:
        """When the last line arrived that was too many to keep."""
        return self._shelf.forgotten_until

    def needed_since(self, moment: float) -> AbstractContextManager[None]:
        """Within this, whatever arrives from this moment on is kept."""
        return self._shelf.needed_since(moment)

    def hurry(self, seconds: float) -> None:
        """Ask every source to bring its lines as soon as they are there, for a while."""
        for source in self.sources:
            source.hurry(seconds)

    @property
    def deaf(self) -> bool:
        """Whether there are sources, and not one of them can bring a line before somebody mends it."""
        return bool(self.sources) and all(source.health.deaf for source in self.sources)

    def heard(self, clocks: Clocks) -> tuple[Heard, ...]:
        """What each source has brought so far, with what is known of its clock."""
        shift = shift_of(self._clock)
        return tuple(hearing.heard(offset_of(hearing.source.name, clocks), shift) for hearing in self._hearings)

    @property
    def zones(self) -> tuple[float, float]:
        """How late stamps of now seem to be that name no zone: in UTC, as which they are read, and in the probe's."""
        return UTC, -time.localtime().tm_gmtoff

    def clients(self) -> Clients:
        """All clients that the sources told of so far, not ours alone."""
        return self._counter.clients()

    async def _follow(self, hearing: Hearing) -> None:
        """Take what a source brings to its end. Our own bugs cost lines, and neither other sources nor verdicts."""
        backoff = Backoff(first=1.0, most=60.0)
        while True:
            try:
                async for lines in hearing.source.follow():
                    self._tried(hearing, lines)
                    backoff.succeeded()
            except Exception as error:
                self._stumbled(hearing, error)
            else:
                return
            await asyncio.sleep(backoff.failed())

    def _tried(self, hearing: Hearing, lines: Lines) -> None:
        try:
            self._take(hearing, lines)
            hearing.bug = ""
        except Exception as error:
            self._stumbled(hearing, error)

    def _take(self, hearing: Hearing, lines: Lines) -> None:
        stamped, name = _stamped(lines), hearing.source.name
        found = [
            Observed(told, lines.arrival, name, stamped.get(told.raw) if stamped else None)
            for told in events(lines.text, now=self._clock())
        ]
        self.lines += lines.text.count(b"\n")
        hearing.note(lines, found)
        self._count(found)
        if found:
            self._shelf.put(found)
            self._lookouts.tell(found)
            self._news.set()

    def _stumbled(self, hearing: Hearing, error: Exception) -> None:
        """Say it, of each kind at most once in REPEAT seconds."""
        hearing.bug = f"mailprobe itself is at fault ({type(error).__name__}: {error}): report it, with the log"
        kind, now = (hearing.source.name, type(error).__name__), self._clock()
        if now >= self._bugs_told.get(kind, -inf) + REPEAT:
            self._bugs_told[kind] = now
            tell_bug(error, source=hearing.source.name)

    def _count(self, found: list[Observed]) -> None:
        for seen in found:
            if self._telling.is_new(seen.source, seen.line):
                self._counter.note(seen.event, seen.program, seen)


async def _started(sources: Iterable[Source]) -> None:
    await asyncio.gather(*(source.start() for source in sources))


def _stamped(lines: Lines) -> dict[str, Stamp]:
    """When each line was written, by the word of its source; of equal lines the last one's."""
    if not lines.stamps:
        return {}
    return {
        text.decode("utf-8", "replace").rstrip("\r\n"): stamp
        for text, stamp in zip(lines.text.split(b"\n"), lines.stamps, strict=False)  # split has one more, empty
        if stamp is not None
    }
