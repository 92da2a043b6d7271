"""A program that logs numbered lines and rotates its log at random, as servers and logrotate do. Prints the count.

    python rotating_writer.py LOG SEED LINES READER_PID

Deleting and compressing wait until the reader has the file open: nobody could read it otherwise.
"""

from __future__ import annotations

import gzip
import os
import random
import shutil
import sys
import time
from collections.abc import Callable
from pathlib import Path


class Writer:
    """Appends numbered lines to the file it has open, whatever that file is called by now."""

    def __init__(self, log: Path, chance: random.Random, reader: int) -> None:
        self.log = log
        self.chance = chance
        self.reader = reader
        self.written = 0
        self.rotations = 0
        self.fd = -1
        self.reopen()

    def reopen(self) -> None:
        fresh = os.open(self.log, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
        if self.fd >= 0:
            os.close(self.fd)
        self.fd = fresh

    def write(self, most: int = 40) -> None:
        for _ in range(self.chance.randrange(1, most)):
            padding = f"{self.written:x}-" * self.chance.choice((0, 3, 20, 700))
            line = f"{self.written} mail postfix/smtpd[1]: {padding}\n".encode()
            cut = self.chance.randrange(len(line)) if self.chance.random() < 0.1 else len(line)
            for part in filter(None, (line[:cut], line[cut:])):
                os.write(self.fd, part)
            self.written += 1

    def pause(self) -> None:
        time.sleep(self.chance.choice((0, 0, 0, 0.001, 0.01, 0.03)))

    def shift(self) -> Path:
        """Make room at `.1` as logrotate does, or take a date."""
        self.rotations += 1
        if self.chance.random() < 0.3:
            return self.log.with_name(f"{self.log.name}-20261122-{self.rotations}")
        numbered = sorted(
            (int(path.suffix[1:]) for path in self.log.parent.glob(f"{self.log.name}.*") if path.suffix[1:].isdigit()),
            reverse=True,
        )
        for number in numbered:
            os.rename(f"{self.log}.{number}", f"{self.log}.{number + 1}")
        return Path(f"{self.log}.1")

    def rename_create(self) -> None:
        os.rename(self.log, self.shift())
        self.reopen()

    def rename_create_write_on(self) -> None:
        """The new file is there, but the server reopens late."""
        os.rename(self.log, self.shift())
        self.log.touch()
        for _ in range(self.chance.randrange(4)):
            self.write()
            self.pause()
        self.reopen()

    def rename_create_late(self) -> None:
        """The server writes on into the renamed file; the new one appears late."""
        os.rename(self.log, self.shift())
        for _ in range(self.chance.randrange(4)):
            self.write()
            self.pause()
        self.reopen()

    def rename_often(self) -> None:
        for _ in range(self.chance.randrange(2, 5)):
            self.rename_create()
            self.write(5)

    def copytruncate(self) -> None:
        shutil.copyfile(self.log, self.shift())
        os.truncate(self.log, 0)

    def copytruncate_often(self) -> None:
        for _ in range(self.chance.randrange(2, 5)):
            self.copytruncate()
            self.write(5)

    def copytruncate_regrow(self) -> None:
        """Truncated, and past the old size again at once."""
        size = os.fstat(self.fd).st_size
        self.copytruncate()
        while os.fstat(self.fd).st_size <= min(size, 1 << 20):
            self.write()

    def compress(self) -> None:
        target = self.shift()
        self.await_reader()
        os.rename(self.log, target)
        self.reopen()
        Path(f"{target}.gz").write_bytes(gzip.compress(target.read_bytes(), 1))
        target.unlink()

    def delete(self) -> None:
        self.await_reader()
        self.log.unlink()
        self.write()
        self.reopen()

    def copy(self) -> None:
        """Somebody keeps a copy; the log goes on."""
        shutil.copyfile(self.log, self.shift())

    def await_reader(self) -> None:
        wanted = os.stat(self.log)
        while not any(os.path.samestat(wanted, opened) for opened in self.opened_by_reader()):
            time.sleep(0.002)

    def opened_by_reader(self) -> list[os.stat_result]:
        opened = []
        for fd in os.listdir(f"/proc/{self.reader}/fd"):
            try:
                opened.append(os.stat(f"/proc/{self.reader}/fd/{fd}"))
            except OSError:
                continue
        return opened


def main(log: str, seed: str, lines: str, reader: str) -> None:
    writer = Writer(Path(log), random.Random(int(seed)), int(reader))
    rotations: tuple[Callable[[], None], ...] = (
        writer.rename_create,
        writer.rename_create_write_on,
        writer.rename_create_late,
        writer.rename_often,
        writer.copytruncate,
        writer.copytruncate_often,
        writer.copytruncate_regrow,
        writer.compress,
        writer.delete,
        writer.copy,
    )
    while writer.written < int(lines):
        for _ in range(writer.chance.randrange(6)):
            writer.write()
            writer.pause()
        writer.chance.choice(rotations)()
    print(writer.written)


if __name__ == "__main__":
    main(*sys.argv[1:])
