"""A log file, followed from its end through every kind of rotation: no line lost, no line doubled.

Rules:
- What is open stays open. A renamed or deleted file is read on until it has been quiet for long, because writers
  reopen late; meanwhile the new file behind the path is read beside it.
- What was rotated away unseen, or copied away before a truncation, is found among the siblings (rotated.py). They
  are searched for `Patience.search` seconds after everything that looks like a rotation.
- A truncation whose copy is not found by then is a gap: counted and said, and still taken up should it turn up.
- Idle costs one stat of the path per poll, and one fstat per file still lingering. No inotify: it does not work on
  network file systems, nor across the bind mounts of containers.
"""

from __future__ import annotations

import asyncio
import errno
import os
import stat
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

from probe.evidence.sources.generation import Generation, Key, Truncated, key_of, signature_of
from probe.evidence.sources.rotated import OPEN_FLAGS, Missing, Rotated
from probe.evidence.sources.source import Health, Lines, State
from probe.model import Clock
from probe.notices import warn

MAX_HELD = 32
MAX_BACKOFF = 5.0

LEAST_SEARCHES = 5
"""For siblings after each rotation, however long the machine took for them: two of rotated names that agree, then two
of all names, and one to spare."""

_NO_ACCESS = (
    "may not be read: give the probe's user access to the file and its directories (with systemd: drop-ins/logs.conf)"
)
_REASONS: dict[int | None, tuple[State, str]] = {
    errno.ENOENT: (State.WAITING, "does not exist yet; waiting for it: check the path and where the server logs"),
    errno.ENOTDIR: (State.WAITING, "has a part that is no directory; waiting: check the path"),
    errno.EACCES: (State.FAILED, _NO_ACCESS),
    errno.EPERM: (State.FAILED, _NO_ACCESS),
    errno.EINVAL: (State.FAILED, "is no regular file: name the log file itself"),
    errno.EISDIR: (State.FAILED, "is a directory: name the log file in it"),
    errno.ELOOP: (State.FAILED, "is a circle of symbolic links: correct the link"),
    errno.ESTALE: (State.FAILED, "is a stale file handle: check the mount"),
    errno.EIO: (State.FAILED, "cannot be read, input/output error: check the disk or the mount"),
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Patience:
    """All bounds of time, in seconds.

    `poll` between two looks at a quiet file, `hurried` between two while somebody is in a hurry; `search` for
    siblings after a rotation; `quiet` until an incomplete last line is passed on; `linger` until a renamed file that
    stays quiet is closed, `linger_deleted` if it was deleted (an open descriptor keeps its disk space occupied).
    """

    poll: float = 0.05
    hurried: float = 0.001
    search: float = 2.0
    quiet: float = 5.0
    linger: float = 600.0
    linger_deleted: float = 10.0


PATIENCE = Patience()


class FileSource:
    """Follows one log file. See `Source` for the contract of its methods."""

    def __init__(self, path: str | Path, *, clock: Clock, patience: Patience = PATIENCE) -> None:
        self._path = Path(path)
        self._clock = clock
        self._patience = patience
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
        return f"file:{self._path}"

    @property
    def health(self) -> Health:
        """How it fares now."""
        return Health(
            state=self._state,
            reason=self._reason,
            lines=self._lines,
            last_line_at=self._last_line_at,
            gaps=self._gaps,
            cut=self._cut,
            deaf=self._state is not State.FOLLOWING and not self._held,
        )

    async def start(self) -> None:
        """Stand at the end of the log as it is now; one that appears later is read from its beginning."""
        now = asyncio.get_running_loop().time()
        self._look_at_path(now, starting=True)
        self._rotated.snapshot()

    async def follow(self) -> AsyncIterator[Lines]:
        """The lines since `start`, until `close`."""
        loop = asyncio.get_running_loop()
        while not self._closed:
            self._look(loop.time())
            behind = False
            for generation in tuple(self._held):
                text = self._take(generation, loop.time())
                behind |= generation.behind
                if text:
                    yield self._arrived(text)
                    await asyncio.sleep(0)
                if self._closed:
                    return
            hurried = loop.time() < self._hurried_until
            await asyncio.sleep(0 if behind else self._patience.hurried if hurried else self._patience.poll)

    def hurry(self, seconds: float) -> None:
        """Look every `Patience.hurried` seconds for a while."""
        self._hurried_until = max(self._hurried_until, asyncio.get_running_loop().time() + seconds)

    async def close(self) -> None:
        """Close every file."""
        self._closed = True
        for generation in self._held:
            generation.close()
        self._held.clear()
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
            generation.grown = asyncio.get_running_loop().time()
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
            path=str(self._path),
            reason=reason,
            next_step="let logrotate keep the copy in the same directory, or rotate by rename",
        )

    def _trouble(self, error: OSError, now: float) -> None:
        state, reason = _REASONS.get(error.errno, (State.FAILED, f"{error.strerror}: check the path and the mount"))
        if state is State.FAILED:
            self._retry_at = now + min(MAX_BACKOFF, self._patience.poll * 2**self._failures)
            self._failures = min(self._failures + 1, 16)
        self._tell(state, f"{self._path} {reason}")

    def _tell(self, state: State, reason: str) -> None:
        if (state, reason) == (self._state, self._reason):
            return
        self._state, self._reason = state, reason
        if reason:
            warn("log file " + state, path=str(self._path), reason=reason)


def refuse_odd_files(found: os.stat_result) -> None:
    """A pipe or device would block or give each line to one reader only."""
    if stat.S_ISDIR(found.st_mode):
        raise IsADirectoryError(errno.EISDIR, "is a directory")
    if not stat.S_ISREG(found.st_mode):
        raise OSError(errno.EINVAL, "is no regular file")
