"""Tasks that end with their owner.

A crew never outlives `dismiss()`: afterwards no task of it is left. What the network does to a connection (reset,
time-out, end of file) belongs to the world and ends that task alone; any other exception is a bug of ours and is
raised again by `dismiss()`, so that no test and no demo passes over it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine


class Crew:
    """A set of tasks with one owner."""

    def __init__(self) -> None:
        self._at_work: set[asyncio.Task[None]] = set()
        self._bugs: list[BaseException] = []

    def __len__(self) -> int:
        return len(self._at_work)

    def start(self, work: Coroutine[object, object, None]) -> asyncio.Task[None]:
        """Begin a task; the caller may wait for it or forget it."""
        task = asyncio.get_running_loop().create_task(work)
        self._at_work.add(task)
        task.add_done_callback(self._finished)
        return task

    def _finished(self, task: asyncio.Task[None]) -> None:
        self._at_work.discard(task)
        if task.cancelled():
            return
        bug = task.exception()
        if bug is not None and not isinstance(bug, (OSError, EOFError)):  # TimeoutError is an OSError
            self._bugs.append(bug)

    async def dismiss(self) -> None:
        """Cancel what still runs, wait for its end, raise the first bug met on the way."""
        while self._at_work:  # again, should a library have swallowed the cancellation
            for task in self._at_work:
                task.cancel()
            await asyncio.wait(set(self._at_work), timeout=1)
        if self._bugs:
            raise self._bugs[0]
