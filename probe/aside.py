"""Work that blocks, in threads that no end waits for: a dead resolver, a file system that hangs, a costly hash.

Rules:
- Each piece of work has a thread of its own, so that those which hang keep no other from going on; MOST at once.
- The threads are daemons and joined by nobody. Python's own executor waits for its threads before a process may end.
- Whoever waits for work may stop waiting. It goes on to its end, of which nobody hears.
"""

from __future__ import annotations

import asyncio
import errno
from collections.abc import Callable, Coroutine
from concurrent.futures import Future
from concurrent.futures.thread import ThreadPoolExecutor
from threading import Semaphore, Thread
from typing import Any, ParamSpec, TypeVar

MOST = 1_024
"""Threads at once. A dead resolver keeps each lookup for some 10 to 40 s, whoever has given up waiting for it."""

P = ParamSpec("P")
T = TypeVar("T")


class Threads(ThreadPoolExecutor):
    """An executor in the form that asyncio wants, without a pool."""

    def __init__(self, most: int = MOST) -> None:
        super().__init__(max_workers=1)  # none is ever started
        self._room = Semaphore(most)

    def submit(self, work: Callable[P, T], /, *arguments: P.args, **named: P.kwargs) -> Future[T]:
        """Begin it at once. Its outcome is OSError where no more threads can be had."""
        future: Future[T] = Future()

        def run() -> None:
            try:
                outcome = work(*arguments, **named)
            except BaseException as error:
                future.set_exception(error)
            else:
                future.set_result(outcome)
            finally:
                self._room.release()

        if not self._room.acquire(blocking=False):
            return _without_thread(future)
        future.set_running_or_notify_cancel()
        try:
            Thread(target=run, name=getattr(work, "__name__", "aside"), daemon=True).start()
        except RuntimeError:  # the machine gives no more
            self._room.release()
            return _without_thread(future)
        return future

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:  # noqa: FBT001, FBT002
        """Wait for nothing."""


def _without_thread(future: Future[T]) -> Future[T]:
    future.set_exception(OSError(errno.ENOMEM, "no more threads can be had: too many hang, in a resolver or on a disk"))
    return future


THREADS = Threads()


def aside(work: Callable[[], T]) -> asyncio.Future[T]:
    """The outcome of work that blocks, which is done beside the loop."""
    return asyncio.get_running_loop().run_in_executor(THREADS, work)


def run(main: Coroutine[Any, Any, T]) -> T:
    """`asyncio.run`, where asyncio and its libraries block in threads of this kind too, above all to look up names."""

    async def beside() -> T:
        asyncio.get_running_loop().set_default_executor(THREADS)
        return await main

    return asyncio.run(beside())


async def unless(stop: asyncio.Event, work: asyncio.Future[T]) -> T | None:
    """The outcome of this work; None if told to stop before it is there. The work goes on then: cancel it."""
    told = asyncio.ensure_future(stop.wait())
    try:
        either: set[asyncio.Future[Any]] = {told, work}
        await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
    finally:
        told.cancel()
    return work.result() if work.done() else None
