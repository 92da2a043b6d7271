"""A writer whose steps fall between the reader's system calls, at places that a seed or a number decides.

Both run in one thread: a profile function sees each system call that the reader is about to make, and lets the writer
go on before it. Time is the event loop's own and passes only while everybody sleeps, so a run is the same each time.
"""

from __future__ import annotations

import asyncio
import os
import selectors
import sys
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any, TypeVar, cast

from probe.evidence.sources import file

READER = os.path.dirname(file.__file__)
SYSTEM_CALLS = {"close", "fstat", "is_file", "lseek", "lstat", "open", "pread", "scandir", "stat"}

T = TypeVar("T")


class _Selector(selectors.SelectSelector):
    """Never waits: the time that it was to wait has passed when it returns."""

    passed = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        self.passed += timeout or 0.0
        return super().select(0)


class _Loop(asyncio.SelectorEventLoop):
    def __init__(self) -> None:
        self._passing = _Selector()
        super().__init__(self._passing)

    def time(self) -> float:
        return self._passing.passed

    def stall(self, seconds: float) -> None:
        self._passing.passed += seconds


class Inline:
    """Does the reader's work where it is asked for: in the one thread in which everything interleaves."""

    def __call__(self, work: Callable[[], T]) -> asyncio.Future[T]:
        done: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        done.set_result(work())
        return done

    def end(self) -> None:
        """Nothing to let go of."""


def stall(seconds: float) -> None:
    """Let time pass in the middle of whatever the reader does, as when the machine gives it no processor."""
    cast(_Loop, asyncio.get_running_loop()).stall(seconds)


def timeless(work: Coroutine[Any, Any, T]) -> T:
    """Run to the end; sleeping takes no time."""
    with asyncio.Runner(loop_factory=_Loop) as runner:
        return runner.run(work)


@contextmanager
def before_each_call(act: Callable[[int], None]) -> Iterator[None]:
    """Call `act` with the number of each system call that the reader is about to make."""
    number = 0

    def profile(frame: FrameType, event: str, called: Any) -> None:
        nonlocal number
        ours = event == "c_call" and frame.f_code.co_filename.startswith(READER)
        if ours and called.__name__ in SYSTEM_CALLS:
            sys.setprofile(None)
            number += 1
            act(number)
            sys.setprofile(profile)

    before = sys.getprofile()
    sys.setprofile(profile)
    try:
        yield
    finally:
        sys.setprofile(before)
