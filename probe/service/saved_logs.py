"""Saved logs, in whole lines: files and standard input, plain or compressed.

Rules of this file:
- What a file is, its first bytes say, not its name: rotated logs come under many, and standard input has none.
- A fault ends one file, not the others: it is told by the file's name, and what was read before it counts.
- Memory is bounded: a line that is too long for the reader is skipped up to its end and counted.
- A chunk does not end after half a line (CRI's `P`, Docker's cut at 16 KiB), for the reader must see what follows it.
"""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import os
import stat
import zlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from importlib import import_module
from typing import BinaryIO, Protocol, cast

from probe.evidence.line import LONGEST, parse_line

PIECE = 1 << 20
CHUNK = 4 << 20
STANDARD_INPUT = "-"


class Stream(Protocol):
    """What bytes are read from as they come."""

    def read1(self, size: int, /) -> bytes: ...


Opener = Callable[[BinaryIO], Stream]


class Unreadable(Exception):
    """A file that cannot be read, or not to its end: why, and what to do instead."""


def _zstd(stream: BinaryIO) -> Stream:
    for module in ("compression.zstd", "backports.zstd"):
        try:
            opened: Stream = import_module(module).ZstdFile(stream)
        except ImportError:
            continue
        return opened
    raise Unreadable("compressed with zstd, which this Python does not read: zstdcat FILE | probe explain")


def _archive(_: BinaryIO) -> Stream:
    raise Unreadable("a zip archive: unzip -p FILE | probe explain")


COMPRESSED: tuple[tuple[bytes, Opener], ...] = (
    (b"\x1f\x8b", lambda stream: gzip.GzipFile(fileobj=stream)),
    (b"BZh", bz2.BZ2File),
    (b"\xfd7zXZ\x00", lzma.LZMAFile),
    (b"\x28\xb5\x2f\xfd", _zstd),
    (b"PK\x03\x04", _archive),
)
"""How a compressed file begins, and what reads it."""

_FAULTS = (OSError, EOFError, zlib.error, lzma.LZMAError)


@dataclass(kw_only=True)
class OpenLog:
    """One log while it is read. `octets` are those taken from the file, `size` is None where there is no telling."""

    name: str
    size: int | None
    changed: float | None
    octets: int = 0
    _raw: io.FileIO = field(repr=False)

    def pieces(self) -> Iterator[bytes]:
        """What is in it, decompressed, piece by piece as it comes. Raises Unreadable."""
        try:
            plain = io.BufferedReader(_Counting(self), buffer_size=PIECE)
            begins = plain.peek(6)
            opener = next((opener for magic, opener in COMPRESSED if begins.startswith(magic)), None)
            stream: Stream = opener(cast(BinaryIO, plain)) if opener else plain
            while piece := stream.read1(PIECE):
                yield piece
        except _FAULTS as error:
            raise Unreadable(reason(error)) from error

    def readinto(self, buffer: memoryview) -> int:
        """The file's own octets, counted."""
        taken = self._raw.readinto(buffer) or 0
        self.octets += taken
        return taken

    def close(self) -> None:
        self._raw.close()


class _Counting(io.RawIOBase):
    """Lets BufferedReader read through the count."""

    def __init__(self, log: OpenLog) -> None:
        self._log = log

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        return self._log.readinto(buffer)


def open_log(name: str) -> OpenLog:
    """Open a file, or standard input for `-`. Raises Unreadable."""
    try:
        source: str | int = 0 if name == STANDARD_INPUT else name
        raw = io.FileIO(source, "rb", closefd=name != STANDARD_INPUT)
        state = os.fstat(raw.fileno())
    except (OSError, ValueError) as error:
        raise Unreadable(reason(error)) from error
    regular = stat.S_ISREG(state.st_mode)
    return OpenLog(
        name=name, size=state.st_size if regular else None, changed=state.st_mtime if regular else None, _raw=raw
    )


def size_in_all(names: Iterable[str]) -> int | None:
    """Octets of all that can be read; None where there is no telling of one of them."""
    sizes = [size_of(name) for name in names if name == STANDARD_INPUT or os.path.exists(name)]
    return None if None in sizes else sum(size for size in sizes if size is not None)


def size_of(name: str) -> int | None:
    """Octets of a regular file, without opening it; None where there is no telling."""
    try:
        state = os.fstat(0) if name == STANDARD_INPUT else os.stat(name)
    except (OSError, ValueError):
        return None
    return state.st_size if stat.S_ISREG(state.st_mode) else None


def reason(error: Exception) -> str:
    """Why a file could not be read, in a person's words."""
    match error:
        case IsADirectoryError():
            return "is a directory: name the files in it"
        case EOFError():
            return "its compressed content ends too early"
        case gzip.BadGzipFile() | zlib.error() | lzma.LZMAError():
            return f"its compressed content is broken: {error}"
        case OSError(strerror=str(text)):
            return text[:1].lower() + text[1:]
    return str(error) or type(error).__name__


class Chunker:
    """Pieces in, whole lines out."""

    def __init__(self) -> None:
        self.overlong = 0
        self._pieces: list[bytes] = []
        self._held = 0
        self._skipping = False

    def feed(self, piece: bytes) -> bytes:
        """Take a piece; whole lines where enough have come together, else nothing."""
        if self._skipping:
            end = piece.find(b"\n") + 1
            if not end:
                return b""
            piece, self._skipping = piece[end:], False
        self._pieces.append(piece)
        self._held += len(piece)
        return self._cut() if self._held >= CHUNK else b""

    def rest(self) -> bytes:
        """All that is left; its last line may have no newline."""
        text = b"".join(self._pieces)
        self._hold(b"")
        return text

    def _cut(self) -> bytes:
        text = b"".join(self._pieces)
        end = text.rfind(b"\n") + 1
        if len(text) - end > LONGEST:
            self._skipping = True
            self.overlong += 1
            self._hold(b"")
            return text[:end]
        before = text.rfind(b"\n", 0, max(end - 1, 0)) + 1
        last = text[before:end]
        if last.strip() and parse_line(last, now=0.0) is None and len(last) < LONGEST:
            end = before
        self._hold(text[end:])
        return text[:end]

    def _hold(self, rest: bytes) -> None:
        self._pieces = [rest] if rest else []
        self._held = len(rest)
