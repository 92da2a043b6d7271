"""What can be wrong with the history's file, in words with a next step: a table of SQLite's result codes.

`Remedy` says what becomes of it: most things are tried again, for a disk is cleared and a directory is made while the
probe runs; on a full disk what is oldest makes room; a broken file is moved aside; what is not ours is left alone.
"""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path


class Remedy(StrEnum):
    """What becomes of a file in trouble."""

    TRY_AGAIN = "try_again"
    MAKE_ROOM = "make_room"
    BEGIN_ANEW = "begin_anew"


SLOW = "slow"
"""The kind of trouble that is over once the disk answers: what was asked of it is waited for, and not asked again."""

GONE = "gone"
"""The kind of trouble in which there is no file to move aside."""


class HistoryTrouble(Exception):
    """The history cannot be used: what, where and the next step, on one line. `kind`: what stays the same trouble."""

    def __init__(self, kind: str, file: Path, reason: str, *, remedy: Remedy = Remedy.TRY_AGAIN) -> None:
        super().__init__(reason)
        self.kind = kind
        self.reason = f"history.file {file}: {reason}"
        self.remedy = remedy


UNUSABLE = (sqlite3.Error, HistoryTrouble, OSError, ValueError)
"""ValueError: aiosqlite's word for a connection that was closed meanwhile."""


@dataclass(frozen=True, slots=True)
class _Words:
    kind: str
    meaning: str
    remedy: Remedy = Remedy.TRY_AGAIN


_BROKEN = _Words("broken", "the file is broken", Remedy.BEGIN_ANEW)
_BY_CODE = {
    sqlite3.SQLITE_FULL: _Words(
        "full",
        "the disk is full: make room; the oldest sessions go, and what finds no room waits in memory",
        Remedy.MAKE_ROOM,
    ),
    sqlite3.SQLITE_READONLY: _Words("readonly", "it may not be written: give the probe's user write access"),
    sqlite3.SQLITE_PERM: _Words("readonly", "it may not be written: give the probe's user write access"),
    sqlite3.SQLITE_CANTOPEN: _Words(
        "unopened", "it cannot be opened: give the probe's user write access to it and its directory"
    ),
    sqlite3.SQLITE_BUSY: _Words("busy", "another program holds it locked: end that program's transaction"),
    sqlite3.SQLITE_LOCKED: _Words("busy", "another program holds it locked: end that program's transaction"),
    sqlite3.SQLITE_IOERR: _Words("disk", "the disk fails or is full: look at the system's log"),
    sqlite3.SQLITE_CORRUPT: _BROKEN,
    sqlite3.SQLITE_NOTADB: _BROKEN,
}
_OTHER = _Words("other", "SQLite refuses: look at the file with sqlite3, or move it away")


def trouble_of(error: Exception, file: Path) -> HistoryTrouble:
    """What an error from SQLite or the system means."""
    match error:
        case HistoryTrouble():
            return error
        case sqlite3.Error():
            words = _words(error)
            return HistoryTrouble(words.kind, file, f"{words.meaning} ({_line(error)})", remedy=words.remedy)
        case OSError():
            reason = f"{error.strerror or _line(error)}: give the probe's user write access to the directory"
            return HistoryTrouble("system", file, reason)
        case _:
            reason = f"mailprobe itself is at fault ({type(error).__name__}: {_line(error)}): report it"
            return HistoryTrouble("fault", file, reason)


def is_broken(error: sqlite3.Error) -> bool:
    """True if the file is no sound database."""
    return _words(error) is _BROKEN


def _words(error: sqlite3.Error) -> _Words:
    return _BY_CODE.get(getattr(error, "sqlite_errorcode", 0) & 0xFF, _OTHER)


def _line(error: Exception) -> str:
    return " ".join(str(error).split())[:200] or type(error).__name__
