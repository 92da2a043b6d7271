"""Standard input: what somebody pipes in, as in `kubectl logs -f --since=1s … | probe --once`.

Rules:
- A pipe's lines are all passed on, also those that were written before the start: stamps tell them apart (age.py).
- A regular file is read from its end as it was at the start, and on as it grows; rotation is the business of a path.
- Its end is told and stays: a pipe that is closed never opens again. Half a line before the end is no line.
- The descriptor is left as it is. It may be shared with a shell or with our own output, so it must not become
  non-blocking; it is read when the kernel says that there is something.
"""

from __future__ import annotations

import os
import select
import stat
from collections.abc import AsyncIterator, Callable

from probe.evidence.sources.descriptor import CHUNK, Wait
from probe.evidence.sources.source import Health, LineJoiner, Lines, State
from probe.evidence.sources.standing import Standing

POLL = 0.02
"""Seconds between two looks at a regular file."""

_CLOSED = "standard input is closed: pipe a log into the probe, or name a file"
_TERMINAL = "standard input is a terminal: pipe a log into the probe, or type one"
_ENDED = "standard input has ended, so nothing more will come: keep its writer running (kubectl logs needs -f)"


class StdinSource:
    """Reads one descriptor, None if it is closed. See `Source` for the contract of its methods."""

    def __init__(self, descriptor: int | None, *, clock: Callable[[], float]) -> None:
        self._descriptor = descriptor
        self._clock = clock
        self._standing = Standing(self.name)
        self._joiner = LineJoiner()
        self._wait = Wait()
        self._offset: int | None = None

    @property
    def name(self) -> str:
        """Label of its metrics and sightings."""
        return "file:-"

    @property
    def health(self) -> Health:
        """How it fares now."""
        return self._standing.health

    async def start(self) -> None:
        """Stand at the end of a regular file; of anything else, everything counts."""
        if self._descriptor is None:
            self._standing.tell(State.FAILED, _CLOSED)
            return
        try:
            found = os.fstat(self._descriptor)
        except OSError:
            self._descriptor = None
            self._standing.tell(State.FAILED, _CLOSED)
            return
        if stat.S_ISREG(found.st_mode):
            self._offset = found.st_size
        if os.isatty(self._descriptor):
            self._standing.tell(State.WAITING, _TERMINAL)
        else:
            self._standing.tell(State.FOLLOWING)

    async def follow(self) -> AsyncIterator[Lines]:
        """The lines as they come; after the end of the input it waits for `close`."""
        while not self._wait.ended:
            chunk = await self._read(self._descriptor) if self._descriptor is not None else b""
            if self._wait.ended:
                return
            if chunk is None:
                continue
            if not chunk:
                self._end()
                await self._wait.readable()
                continue
            if text := self._joiner.feed(chunk):
                self._standing.cut(self._joiner.cut)
                self._joiner.cut = 0
                self._standing.tell(State.FOLLOWING)
                yield self._standing.arrived(self._clock(), text)
            await self._wait.pause(0)

    def hurry(self, seconds: float) -> None:
        """A pipe is read as it is written."""

    async def close(self) -> None:
        """Read no more; the descriptor is not ours to close."""
        self._wait.end()

    async def _read(self, descriptor: int) -> bytes | None:
        """What there is, None if nothing yet, empty at the end."""
        room = min(self._joiner.room, CHUNK)
        try:
            if self._offset is None:
                return os.read(descriptor, room) if await self._is_ready(descriptor) else None
            chunk = os.pread(descriptor, room, self._offset)
        except OSError as error:
            self._standing.tell(State.FAILED, f"standard input cannot be read: {error.strerror}")
            return b""
        if not chunk:
            self._offset = min(self._offset, os.fstat(descriptor).st_size)
            await self._wait.pause(POLL)
            return None
        self._offset += len(chunk)
        return chunk

    async def _is_ready(self, descriptor: int) -> bool:
        try:
            await self._wait.readable(descriptor)
        except PermissionError:
            return True  # a device that is always ready, such as /dev/null
        waiting = select.poll()
        waiting.register(descriptor, select.POLLIN)
        return not self._wait.ended and bool(waiting.poll(0))

    def _end(self) -> None:
        if self._descriptor is not None and self.health.state is not State.FAILED:
            self._standing.tell(State.FAILED, _ENDED)
        if self._joiner.held:
            self._standing.gap("standard input ended in the middle of a line", "let its writer end its lines")
            self._joiner = LineJoiner()
        self._descriptor = None
