"""A log that nobody reads: its lines wait, then are left out and counted, and nobody is held up."""

from __future__ import annotations

import fcntl
import math
import os
import pty
import threading
from pathlib import Path

import pytest

from probe.streams import Behind, Output

SOON = 10.0
LINES = 1_000
MOST = 4_096


class Log:
    """A pipe, its writing end behind; `told` is what was said of lost lines."""

    def __init__(self, most: int) -> None:
        self.reading, self.writing = os.pipe()
        self.told: list[int] = []
        self.said = threading.Event()
        self.behind = Behind(Output(self.writing, "w"), self._tell, most)

    def _tell(self, lost: int) -> None:
        self.told.append(lost)
        self.behind.write(f"{lost} lost\n".encode())
        self.said.set()

    def read(self, octets: int) -> None:
        while octets > 0:
            octets -= len(os.read(self.reading, octets))

    def read_to(self, end: bytes) -> bytes:
        read = bytearray()
        while not read.endswith(end):
            read += os.read(self.reading, 1 << 16)
        return bytes(read)


@pytest.fixture
def log() -> Log:
    return Log(most=MOST)


def test_lines_come_whole_and_in_order(log: Log) -> None:
    for piece in (b"on", b"e\ntwo\nth", b"ree", b"\n"):
        assert log.behind.write(piece) == len(piece)
    assert log.read_to(b"three\n") == b"one\ntwo\nthree\n"
    log.behind.drain(SOON)
    assert (log.told, log.behind.lost) == ([], 0)


def test_a_reader_that_hangs_holds_up_nobody_and_learns_what_it_missed(log: Log) -> None:
    line = b"x" * 999 + b"\n"
    os.write(log.writing, b"\n" * (fcntl.fcntl(log.reading, fcntl.F_GETPIPE_SZ) - 1))  # room for one octet is left
    for _ in range(LINES):
        log.behind.write(line)
    lost = log.behind.lost
    assert lost == LINES - MOST // len(line)
    log.behind.drain(0.0)  # which waits no longer than it is told
    read = log.read_to(b" lost\n").lstrip(b"\n")
    assert read == line * (LINES - lost) + b"%d lost\n" % lost
    assert log.said.wait(SOON)
    assert (log.told, log.behind.lost) == ([lost], 0)
    log.behind.write(b"on\n")
    assert log.read_to(b"on\n") == b"on\n"


def test_what_waits_at_the_end_is_written(tmp_path: Path) -> None:
    file = tmp_path / "log"
    behind = Behind(Output(file, "w"), lambda lost: None)
    for number in range(LINES):
        behind.write(b"%d\n" % number)
    behind.drain(SOON)
    assert file.read_bytes() == b"".join(b"%d\n" % number for number in range(LINES))


def test_a_result_is_handed_over_for_as_long_as_somebody_reads_on(log: Log) -> None:
    size = fcntl.fcntl(log.reading, fcntl.F_GETPIPE_SZ)
    log.behind = Behind(Output(log.writing, "w"), log._tell, math.inf)
    log.behind.write(b"\n" * 4 * size)
    log.behind.hand_over(0.1)
    log.behind.hand_over(math.inf, lambda: True)
    assert log.behind.waits, "nobody reads"
    reader = threading.Thread(target=log.read, args=(4 * size,))
    reader.start()
    log.behind.hand_over(math.inf)
    reader.join()
    assert not log.behind.waits


def test_a_terminal_is_shown_what_has_no_end_yet() -> None:
    ours, theirs = pty.openpty()
    Behind(Output(theirs, "w"), lambda lost: None).write(b"a picture")
    assert os.read(ours, 100) == b"a picture"
    os.close(ours)
    os.close(theirs)


def test_a_full_disk_holds_up_nobody() -> None:
    onto = Output("/dev/full", "w")
    behind = Behind(onto, lambda lost: None)
    behind.write(b"one\n")
    behind.drain(SOON)
    assert onto.lost is not None
