"""What was rotated away: the siblings of a log file, which of them are read, and which are looked for.

Rules:
- A sibling whose signature did not change since it was marked is not even opened.
- A sibling (or what was added to one since it was marked) that begins like a generation we know is a copy of it. It
  is read only if that generation was truncated before we had read it all, and then from our position.
- One that begins like no generation we know came and went between two looks. It is read from its beginning, if its
  name is a rotated one and it was written after we started: other logs live in the same directory.
- What is still empty, or still being copied, is left unmarked and looked at again.
- A copy that was read in its original's place hands its place over when the original turns out to go on.
- Names change hands while we look, and files grow: what was opened must be what was listed, and of two files the one
  that may be the copy is measured first. While they do, no copy of what is missing is taken: a longer one may have
  been passed over.
"""

from __future__ import annotations

import errno
import os
import re
import stat
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from probe.evidence.sources.generation import (
    OVERLAP,
    Generation,
    Key,
    Mark,
    beginning,
    key_of,
    mark_at,
    same_start,
    signature_of,
)
from probe.evidence.sources.source import LineJoiner

MAX_MARKS = 2048
OPEN_FLAGS = os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY

_SUFFIX = re.compile(r"[-._](?:\d[-._T\d]*|old|bak)")


@dataclass(slots=True)
class Missing:
    """A generation that was truncated: how far it was read, the incomplete line at that point, since when sought.

    `copy` is the longest copy of it in the last search, `before` in the one before: a listing may miss a file that is
    being renamed, so a copy counts when it is the longest twice in a row.
    """

    mark: Mark
    joiner: LineJoiner
    since: float
    searches: int = 0
    copy: tuple[Key, int] | None = None
    before: tuple[Key, int] | None = None
    told: bool = False


