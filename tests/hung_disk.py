"""A file system that hangs, as one whose server is gone: FUSE, on which nobody ever answers. Root only."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

DEVICE = Path("/dev/fuse")
MNT_DETACH = 2

_LIBC = ctypes.CDLL(None, use_errno=True)


class HungDisk:
    """Mounted on `place`; whoever touches a file below it waits until `answer` was called."""

    def __init__(self, place: Path) -> None:
        self.place = place
        self._device = -1

    def hang(self) -> None:
        """From now on."""
        self._device = os.open(DEVICE, os.O_RDWR | os.O_CLOEXEC)
        options = f"fd={self._device},rootmode=40000,user_id=0,group_id=0,allow_other".encode()
        if _LIBC.mount(b"hung", os.fsencode(self.place), b"fuse", 0, options):
            os.close(self._device)
            self._device = -1
            pytest.skip(f"no file system can be mounted here: {os.strerror(ctypes.get_errno())}")

    def answer(self) -> None:
        """What stood there before is there again; who waits hears of an error."""
        if self._device >= 0:
            _LIBC.umount2(os.fsencode(self.place), MNT_DETACH)
            os.close(self._device)
            self._device = -1


@contextmanager
def hung_disk(place: Path) -> Iterator[HungDisk]:
    """One that does not hang yet."""
    if os.geteuid() != 0 or not DEVICE.exists():
        pytest.skip("needs root and FUSE")
    disk = HungDisk(place)
    try:
        yield disk
    finally:
        disk.answer()
