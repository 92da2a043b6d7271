"""A log file, followed from its end through every kind of rotation: no line lost, no line doubled.

Rules:
- What is open stays open. A renamed or deleted file is read on until it has been quiet for long, because writers
  reopen late; meanwhile the new file behind the path is read beside it.
- What was rotated away unseen, or copied away before a truncation, is found among the siblings (rotated.py). They
  are searched for `Patience.search` seconds after everything that looks like a rotation.
- A truncation whose copy is not found by then is a gap: counted and said, and still taken up should it turn up.
- Idle costs one stat of the path per poll, and one fstat per file still lingering. No inotify: it does not work on
  network file systems, nor across the bind mounts of containers.
- Whatever touches a file is done in a thread of the source's own (`lane`), one step at a time, while all else goes on:
  a network file system that hangs costs its own lines, and is told. Files are closed there too, after that step.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections import deque
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path

from probe.aside import Lane, Steps
from probe.evidence.sources.generation import Generation, Key, Truncated, key_of, signature_of
from probe.evidence.sources.rotated import OPEN_FLAGS, Missing, Rotated
from probe.evidence.sources.source import Health, Lines, State
from probe.evidence.sources.unreadable import refuse_odd_files, why
from probe.model import Clock, as_written
from probe.notices import warn

MAX_HELD = 32
MAX_BACKOFF = 5.0

LEAST_SEARCHES = 5
"""For siblings after each rotation, however long the machine took for them: two of rotated names that agree, then two
of all names, and one to spare."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Patience:
    """All bounds of time, in seconds.

    `poll` between two looks at a quiet file, `hurried` between two while somebody is in a hurry; `search` for
    siblings after a rotation; `quiet` until an incomplete last line is passed on; `linger` until a renamed file that
    stays quiet is closed, `linger_deleted` if it was deleted (an open descriptor keeps its disk space occupied);
    `hangs` until it is told that the file system does not answer, `close` the longest that `close` waits for it.
    """

    poll: float = 0.05
    hurried: float = 0.001
    search: float = 2.0
    quiet: float = 5.0
    linger: float = 600.0
    linger_deleted: float = 10.0
    hangs: float = 5.0
    close: float = 0.5


PATIENCE = Patience()


Step = tuple[bytes, bool]
"""Lines, and whether every file has been looked at since the last look around."""


