"""Read descriptors that the kernel can wait for: pipes, sockets, terminals. Nothing is read ahead of the consumer."""

from __future__ import annotations

import asyncio
import os

CHUNK = 1 << 16


class Wait:
    """One consumer's wait until descriptors can be read. `end` wakes it for good; then they may be closed."""

    def __init__(self) -> None:
        self.ended = False
        self._watched: tuple[int, ...] = ()
        self._ready: asyncio.Future[None] | None = None

    async def readable(self, *descriptors: int, seconds: float | None = None) -> bool:
        """True once one can be read or has ended; False if none can in so many seconds, and after `end`."""
        loop = asyncio.get_running_loop()
        if self.ended:
            return False
        self._ready, self._watched = loop.create_future(), descriptors
        try:
            for descriptor in descriptors:
                loop.add_reader(descriptor, self._wake)
            async with asyncio.timeout(seconds):
                await self._ready
        except TimeoutError:
            return False
        finally:
            self._unwatch()
        return not self.ended

    def end(self) -> None:
        """Watch no more."""
        self.ended = True
        self._unwatch()
        self._wake()

    async def pause(self, seconds: float) -> None:
        """Sleep, unless ended."""
        await self.readable(seconds=seconds)

    def _unwatch(self) -> None:
        for descriptor in self._watched:
            asyncio.get_running_loop().remove_reader(descriptor)
        self._watched = ()

    def _wake(self) -> None:
        if self._ready and not self._ready.done():
            self._ready.set_result(None)


def chunk_of(descriptor: int, room: int = CHUNK) -> bytes | None:
    """What can be read of a non-blocking descriptor now; None if nothing yet, empty at its end."""
    try:
        return os.read(descriptor, min(room, CHUNK))
    except BlockingIOError:
        return None
