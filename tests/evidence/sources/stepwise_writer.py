"""What servers and logrotate do to a log, one system call per step, so that anything may come in between.

rotating_writer.py does all of it and more: deleting and compressing have to wait for the reader.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from random import Random

Steps = Iterator[None]


class Writer:
    """Writes numbered lines; `written` of them so far."""

    def __init__(self, log: Path, random: Random) -> None:
        self.log = log
        self.written = 0
        self._random = random
        self._rotations = 0
        self._fd = os.open(log, os.O_WRONLY | os.O_APPEND)
        self.rotations = (
            self.rename_create,
            self.rename_write_on,
            self.copytruncate,
            self.copytruncate_regrow,
            self.copy,
        )

    def steps(self, rotations: int) -> Steps:
        """Write and rotate, one kind after the other at random."""
        for _ in range(rotations):
            for _ in range(self._random.randrange(4)):
                yield from self.write()
            yield from self._random.choice(self.rotations)()
        yield from self.write()

    def close(self) -> None:
        os.close(self._fd)

    def write(self) -> Steps:
        for _ in range(self._random.randrange(1, 6)):
            line = f"{self.written} {'x' * self._random.choice((0, 1, 40, 1400))}\n".encode()
            cut = self._random.randrange(1, len(line)) if self._random.random() < 0.1 else len(line)
            for part in filter(None, (line[:cut], line[cut:])):
                os.write(self._fd, part)
                yield
            self.written += 1

    def reopen(self) -> Steps:
        os.close(self._fd)
        self._fd = os.open(self.log, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
        yield

    def shift(self) -> Steps:
        """Make room at `.1` as logrotate does."""
        self._rotations += 1
        for number in range(self._rotations, 0, -1):
            if os.path.exists(f"{self.log}.{number}"):
                os.rename(f"{self.log}.{number}", f"{self.log}.{number + 1}")
                yield

    def rename_create(self) -> Steps:
        yield from self.shift()
        os.rename(self.log, f"{self.log}.1")
        yield
        yield from self.reopen()

    def rename_write_on(self) -> Steps:
        """The new file is there, or not yet, and the server reopens late."""
        yield from self.shift()
        os.rename(self.log, f"{self.log}.1")
        yield
        if self._random.random() < 0.5:
            self.log.touch()
            yield
        for _ in range(self._random.randrange(4)):
            yield from self.write()
        yield from self.reopen()

    def copy(self) -> Steps:
        """Somebody keeps a copy; the log goes on."""
        yield from self.shift()
        source = os.open(self.log, os.O_RDONLY)
        target = os.open(f"{self.log}.1", os.O_WRONLY | os.O_CREAT)
        yield
        while chunk := os.read(source, 3000):
            os.write(target, chunk)
            yield
        os.close(source)
        os.close(target)

    def copytruncate(self) -> Steps:
        yield from self.copy()
        os.truncate(self.log, 0)
        yield

    def copytruncate_regrow(self) -> Steps:
        """Truncated, and past the old size again at once."""
        size = os.fstat(self._fd).st_size
        yield from self.copytruncate()
        while os.fstat(self._fd).st_size <= size:
            yield from self.write()
