"""A file of metrics for node_exporter's textfile collector, which reads it at any moment: whole, or as it was before.

Rule 1: written beside its place under a name that no collector reads (not *.prom), then renamed. No fsync: after a
        crash the next run writes it again.
Rule 2: readable by all, whatever the umask: node_exporter is another user.
"""

from __future__ import annotations

import errno
import os
import tempfile
from contextlib import suppress
from pathlib import Path

SUFFIX = ".prom"
MODE = 0o644

NEXT_STEPS = {
    errno.ENOENT: "make the directory",
    errno.EACCES: "let the probe's user write to its directory",
    errno.EROFS: "take a directory that can be written to",
    errno.ENOSPC: "make room there",
    errno.EDQUOT: "make room there",
    errno.EISDIR: "name a file in it",
}


class NotWritten(Exception):
    """The file could not be written; says why and what next."""


def write_textfile(file: Path, text: bytes) -> None:
    """Replace the file. Where that fails, what was there stays, and NotWritten is raised."""
    try:
        _replace(file, text)
    except OSError as error:
        reason = error.strerror or type(error).__name__
        next_step = NEXT_STEPS.get(error.errno or 0, "see to the file system there")
        kept = "; the file of an earlier run is as it was" if file.is_file() else ""
        raise NotWritten(f"--textfile: {file} was not written ({reason}){kept}: {next_step}") from None


def _replace(file: Path, text: bytes) -> None:
    descriptor, name = tempfile.mkstemp(dir=file.parent, prefix=f".{file.name}.")
    try:
        with open(descriptor, "wb") as opened:
            os.fchmod(descriptor, MODE)
            opened.write(text)
        Path(name).replace(file)
    except BaseException:
        with suppress(OSError):
            Path(name).unlink()
        raise
