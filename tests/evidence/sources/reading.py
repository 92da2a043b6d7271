"""A consumer for the tests: follows a source in a task and waits, with a deadline, for what must arrive."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path

from probe.evidence.sources.file import FileSource, Patience
from probe.evidence.sources.source import Lines, Source, State

BRIEF = Patience(poll=0.005, search=0.3, quiet=0.2, linger=5.0, linger_deleted=0.5)
DEADLINE = 30.0


class Reading:
    """What arrived of a source so far."""

    def __init__(self, source: Source) -> None:
        self.source = source
        self.arrived: list[Lines] = []

    @property
    def text(self) -> bytes:
        return b"".join(lines.text for lines in self.arrived)

    @property
    def lines(self) -> list[bytes]:
        return self.text.splitlines(keepends=True)

    def state(self) -> State:
        return self.source.health.state

    async def consume(self) -> None:
        async for lines in self.source.follow():
            self.arrived.append(lines)

    async def until(self, reached: Callable[[], bool], deadline: float = DEADLINE) -> None:
        async with asyncio.timeout(deadline):
            while not reached():  # noqa: ASYNC110 - what happens outside this process sets no event
                await asyncio.sleep(0.002)

    async def receives(self, *expected: bytes) -> None:
        """All expected lines arrive, in any order of the files, and nothing else does while it is searched."""
        with suppress(TimeoutError):
            await self.until(lambda: len(self.lines) >= len(expected), 5)
        await self.settled()
        assert sorted(self.lines) == sorted(expected)

    async def settled(self, patience: Patience = BRIEF) -> None:
        """The search after a rotation is over: whatever it could double has been doubled by now."""
        over = time.monotonic() + 1.5 * patience.search
        await self.until(lambda: time.monotonic() > over)


@asynccontextmanager
async def consuming(source: Source) -> AsyncIterator[Reading]:
    """Follow a source from where it stands now."""
    consumer = Reading(source)
    await source.start()
    task = asyncio.create_task(consumer.consume())
    try:
        yield consumer
    finally:
        await source.close()
        await task


@asynccontextmanager
async def reading(path: Path, patience: Patience = BRIEF) -> AsyncIterator[Reading]:
    """Follow the log at `path` from its end."""
    async with consuming(FileSource(path, clock=time.time, patience=patience)) as consumer:
        yield consumer
