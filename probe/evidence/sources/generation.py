"""One generation of a log file: the lines from its creation (or last truncation) to its end, behind one descriptor.

Rules:
- A generation is known by its content, not by its name: by its first bytes (`head`) and by the bytes just before
  the position (`tail`). Names change hands at every rotation, inodes are reused, sizes grow past old positions.
- Every read begins a little before the position and ends with a look at the head. If either is not as it was, the
  file was truncated under us and another generation lives behind the descriptor.
"""

from __future__ import annotations

import os
from dataclasses import dataclass

from probe.evidence.sources.source import LineJoiner

CHUNK = 256 << 10
HEAD = 1 << 10
OVERLAP = 1 << 10
TAIL = 64 << 10

Key = tuple[int, int]
Signature = tuple[int, int]

NO_SIGNATURE: Signature = (-1, 0)


def key_of(found: os.stat_result) -> Key:
    """Which file it is while somebody holds it open; a deleted file's key may come back as another file."""
    return found.st_dev, found.st_ino


def signature_of(found: os.stat_result) -> Signature:
    """Differs when the content differs, but for two writes of one kernel tick that leave the same size."""
    return found.st_size, found.st_mtime_ns


def same_start(one: bytes, other: bytes) -> bool:
    """True if both begin alike as far as both go."""
    known = min(len(one), len(other))
    return known > 0 and one[:known] == other[:known]


def beginning(fd: int, base: int = 0) -> tuple[int, bytes]:
    """Where a generation begins, and its first bytes.

    It begins behind any NULs: a server that does not append goes on at its old offset after a truncation, and
    leaves a hole before it.
    """
    try:
        start = os.lseek(fd, base, os.SEEK_DATA)
    except OSError:
        start = base
    chunk = os.pread(fd, TAIL, start)
    first = chunk.lstrip(b"\0")
    return start + len(chunk) - len(first), first[:HEAD]


@dataclass(frozen=True, kw_only=True, slots=True)
class Mark:
    """How far a generation was read, and by which bytes to know it again. `origin` is where its head stands.

    `cut`: the line at the position was passed on as far as it went, so the rest of it is to be dropped.
    """

    position: int
    origin: int
    head: bytes
    tail: bytes
    signature: Signature = NO_SIGNATURE
    cut: bool = False

    def fits(self, fd: int, base: int = 0) -> bool:
        """True if this generation, as far as it was read, stands in the file from `base` on."""
        if os.fstat(fd).st_size < base + self.position:
            return False
        tail, head = self.tail[-OVERLAP:], self.head
        ends = os.pread(fd, len(tail), base + self.position - len(tail)) == tail
        return ends and os.pread(fd, len(head), base + self.origin) == head

    def covers(self, fd: int, base: int, size: int) -> bool:
        """True if the file holds from `base` to `size` a part of this generation that was read already."""
        beyond = base + self.position - size
        if beyond < 0 or beyond >= len(self.tail):
            return False
        tail = self.tail[: len(self.tail) - beyond][-OVERLAP:]
        starts = same_start(beginning(fd, base)[1], self.head)
        return starts and os.pread(fd, len(tail), size - len(tail)) == tail


class Truncated(Exception):
    """The bytes before the position are not those read last time."""