class FileSource:
    """Follows one log file. See `Source` for the contract of its methods."""

    def __init__(
        self, path: str | Path, *, clock: Clock, patience: Patience = PATIENCE, lane: Steps | None = None
    ) -> None:
        self._path = Path(path)
        self._shown = as_written(path)
        self._clock = clock
        self._patience = patience
        self._lane = lane or Lane(self.name)
        self._time: Callable[[], float] = float
        self._under_way: asyncio.Future[Step] | None = None
        self._pass: deque[Generation] = deque()
        self._behind = False
        self._rotated = Rotated(self._path)
        self._held: list[Generation] = []
        self._current: Generation | None = None
        self._found: os.stat_result | None = None
        self._looked = 0.0
        self._unopened: os.stat_result | None = None
        self._broken_at: int | None = None
        self._closed = False
        self._failures = 0
        self._retry_at = 0.0
        self._hurried_until = 0.0
        self._search_until = self._next_search = 0.0
        self._searches_due = 0
        self._state, self._reason = State.WAITING, "not started"
        self._lines = self._gaps = self._cut = 0
        self._last_line_at: float | None = None

    @property
    def name(self) -> str:
        """Label of its metrics and sightings."""
        return f"file:{self._shown}"

    @property
    def health(self) -> Health:
        """How it fares now."""
        counts = {"lines": self._lines, "gaps": self._gaps, "cut": self._cut}
        deaf = self._state is not State.FOLLOWING and not self._held
        return Health(state=self._state, reason=self._reason, last_line_at=self._last_line_at, deaf=deaf, **counts)

    async def start(self) -> None:
        """Stand at the end of the log as it is now; one that appears later is read from its beginning."""
        self._time = asyncio.get_running_loop().time
        self._under_way = self._lane(self._begin)
        await self._has_ended(self._under_way)

    async def follow(self) -> AsyncIterator[Lines]:
        """The lines since `start`, until `close`."""
        while not self._closed:
            self._under_way = self._under_way or self._lane(self._step)
            while not await self._has_ended(self._under_way):
                pass
            if self._closed:
                return
            step, self._under_way = self._under_way, None
            text, over = step.result()
            if text:
                yield self._arrived(text)
                await asyncio.sleep(0)
            if over:
                hurried = self._time() < self._hurried_until
                await asyncio.sleep(0 if self._behind else self._patience.hurried if hurried else self._patience.poll)

    async def _has_ended(self, step: asyncio.Future[Step]) -> bool:
        """Whether it has; where it takes long, that is told. Who stops waiting for it leaves it under way."""
        if not step.done():
            await asyncio.wait([step], timeout=self._patience.hangs)
        if not step.done():
            self._tell(State.FAILED, f"{self._shown} is on a file system that does not answer: check the mount")
        return step.done()

    def _begin(self) -> Step:
        self._look_at_path(self._time(), starting=True)
        self._rotated.snapshot()
        return b"", True

    def _step(self) -> Step:
        """The next lines; of who is in a hurry many looks, for no longer than a poll: a hand-over costs ten of them."""
        until = min(self._hurried_until, self._time() + self._patience.poll)
        text = self._next()
        while not (text or self._pass or self._behind or self._closed) and self._time() < until:
            time.sleep(self._patience.hurried)
            text = self._next()
        return text, not self._pass

    def _next(self) -> bytes:
        """The next lines of the files that are open, with a look around before the first of them."""
        if not self._pass:
            self._look(self._time())
            self._behind = False
            self._pass.extend(self._held)
        text = b""
        while self._pass and not text:
            generation = self._pass.popleft()
            text = self._take(generation, self._time())
            self._behind |= generation.behind
        return text

    def hurry(self, seconds: float) -> None:
        """Look every `Patience.hurried` seconds for a while."""
        self._hurried_until = max(self._hurried_until, asyncio.get_running_loop().time() + seconds)

    async def close(self) -> None:
        """Close every file, or leave it to the thread that hangs."""
        if self._closed:
            return
        self._closed = True
        closing = self._lane(self._close)
        self._lane.end()
        await asyncio.wait([closing], timeout=self._patience.close)
        if self._under_way is not None:
            self._under_way.cancel()  # for who still waits for it

    def _close(self) -> None:
        for generation in self._held:
            generation.close()
        self._held.clear()
        self._pass.clear()
        self._current = None

    def _arrived(self, text: bytes) -> Lines:
        arrival = self._clock()
        self._lines += text.count(b"\n")
        self._last_line_at = arrival
        return Lines(arrival, text)

    # What stands behind the path

    def _look(self, now: float) -> None:
        if now >= self._retry_at:
            self._look_at_path(now)
        if now < self._search_until or self._searches_due or self._search_again(now):
            self._search(now)
        for lost in self._rotated.missing:
            sought = now - lost.since >= self._patience.search and lost.searches >= LEAST_SEARCHES
            if sought and not lost.told:
                self._give_up_search(lost)

    def _look_at_path(self, now: float, *, starting: bool = False) -> None:
        self._found, self._looked = None, now
        try:
            found = os.stat(self._path)
            refuse_odd_files(found)
            if self._current is None or key_of(found) != self._current.key:
                self._attach(found, now, starting=starting)
        except OSError as error:
            self._trouble(error, now)
            return
        self._found = found if self._current is not None and self._current.key == key_of(found) else None
        if self._broken_at is None:
            self._failures = 0
            self._tell(State.FOLLOWING, "")

    def _attach(self, found: os.stat_result, now: float, *, starting: bool) -> None:
        if not self._has_room():
            return
        if not starting:
            self._rotated.snapshot()
        self._current = self._held_as(key_of(found)) or self._open(found, now, starting=starting)
        if not starting:
            self._begin_search(now)

    def _open(self, found: os.stat_result, now: float, *, starting: bool) -> Generation:
        """The file behind the path: at its end at the start, where it was left, or at its beginning."""
        if starting:
            self._unopened = found
        fd = os.open(self._path, OPEN_FLAGS)
        try:
            # Another file than was looked at may stand behind the path by now, even one that is held.
            opened = self._held_as(key_of(os.fstat(fd)))
            if opened is None:
                self._held.append(self._position(fd, now))
                return self._held[-1]
        except BaseException:
            os.close(fd)
            raise
        os.close(fd)
        return opened

    def _held_as(self, key: Key) -> Generation | None:
        return next((held for held in self._held if held.key == key), None)

    def _position(self, fd: int, now: float) -> Generation:
        opened = os.fstat(fd)
        before, self._unopened = self._unopened, None
        if before and key_of(before) == key_of(opened) and before.st_size <= opened.st_size:
            return Generation.after(fd, before.st_size, now=now)
        generation = self._rotated.resume(fd, now)
        if self._broken_at and generation.position != self._broken_at:
            self._broken_at = 0
            self._gap("a file that could not be read any more was replaced")
        return generation

    def _begin_search(self, now: float) -> None:
        self._search_until = now + self._patience.search
        self._searches_due = LEAST_SEARCHES

    def _search_again(self, now: float) -> bool:
        """Once a second while a sibling is still empty or being copied: a server may yet write into it."""
        lingering = now < self._search_until + self._patience.linger
        return self._rotated.unsettled and lingering and now >= self._next_search

    def _search(self, now: float) -> None:
        self._next_search = now + 1.0
        self._searches_due = max(0, self._searches_due - 1)
        if self._has_room():
            self._held[:0] = self._rotated.search(self._held, now)
        else:
            self._rotated.unsettled = True

    def _has_room(self) -> bool:
        """True if another file may be opened; of many lingering ones the longest quiet makes room, at its end."""
        if len(self._held) < MAX_HELD:
            return True
        read = [held for held in self._held if held is not self._current and held.is_read()]
        if read:
            self._drop(min(read, key=lambda held: held.grown))
        return bool(read)

    # What the open files give

    def _take(self, generation: Generation, now: float) -> bytes:
        """The next lines of one file, and what its state calls for."""
        try:
            if generation is self._current and self._found:
                found, looked = self._found, self._looked
            else:
                found, looked = os.fstat(generation.fd), now
            if signature_of(found) == generation.signature:
                return self._settle(generation, found, looked)
            if generation.position == 0 and generation is self._current:
                self._begin_search(now)
            return self._read(generation, found)
        except Truncated:
            return self._truncated(generation, now)
        except OSError as error:
            return self._break(generation, error, now)

    def _read(self, generation: Generation, found: os.stat_result) -> bytes:
        before = generation.position
        text = generation.read(found)
        if generation.position != before:
            generation.grown = self._time()
        if generation is self._current:
            self._broken_at = None
        if generation.position == generation.limit and not text:
            text = self._drop(generation)
        return self._counting_cuts(generation, text)

    def _settle(self, generation: Generation, found: os.stat_result, looked: float) -> bytes:
        """`looked`: until when nothing came. On a loaded machine that is not now, and more may have come since."""
        quiet = looked - generation.grown
        linger = self._patience.linger if found.st_nlink else self._patience.linger_deleted
        text = b""
        if quiet >= self._patience.quiet:
            text = generation.joiner.give_up()
        if quiet >= linger and generation is not self._current:
            text += self._drop(generation)
        return self._counting_cuts(generation, text)

    def _truncated(self, generation: Generation, now: float) -> bytes:
        if generation.limit is not None:
            self._gap("the copy of a truncated log was itself truncated")
            return self._counting_cuts(generation, self._drop(generation))
        sought = self._rotated.missing
        if len(sought) == sought.maxlen and not sought[0].told:
            self._give_up_search(sought[0])
        joiner, delivered = generation.joiner, generation.delivered
        mark = generation.restart()
        if delivered:
            self._rotated.lose(mark, joiner, now)
        self._begin_search(now)
        return b""

    def _break(self, generation: Generation, error: OSError, now: float) -> bytes:
        """A file that cannot be read any more is closed; the one behind the path is opened again."""
        text = self._drop(generation)
        if generation is self._current:
            self._current = None
            self._broken_at = generation.position
            self._trouble(error, now)
        else:
            self._gap("a rotated file could not be read to its end")
        return self._counting_cuts(generation, text)

    def _drop(self, generation: Generation) -> bytes:
        text = generation.joiner.give_up()
        self._rotated.remember(generation)
        self._held.remove(generation)
        generation.close()
        return text

    def _counting_cuts(self, generation: Generation, text: bytes) -> bytes:
        self._cut += generation.joiner.cut
        generation.joiner.cut = 0
        return text

    # What is said about it

    def _give_up_search(self, lost: Missing) -> None:
        lost.told = True
        self._gap("the log was truncated and no copy of it was found beside it")

    def _gap(self, reason: str) -> None:
        self._gaps += 1
        warn(
            "log lines may be lost",
            path=self._shown,
            reason=reason,
            next_step="let logrotate keep the copy in the same directory, or rotate by rename",
        )

    def _trouble(self, error: OSError, now: float) -> None:
        state, reason = why(error)
        if state is State.FAILED:
            self._retry_at = now + min(MAX_BACKOFF, self._patience.poll * 2**self._failures)
            self._failures = min(self._failures + 1, 16)
        self._tell(state, f"{self._shown} {reason}")

    def _tell(self, state: State, reason: str) -> None:
        if (state, reason) == (self._state, self._reason):
            return
        self._state, self._reason = state, reason
        if reason:
            warn("log file " + state, path=self._shown, reason=reason)