class Rotated:
    """The siblings of the log at `path`."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._marks: dict[Key, Mark] = {}
        # The first bytes of what is read, apart from the marks: an inode that is used again takes its mark's place.
        self._heads: dict[bytes, None] = {}
        self._listed: set[Path] = set()
        self._since_mtime = 0
        self.missing: deque[Missing] = deque(maxlen=8)
        self.unsettled = False
        self._names: dict[Path, Key] = {}
        self._disturbed = False

    def snapshot(self) -> None:
        """Count everything that stands beside the log now as read: once per directory, when it is first seen."""
        folder = self._real().parent
        if folder in self._listed or not os.path.isdir(folder):
            return
        self._listed.add(folder)
        for path, found in self._siblings(rotated_only=True):
            self._since_mtime = max(self._since_mtime, found.st_mtime_ns)
            with suppress(OSError):
                fd = open_regular(path)
                try:
                    self._keep(key_of(found), mark_at(fd, found.st_size))
                finally:
                    os.close(fd)

    def lose(self, mark: Mark, joiner: LineJoiner, now: float) -> None:
        """A generation was truncated; its copy is looked for. It stays known when nobody looks for it any more."""
        self._know(mark.head)
        self.missing.append(Missing(mark, joiner, now))

    def remember(self, generation: Generation) -> None:
        """Keep the mark of a generation that is about to be closed."""
        self._keep(generation.key, generation.mark())

    def resume(self, fd: int, now: float) -> Generation:
        """Read an opened file from where it was left, or from its beginning if it is new."""
        mark = self._mark_of(fd)
        return Generation(fd, now=now, mark=mark)

    def search(self, held: Sequence[Generation], now: float) -> list[Generation]:
        """Open what is to be read among the siblings; those in `held` are open already."""
        self.unsettled = self._disturbed = False
        for lost in self.missing:
            lost.before, lost.copy = lost.copy, None
        found: list[Generation] = []
        anywhere = any(lost.searches > 1 and not lost.told for lost in self.missing)
        siblings = self._siblings(rotated_only=not anywhere)
        before, self._names = self._names, {path: key_of(seen) for path, seen in siblings}
        self._disturbed |= self._names != before
        for path, seen in siblings:
            known = [*held, *found]
            if key_of(seen) not in {generation.key for generation in known} and not self._is_read(seen):
                found.extend(self._consider(path, key_of(seen), held=known, now=now))
        for lost in self.missing:
            lost.searches += 1
        return found

    def _consider(self, path: Path, key: Key, *, held: Sequence[Generation], now: float) -> Iterator[Generation]:
        fd = self._open(path, key)
        if fd is None:
            self.unsettled = True
            return
        wanted = None
        try:
            wanted = self._wanted(fd, path.name, held, now)
        except OSError:
            self.unsettled = True
        if wanted is None:
            os.close(fd)
        elif wanted not in held:
            yield wanted

    def _open(self, path: Path, key: Key) -> int | None:
        """Open what was listed; None if it may not be read, or if something else is there by now."""
        try:
            fd = open_regular(path)
        except PermissionError:
            return None
        except OSError:
            self._disturbed = True
            return None
        if key_of(os.fstat(fd)) == key:
            return fd
        os.close(fd)
        self._disturbed = True
        return None

    def _wanted(self, fd: int, name: str, held: Sequence[Generation], now: float) -> Generation | None:
        wanted = self._copy_of_missing(fd, now)
        if wanted is not None or not is_rotated(name, self._real().name):
            return wanted
        if self._is_unknown(fd, held):
            return self.resume(fd, now)
        return self._gone_on(fd, held)

    def _copy_of_missing(self, fd: int, now: float) -> Generation | None:
        known = self._mark_of(fd)
        base = known.position if known else 0
        size = os.fstat(fd).st_size
        for lost in self.missing:
            if lost.copy is not None:
                continue
            if lost.mark.fits(fd, base):
                begun = known if known and base else lost.mark
                mark = replace(begun, position=base + lost.mark.position, tail=lost.mark.tail)
            elif lost.mark.covers(fd, base, size):
                mark = mark_at(fd, size)
            else:
                continue
            lost.copy = key_of(os.fstat(fd)), size
            if self._disturbed or lost.copy != lost.before:
                return None
            self.missing.remove(lost)
            copy = Generation(fd, now=now, mark=mark)
            copy.joiner, copy.limit = lost.joiner, size
            return copy
        return None

    def _is_unknown(self, fd: int, held: Iterable[Generation]) -> bool:
        known = self._mark_of(fd)
        _, head = beginning(fd, known.position if known else 0)
        if not head:
            self.unsettled |= known is None
            return False
        if os.fstat(fd).st_mtime_ns < self._since_mtime:
            return False
        if any(same_start(head, read) for read in self._heads):
            return False
        if any(generation.starts_like(head) or (known and generation.goes_past(known)) for generation in held):
            return False
        # A file behind the path that is not open yet may be the one this is a copy of: then look again later.
        opened = self._path_is_held(held)
        self.unsettled |= not opened
        return opened

    def _gone_on(self, fd: int, held: Iterable[Generation]) -> Generation | None:
        """The held copy that this file is the original of: it is read on here. No copy outgrows its original."""
        size = os.fstat(fd).st_size  # before that of the held ones: an original may grow, and be copied, in between
        for copy in held:
            ends = copy.delivered and os.fstat(copy.fd).st_size == copy.position < size
            if ends and copy.mark().fits(copy.fd) and copy.mark().fits(fd):
                self.remember(copy)
                copy.move(fd)
                return copy
        return None

    def _path_is_held(self, held: Iterable[Generation]) -> bool:
        try:
            key = key_of(os.stat(self._path))
        except OSError:
            return True
        return any(generation.key == key for generation in held)

    def _mark_of(self, fd: int) -> Mark | None:
        mark = self._marks.get(key_of(os.fstat(fd)))
        return mark if mark and mark.fits(fd) else None

    def _is_read(self, found: os.stat_result) -> bool:
        mark = self._marks.get(key_of(found))
        return mark is not None and mark.signature == signature_of(found)

    def _keep(self, key: Key, mark: Mark) -> None:
        self._marks.pop(key, None)
        self._marks[key] = replace(mark, tail=mark.tail[-OVERLAP:])
        self._know(mark.head)
        if len(self._marks) > MAX_MARKS:
            forgotten = self._marks.pop(next(iter(self._marks)))
            self._since_mtime = max(self._since_mtime, forgotten.signature[1])

    def _know(self, head: bytes) -> None:
        self._heads[head] = None
        if len(self._heads) > MAX_MARKS:
            del self._heads[next(iter(self._heads))]

    def _real(self) -> Path:
        return Path(os.path.realpath(self._path))

    def _siblings(self, *, rotated_only: bool) -> list[tuple[Path, os.stat_result]]:
        """Regular files beside the log; a directory that cannot be listed has none.

        The longest come first: of a generation and its copies that is the most complete, of equals the original.
        """
        real = self._real()
        found: list[tuple[Path, os.stat_result]] = []
        try:
            with os.scandir(real.parent) as entries:
                for entry in entries:
                    if entry.name != real.name and (not rotated_only or is_rotated(entry.name, real.name)):
                        found.extend(self._listed_as(entry))
        except OSError:
            self.unsettled = self._disturbed = True
        return sorted(found, key=lambda sibling: (-sibling[1].st_size, sibling[1].st_mtime_ns))

    def _listed_as(self, entry: os.DirEntry[str]) -> Iterator[tuple[Path, os.stat_result]]:
        try:
            if entry.is_file(follow_symlinks=False):
                yield Path(entry.path), entry.stat(follow_symlinks=False)
        except OSError:  # renamed since it was listed; the others count all the same
            self.unsettled = self._disturbed = True


def is_rotated(name: str, log: str) -> bool:
    """True for names that rotation gives: `mail.log.1`, `mail.log-20261122`, `mail-20261122.log`, `mail.log.old`."""
    stem, ending = os.path.splitext(log)
    if name.startswith(log):
        return _SUFFIX.fullmatch(name[len(log) :]) is not None
    inner = name[len(stem) : len(name) - len(ending)]
    return name.startswith(stem) and name.endswith(ending) and _SUFFIX.fullmatch(inner) is not None


def open_regular(path: Path) -> int:
    """Open a sibling. Raises OSError if it is gone, may not be read or is no regular file."""
    fd = os.open(path, OPEN_FLAGS | os.O_NOFOLLOW)
    if stat.S_ISREG(os.fstat(fd).st_mode):
        return fd
    os.close(fd)
    raise OSError(errno.EINVAL, "is no regular file")
