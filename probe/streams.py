"""Standard output and standard error that cannot fail, and of a daemon and a watch such as cannot hold them up either.

Callers close a stream (cron), fill a disk (`2>>`), or stop reading (`| head`); a terminal may not know our marks. None
of it may cost a verdict its exit code: what cannot be written is dropped, and the stream remembers why. Whoever reads
may hang for a day (a collector, a stopped terminal, an ssh amid a change of the network): what is told waits, and a
thread writes it.
"""

from __future__ import annotations

import errno
import io
import math
import os
import sys
from collections import deque
from collections.abc import Callable
from threading import Condition, Thread, active_count
from typing import TYPE_CHECKING, NoReturn, TextIO

if TYPE_CHECKING:
    from typing_extensions import Buffer

MOST_WAITING = 1 << 20
"""Octets of a log that wait to be written: some 2,000 lines."""

FAREWELL = 0.5
"""Seconds for what waits at the end."""

LOOK = 0.1
"""Seconds between two looks whether a signal has come."""

STOPPED = 3.0
"""Seconds for which a terminal takes nothing of a result until it counts as one that nobody reads."""


class Output(io.FileIO):
    """A descriptor to write to; `lost` is the first error that it met."""

    lost: OSError | None = None

    def write(self, octets: Buffer, /) -> int:
        """Write what can be written, and say that all was."""
        written: int | None = None
        try:
            written = super().write(octets)
            if written is None:
                raise BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN))
        except OSError as error:
            self.lost = self.lost or error
        return memoryview(octets).nbytes if written is None else written


class Behind(io.RawIOBase):
    """Takes whole lines without waiting, for a thread that writes them onto an output.

    Of too many, lines are left out; `lost` counts them until `tell_lost` was called, where the next line follows them.
    A terminal gets at once what has no end yet: it may be a picture.
    """

    def __init__(self, onto: Output, tell_lost: Callable[[int], None], most: float = MOST_WAITING) -> None:
        self.lost = 0
        self._drawn_on = onto.isatty()
        self._onto = onto
        self._tell_lost = tell_lost
        self._most = most
        self._begun = b""
        self._lines: deque[bytes] = deque()
        self._held = 0
        self._changed = Condition()
        Thread(target=self._work, name="log", daemon=True).start()

    def writable(self) -> bool:
        """As it says."""
        return True

    def isatty(self) -> bool:
        """Whether a person reads."""
        return self._onto.isatty()

    @property
    def waits(self) -> bool:
        """Whether something that was taken is not written yet."""
        return self._held > 0

    def write(self, octets: Buffer, /) -> int:
        """Take lines; the last one waits for its end."""
        with self._changed:
            *whole, self._begun = (self._begun + bytes(octets)).split(b"\n")
            for line in whole:
                self._put(line + b"\n")
            if self._drawn_on and self._begun:
                self._put(self._begun)
                self._begun = b""
            self._changed.notify_all()
        return memoryview(octets).nbytes

    def drain(self, seconds: float) -> None:
        """Return when all that was taken is written, or after so many seconds."""
        with self._changed:
            self._changed.wait_for(lambda: not self._held and not self.lost, seconds)

    def hand_over(self, patience: float, is_over: Callable[[], bool] = lambda: False) -> None:
        """Return when all that was taken is written, or nothing more of it was for so many seconds, or it is over."""
        idle = 0.0
        with self._changed:
            while self._held and idle < patience and not is_over():
                idle = 0.0 if self._changed.wait(LOOK) else idle + LOOK

    def _put(self, line: bytes) -> None:
        if self._held + len(line) > self._most:
            self.lost += 1
        else:
            self._held += len(line)
            self._lines.append(line)

    def _work(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: bool(self._lines))
                rest = memoryview(b"".join(self._lines))
                self._lines.clear()
            while rest:
                written = self._onto.write(rest)
                rest = rest[written:]
                self._wrote(written)

    def _wrote(self, octets: int) -> None:
        with self._changed:
            self._held -= octets
            lost, self.lost = (0, self.lost) if self._held else (self.lost, 0)
            self._changed.notify_all()
        if lost:
            self._tell_lost(lost)


def open_streams() -> Output:
    """Put such streams in place of sys.stdout and sys.stderr; returns the one below standard output."""
    out, sys.stdout = _instead_of(sys.stdout)
    _, sys.stderr = _instead_of(sys.stderr)
    return out


def write_behind(tell_lost: Callable[[int], None]) -> Behind:
    """From here on nobody waits until standard error is written."""
    return _behind("stderr", tell_lost)


def print_result(text: str, is_over: Callable[[], bool]) -> None:
    """Write it to standard output, whole, as long as somebody reads. Raises KeyboardInterrupt once `is_over`.

    A pipe's reader may take its time, unless a signal ends us, and what that raises is lost where it meets a callback
    of the garbage collector's. A terminal that is stopped or cut off may never go on, and whoever waits for the exit
    code is not to wait for that.
    """
    behind = _behind("stdout", lambda _: None, math.inf)
    sys.stdout.write(text)
    sys.stdout.flush()
    behind.hand_over(STOPPED if behind.isatty() else math.inf, is_over)
    if is_over():
        raise KeyboardInterrupt


def _behind(name: str, tell_lost: Callable[[int], None], most: float = MOST_WAITING) -> Behind:
    """Put one in the place of a stream of sys. A signal may come amid that: there is a sound one all the time."""
    before = getattr(sys, name)
    assert isinstance(before, io.TextIOWrapper)  # noqa: S101 - by open_streams
    before.flush()
    behind = Behind(before.buffer.raw, tell_lost, most)
    setattr(sys, name, _text(behind, before.encoding))
    before.detach().detach()
    return behind


def leave(code: int) -> NoReturn:
    """End the process. Threads that hang (in a resolver, on a disk) are left where they are."""
    sys.stdout.flush()
    sys.stderr.flush()
    below = getattr(sys.stderr.buffer, "raw", None)
    if isinstance(below, Behind):
        below.drain(FAREWELL)
    if active_count() > 1:
        os._exit(code)
    sys.exit(code)


def _instead_of(stream: TextIO | None) -> tuple[Output, TextIO]:
    raw = Output(os.devnull, "w") if stream is None else Output(stream.fileno(), "w", closefd=False)
    return raw, _text(raw, "utf-8" if stream is None else stream.encoding)


def _text(raw: io.RawIOBase, encoding: str) -> io.TextIOWrapper:
    return io.TextIOWrapper(io.BufferedWriter(raw), encoding=encoding, errors="replace", line_buffering=True)
