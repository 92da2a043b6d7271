"""Watch evidence sources and keep what they say, as long as somebody may need it."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from probe.evidence.events import Observed
from probe.evidence.health import Heard, offset_of
from probe.evidence.read import events
from probe.evidence.scene import Clocks
from probe.evidence.sources.source import Source
from probe.model import Clock
from probe.service.hearing import Hearing

MOST_KEPT = 50_000
"""Observed lines; the oldest half goes when there are more (some 25 MB)."""


class Watch:
    """Follows every source; `observed` grows, and `news` is set whenever it did."""

    def __init__(self, sources: Sequence[Source], clock: Clock) -> None:
        self.sources = tuple(sources)
        self.observed: list[Observed] = []
        self.lines = 0
        self._hearings = tuple(Hearing(source) for source in self.sources)
        self._clock = clock
        self._news = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> Watch:
        await asyncio.gather(*(source.start() for source in self.sources))
        self._tasks = [asyncio.create_task(self._follow(hearing)) for hearing in self._hearings]
        return self

    async def __aexit__(self, *_: object) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await asyncio.gather(*(source.close() for source in self.sources))

    async def news(self, seconds: float) -> None:
        """Return when something was observed, or after so many seconds; a bug of a source's is raised here."""
        for task in self._tasks:
            if task.done() and not task.cancelled() and (bug := task.exception()):
                raise bug
        self._news.clear()
        try:
            async with asyncio.timeout(max(0.0, seconds)):
                await self._news.wait()
        except TimeoutError:
            return

    def hurry(self, seconds: float) -> None:
        """Ask every source to bring its lines as soon as they are there, for a while."""
        for source in self.sources:
            source.hurry(seconds)

    def heard(self, clocks: Clocks) -> tuple[Heard, ...]:
        """What each source has brought so far, with what is known of its clock."""
        return tuple(hearing.heard(offset_of(hearing.source.name, clocks)) for hearing in self._hearings)

    async def _follow(self, hearing: Hearing) -> None:
        source = hearing.source
        async for lines in source.follow():
            found = [Observed(told, lines.arrival, source.name) for told in events(lines.text, now=self._clock())]
            self.lines += lines.text.count(b"\n")
            hearing.note(lines, len(found))
            if found:
                self.observed.extend(found)
                self._trim()
                self._news.set()

    def _trim(self) -> None:
        if len(self.observed) > MOST_KEPT:
            del self.observed[: MOST_KEPT // 2]
