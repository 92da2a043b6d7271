"""Standard output and standard error that cannot fail.

Callers close a stream (cron), fill a disk (`2>>`), or stop reading (`| head`); a terminal may not know our marks. None
of it may cost a verdict its exit code: what cannot be written is dropped, and the stream remembers why.
"""

from __future__ import annotations

import errno
import io
import os
import sys
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from typing_extensions import Buffer


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


def open_streams() -> Output:
    """Put such streams in place of sys.stdout and sys.stderr; returns the one below standard output."""
    out, sys.stdout = _instead_of(sys.stdout)
    _, sys.stderr = _instead_of(sys.stderr)
    return out


def _instead_of(stream: TextIO | None) -> tuple[Output, TextIO]:
    raw = Output(os.devnull, "w") if stream is None else Output(stream.fileno(), "w", closefd=False)
    encoding = "utf-8" if stream is None else stream.encoding
    buffered = io.BufferedWriter(raw)
    return raw, io.TextIOWrapper(buffered, encoding=encoding, errors="replace", line_buffering=True)
