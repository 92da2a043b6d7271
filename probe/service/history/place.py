"""Where the history is: its directory, the lock beside it, and broken files moved aside. Blocking; run in a thread.

- Nothing creates the directory: it is the administrator's, or systemd's StateDirectory.
- The file is known by its inode: one that is deleted or put in its place is another one.
- One probe at a time: `FILE.lock` is locked as long as the file is open; the kernel unlocks it when a process dies.
- A broken file is renamed and kept, at most KEPT of them. Only what certainly was a history is ever renamed: a setting
  that names another program's file must not cost that file.
"""

from __future__ import annotations

import fcntl
import os
import stat
from contextlib import suppress
from pathlib import Path

from probe.service.history.faults import GONE, HistoryTrouble, Remedy
from probe.service.history.schema import APPLICATION

KEPT = 3
_MAGIC = b"SQLite format 3\0"


class Lock:
    """The right to use a history. Raises HistoryTrouble where it cannot be had."""

    def __init__(self, file: Path) -> None:
        look_at(file)
        self._name = _beside(file, ".lock")
        self.was_there = self._name.exists()
        self._descriptor = os.open(self._name, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o640)
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            owner = os.pread(self._descriptor, 20, 0).decode("ascii", "replace").strip()
            os.close(self._descriptor)
            who = f"another probe (process {owner})" if owner.isdigit() else "another probe"
            reason = f"{who} uses it: end that one, or give each probe a file of its own"
            raise HistoryTrouble("locked", file, reason) from None
        os.ftruncate(self._descriptor, 0)
        with suppress(OSError):  # a full disk locks as well as any
            os.pwrite(self._descriptor, f"{os.getpid()}\n".encode(), 0)

    def release(self, *, traceless: bool = False) -> None:
        """Let others have it. `traceless`: there never was a history here."""
        if traceless and not self.was_there:
            self._name.unlink(missing_ok=True)
        os.close(self._descriptor)


class Place:
    """Where an open file is, and that it still is there."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._is = _inode(file)

    def check(self) -> None:
        """Raise HistoryTrouble if the file was deleted, or another one put in its place."""
        try:
            now = _inode(self._file)
        except FileNotFoundError:
            now = None
        if now == self._is:
            return
        what = "it was deleted" if now is None else "another file was put in its place"
        reason = (
            f"{what} while it was in use, and what it held is lost to it: end the daemon before its file is touched"
        )
        raise HistoryTrouble(GONE, self._file, reason, remedy=Remedy.BEGIN_ANEW)


def _inode(file: Path) -> tuple[int, int]:
    found = file.stat()
    return found.st_dev, found.st_ino


def create(file: Path) -> None:
    """Make an empty file that only its owner and group may read, if there is none."""
    with suppress(FileExistsError):
        os.close(os.open(file, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o640))


def was_history(file: Path, lock: Lock) -> bool:
    """True if the file was ever ours, as broken as it may be."""
    with file.open("rb") as opened:
        header = opened.read(100)
    ours = header[:16] == _MAGIC and header[68:72] == APPLICATION.to_bytes(4, "big")
    return ours or lock.was_there


def move_aside(file: Path, stamp: str) -> Path:
    """Rename a broken file with its write-ahead log; the oldest of more than KEPT such files go."""
    aside = _beside(file, f".broken-{stamp}")
    file.rename(aside)
    log = _beside(file, "-wal")
    if log.exists() and log.stat().st_size:
        log.rename(_beside(aside, "-wal"))
    else:
        log.unlink(missing_ok=True)
    _beside(file, "-shm").unlink(missing_ok=True)
    kept = sorted(one for one in file.parent.glob(f"{file.name}.broken-*") if not one.name.endswith("-wal"))
    for old in kept[:-KEPT]:
        old.unlink(missing_ok=True)
        _beside(old, "-wal").unlink(missing_ok=True)
    return aside


def look_at(file: Path) -> None:
    """Raise HistoryTrouble where no history can be."""
    directory = file.parent
    if not directory.exists():
        raise HistoryTrouble("directory", file, f"there is no directory {directory}: create it for the probe's user")
    if not directory.is_dir():
        raise HistoryTrouble("directory", file, f"{directory} is no directory: name a file in one")
    try:
        kind = file.stat().st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISREG(kind):
        what = "a directory" if stat.S_ISDIR(kind) else "no regular file"
        raise HistoryTrouble("kind", file, f"it is {what}: name a file, or move it away")


def _beside(file: Path, suffix: str) -> Path:
    return file.with_name(file.name + suffix)
