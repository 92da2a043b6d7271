"""Why a log file cannot be read, and what to do: by what the operating system says."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Mapping

from probe.evidence.sources.source import State

_NO_ACCESS = (
    "may not be read: give the probe's user access to the file and its directories (with systemd: drop-ins/logs.conf)"
)
REASONS: Mapping[int | None, tuple[State, str]] = {
    errno.ENOENT: (State.WAITING, "does not exist yet; waiting for it: check the path and where the server logs"),
    errno.ENOTDIR: (State.WAITING, "has a part that is no directory; waiting: check the path"),
    errno.EACCES: (State.FAILED, _NO_ACCESS),
    errno.EPERM: (State.FAILED, _NO_ACCESS),
    errno.EINVAL: (State.FAILED, "is no regular file: name the log file itself"),
    errno.EISDIR: (State.FAILED, "is a directory: name the log file in it"),
    errno.ELOOP: (State.FAILED, "is a circle of symbolic links: correct the link"),
    errno.ESTALE: (State.FAILED, "is a stale file handle: check the mount"),
    errno.EIO: (State.FAILED, "cannot be read, input/output error: check the disk or the mount"),
}


def why(error: OSError) -> tuple[State, str]:
    """How a file fares that this happened to, in words that follow its path."""
    return REASONS.get(error.errno, (State.FAILED, f"{error.strerror}: check the path and the mount"))


def refuse_odd_files(found: os.stat_result) -> None:
    """A pipe or device would block or give each line to one reader only."""
    if stat.S_ISDIR(found.st_mode):
        raise IsADirectoryError(errno.EISDIR, "is a directory")
    if not stat.S_ISREG(found.st_mode):
        raise OSError(errno.EINVAL, "is no regular file")
