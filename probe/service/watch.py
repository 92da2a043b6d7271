"""Watch evidence sources and keep what they say, as long as somebody may need it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from math import inf

from probe.evidence.age import UTC, Paces
from probe.evidence.events import Observed, Stamp
from probe.evidence.health import Heard, offset_of
from probe.evidence.read import events
from probe.evidence.scene import Clocks
from probe.evidence.sources.source import Lines, Source
from probe.model import Clock
from probe.service.hearing import Hearing

MOST_KEPT = 50_000
"""Observed lines; the oldest half goes when there are more (some 50 MB)."""


class Watch:
    """Follows every source; `observed` grows, and `news` is set whenever it did.

    `forgotten_until`: when the last line arrived that was too many to keep.
    """

    def __init__(
        self,
        sources: Sequence[Source],
        clock: Clock,
        east: Callable[[], float] = lambda: time.localtime().tm_gmtoff,
        most_kept: int = MOST_KEPT,
    ) -> None:
        """`east`: seconds by which the probe's own zone is ahead of UTC."""
        self._most_kept = most_kept
        self._east = east
        self.sources = tuple(sources)
        self.observed: list[Observed] = []
        self.forgotten_until = -inf
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

    @property
    def zones(self) -> tuple[float, float]:
        """How late stamps of now seem to be that name no zone: in UTC, as which they are read, and in the probe's."""
        return UTC, -self._east()

    @property
    def paces(self) -> Paces:
        """How late lines come, by source and by who stamps them."""
        return {(one.source.name, who): pace for one in self._hearings for who, pace in one.paces.items()}

    async def _follow(self, hearing: Hearing) -> None:
        source = hearing.source
        async for lines in source.follow():
            told = _told(lines)
            found = [
                Observed(seen.event, seen.line, lines.arrival, source.name, raw := seen.raw, told.get(raw))
                for seen in events(lines.text, now=self._clock())
            ]
            self.lines += lines.text.count(b"\n")
            hearing.note(lines, found)
            if found:
                self.observed.extend(found)
                self._trim()
                self._news.set()

    def _trim(self) -> None:
        if len(self.observed) > self._most_kept:
            oldest = slice(self._most_kept // 2)
            self.forgotten_until = max(seen.arrival for seen in self.observed[oldest])
            del self.observed[oldest]


def _told(lines: Lines) -> dict[str, Stamp]:
    """When each line was written, by the word of its source; of equal lines the last one's."""
    if not lines.stamps:
        return {}
    return {
        text.decode("utf-8", "replace").rstrip("\r\n"): stamp
        for text, stamp in zip(lines.text.split(b"\n"), lines.stamps, strict=False)  # split has one more, empty
        if stamp is not None
    }
