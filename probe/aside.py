"""Work that blocks, in threads that no end waits for: a dead resolver, a file system that hangs, a costly hash.

Rules:
- Each piece of work has a thread of its own, so that those which hang keep no other from going on; MOST at once.
- The threads are daemons and joined by nobody. Python's own executor waits for its threads before a process may end.
- Whoever waits for work may stop waiting. It goes on to its end, of which nobody hears.
- What touches a file is done here, within a bound (`within`, `Again`, `Lane`): a FIFO in the place of a file, or a file
  system that hangs, then costs what the file is for and nothing else. tests/test_blocking.py holds who may open files.
"""

from __future__ import annotations

import asyncio
import errno
import os
import stat
from collections.abc import Callable, Coroutine
from concurrent.futures import Future
from concurrent.futures.thread import ThreadPoolExecutor
from pathlib import Path
from queue import SimpleQueue
from threading import Semaphore, Thread
from typing import Any, Generic, ParamSpec, Protocol, TypeVar

MOST = 1_024
"""Threads at once. Lookups of paths are none of them (sessions/lookup.py)."""

FILES = 2.0
"""Seconds for a small file: a disk that spins up takes as long."""

P = ParamSpec("P")
T = TypeVar("T")


class NoThread(OSError):
    """No thread can be had for a piece of work. An OSError, as where the machine has no memory."""

    def __init__(self) -> None:
        super().__init__(errno.ENOMEM, "no more threads can be had: too many hang, on a disk or in a resolver")


class Threads(ThreadPoolExecutor):
    """An executor in the form that asyncio wants, without a pool."""

    def __init__(self, most: int = MOST) -> None:
        super().__init__(max_workers=1)  # none is ever started
        self._room = Semaphore(most)

    def submit(self, work: Callable[P, T], /, *arguments: P.args, **named: P.kwargs) -> Future[T]:
        """Begin it at once. Its outcome is NoThread where no more threads can be had."""
        future: Future[T] = Future()

        def run() -> None:
            try:
                outcome = work(*arguments, **named)
            except BaseException as error:
                self._room.release()
                future.set_exception(error)
            else:
                self._room.release()
                future.set_result(outcome)

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
    future.set_exception(NoThread())
    return future


THREADS = Threads()


def aside(work: Callable[[], T]) -> asyncio.Future[T]:
    """The outcome of work that blocks, which is done beside the loop."""
    return asyncio.get_running_loop().run_in_executor(THREADS, work)


class Hangs(OSError):
    """Work has not ended within its bound. An OSError, for that is what a file that hangs is to those who read it."""

    def __init__(self, bound: float) -> None:
        super().__init__(errno.ETIMEDOUT, f"no answer within {bound:g} s: see that it is on a file system that answers")


class Again(Generic[T]):
    """Work that is done again and again and may hang: while it is under way, whoever wants its outcome shares it.

    So of work that hangs there is one thread, and nobody waits for longer than `bound` seconds from its beginning.
    """

    def __init__(self, work: Callable[[], T], bound: float = FILES) -> None:
        self._work = work
        self._bound = bound
        self._under_way: asyncio.Future[T] | None = None
        self._until = 0.0

    @property
    def is_under_way(self) -> bool:
        """Whether it has begun and not ended."""
        return self._under_way is not None and not self._under_way.done()

    async def outcome(self) -> T:
        """What it comes to now. Raises Hangs, or what the work raises."""
        now = asyncio.get_running_loop().time()
        if self._under_way is None or self._under_way.done():
            self._under_way, self._until = aside(self._work), now + self._bound
            self._under_way.add_done_callback(unheard)
        shared = self._under_way
        await asyncio.wait([shared], timeout=max(0.0, self._until - now))
        if not shared.done():
            raise Hangs(self._bound)
        return shared.result()


async def within(bound: float, work: Callable[[], T]) -> T:
    """The outcome of work that is done once. Raises Hangs, or what the work raises."""
    return await Again(work, bound).outcome()


def unheard(work: asyncio.Future[Any]) -> None:
    """How work failed that was given up is nobody's business."""
    if not work.cancelled():
        work.exception()


class Steps(Protocol):
    """Does pieces of work in order, where it holds up nobody."""

    def __call__(self, work: Callable[[], T]) -> asyncio.Future[T]:
        """The outcome of this piece, after those before it."""

    def end(self) -> None:
        """Nothing follows."""


class Lane:
    """Blocking work in order, in one thread: for many small pieces that each do less than beginning a thread takes."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._pieces: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        self._begun = False

    def __call__(self, work: Callable[[], T]) -> asyncio.Future[T]:
        """The outcome of this piece, after those before it. OSError where no thread can be had."""
        future: Future[T] = Future()

        def piece() -> None:
            if not future.set_running_or_notify_cancel():
                return
            try:
                outcome = work()
            except BaseException as error:
                future.set_exception(error)
            else:
                future.set_result(outcome)

        self._pieces.put(piece)
        if not self._begun:
            try:
                Thread(target=self._go, name=self._name, daemon=True).start()
            except RuntimeError:  # the machine gives no more
                self._pieces.get()
                return asyncio.wrap_future(_without_thread(future))
            self._begun = True
        return asyncio.wrap_future(future)

    def end(self) -> None:
        """Let go of the thread after the pieces that it was given."""
        self._pieces.put(None)

    def _go(self) -> None:
        while piece := self._pieces.get():
            piece()


def contents(file: Path, most: int) -> bytes:
    """The first `most` bytes of a regular file. OSError, also where it is none; it blocks, so do it aside."""
    descriptor = os.open(file, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY)
    with open(descriptor, "rb") as opened:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise OSError(errno.EINVAL, "no regular file", str(file))
        return opened.read(most)


State = tuple[str, int, int, int]


def state_of(file: Path) -> State:
    """What a file is by now, so that its reader sees that it is another one, or gone, without reading it. Blocks."""
    try:
        found = file.stat()
    except OSError as error:
        return str(file), -1, error.errno or 0, 0
    return str(file), found.st_mtime_ns, found.st_size, found.st_ino


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