class Generation:
    """An open log file and how far it was read.

    `limit` is the end of a finished copy, `grown` the time it last gave bytes, `behind` whether more may wait.
    """

    __slots__ = ("behind", "fd", "grown", "head", "joiner", "key", "limit", "origin", "position", "signature", "tail")

    def __init__(self, fd: int, *, now: float, mark: Mark | None = None) -> None:
        self.fd = fd
        self.key = key_of(os.fstat(fd))
        self.grown = now
        self.behind = False
        self.limit: int | None = None
        self.joiner = LineJoiner(skipping=mark is not None and mark.cut)
        self.signature: Signature | None = None
        self.position = mark.position if mark else 0
        self.origin = mark.origin if mark else 0
        self.head = mark.head if mark else b""
        self.tail = mark.tail if mark else b""

    @classmethod
    def after(cls, fd: int, size: int, *, now: float) -> Generation:
        """Skip the first `size` bytes, but not an incomplete last line among them: its end is still to come."""
        generation = cls(fd, now=now, mark=mark_at(fd, size))
        last = generation.tail.rfind(b"\n") + 1
        unbroken = not last and generation.position > len(generation.tail)
        generation.joiner = LineJoiner(b"" if unbroken else generation.tail[last:], skipping=unbroken)
        return generation

    def mark(self) -> Mark:
        """To know it again after it was closed."""
        return Mark(
            position=self.position,
            origin=self.origin,
            head=self.head,
            tail=self.tail,
            signature=self.signature or NO_SIGNATURE,
            cut=self.joiner.skipping,
        )

    @property
    def delivered(self) -> bool:
        """False while nothing but an incomplete first line was read: then it need not be known again."""
        return self.position - self.origin > len(self.joiner.held)

    def is_read(self) -> bool:
        """True if it is read to its end and holds no incomplete line."""
        try:
            return signature_of(os.fstat(self.fd)) == self.signature and not self.joiner.held
        except OSError:
            return False

    def restart(self) -> Mark:
        """Forget the truncated generation and read the new one from its beginning; returns the old one's mark."""
        old = self.mark()
        self.position, self.origin, self.head, self.tail = 0, 0, b"", b""
        self.joiner, self.signature = LineJoiner(), None
        return old

    def move(self, fd: int) -> None:
        """Read on in another file that holds the same lines up to here."""
        key = key_of(os.fstat(fd))
        self.close()
        self.fd, self.key = fd, key
        self.limit, self.signature = None, None

    def starts_like(self, head: bytes) -> bool:
        """True if `head` could be a copy of this generation, or of a new one that just replaced it unnoticed."""
        return same_start(head, self.head) or same_start(head, beginning(self.fd)[1])

    def goes_past(self, mark: Mark) -> bool:
        """True if this is read at least as far as another file with the same beginning was."""
        return self.position >= mark.position and same_start(mark.head, self.head)

    def read(self, found: os.stat_result) -> bytes:
        """The whole lines of the next chunk; empty if there are none (yet). Raises Truncated."""
        if self.position == 0:
            self.position = self.origin = beginning(self.fd)[0]
        wanted = min(CHUNK, self.joiner.room)
        if self.limit is not None:
            wanted = min(wanted, self.limit - self.position)
        fresh = self._fresh(wanted)
        self.behind = 0 < len(fresh) == wanted
        if not self.behind:
            self.signature = signature_of(found)
        if not fresh:
            return b""
        if len(self.head) < HEAD:
            self.head = (self.head + fresh)[:HEAD]
        self.tail = fresh[-TAIL:] if len(fresh) >= TAIL else (self.tail + fresh)[-TAIL:]
        self.position += len(fresh)
        return self.joiner.feed(fresh)

    def _fresh(self, wanted: int) -> bytes:
        before = self.tail[-OVERLAP:]
        start = self.position - len(before)
        chunk = os.pread(self.fd, len(before) + wanted, start)
        # Afterwards the head too, because one read can return pages from before and from after a truncation.
        head = self.head or chunk[:HEAD]
        if not chunk.startswith(before) or os.pread(self.fd, len(head), self.origin) != head:
            raise Truncated
        return chunk[len(before) :]

    def close(self) -> None:
        """Give the descriptor back. May be called twice."""
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1


def mark_at(fd: int, size: int) -> Mark:
    """The mark of a file whose first `size` bytes count as read."""
    origin, head = beginning(fd)
    return Mark(
        position=size,
        origin=min(origin, size),
        head=head[: max(0, size - origin)],
        tail=os.pread(fd, min(size, TAIL), max(0, size - TAIL)),
        signature=signature_of(os.fstat(fd)),
    )
