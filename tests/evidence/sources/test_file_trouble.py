"""What cannot be read: said with its path and the next step, tried again, never raised."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from probe.evidence.sources.file import FileSource
from probe.evidence.sources.source import State
from tests.evidence.sources.reading import BRIEF, consuming, reading
from tests.hung_disk import hung_disk


@contextmanager
def without_privileges() -> Iterator[None]:
    """Root may read everything; somebody else may not."""
    user = os.geteuid()
    if user == 0:
        os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(user)


async def test_a_missing_file_is_waited_for_and_said_once(tmp_path: Path) -> None:
    log = tmp_path / "mail.log"
    with capture_logs() as said:
        async with reading(log) as consumer:
            health = consumer.source.health
            assert health.state is State.WAITING
            assert str(log) in health.reason
            assert "check the path" in health.reason
            assert health.deaf
            log.write_bytes(b"from the beginning\n")
            await consumer.receives(b"from the beginning\n")
            assert (consumer.source.health.state, consumer.source.health.reason) == (State.FOLLOWING, "")
    warnings = [entry for entry in said if entry["log_level"] == "warning"]
    assert len(warnings) == 1
    assert warnings[0]["path"] == str(log)
    assert "check the path" in warnings[0]["reason"]


async def test_of_a_log_that_was_renamed_lines_may_still_come(tmp_path: Path) -> None:
    log = tmp_path / "mail.log"
    log.touch()
    async with reading(log) as consumer:
        log.rename(tmp_path / "mail.log.1")
        await consumer.until(lambda: consumer.source.health.state is State.WAITING, 5)
        assert not consumer.source.health.deaf


async def test_permission_denied_is_tried_again_and_the_start_kept(open_folder: Path) -> None:
    log = open_folder / "mail.log"
    log.write_bytes(b"before the start\n")
    log.chmod(0)
    source = FileSource(log, clock=time.time, patience=BRIEF)
    with without_privileges():
        await source.start()
    assert (source.health.state, "give the probe's user access" in source.health.reason) == (State.FAILED, True)
    assert source.health.deaf
    log.chmod(0o644)
    with log.open("ab") as writer:
        writer.write(b"a\n")
    assert (await anext(source.follow())).text == b"a\n"
    assert (source.health.state, source.health.reason) == (State.FOLLOWING, "")
    await source.close()


async def test_a_directory_that_may_not_be_searched_is_said(open_folder: Path) -> None:
    folder = open_folder / "closed"
    folder.mkdir(mode=0)
    source = FileSource(folder / "mail.log", clock=time.time, patience=BRIEF)
    with without_privileges():
        await source.start()
    assert (source.health.state, "its directories" in source.health.reason) == (State.FAILED, True)
    await source.close()


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        ("directory", "is a directory: name the log file in it"),
        ("fifo", "is no regular file: name the log file itself"),
        ("device", "is no regular file: name the log file itself"),
        ("circle", "is a circle of symbolic links"),
        ("file/below", "has a part that is no directory"),
        ("unreadable", "input/output error: check the disk or the mount"),
    ],
)
async def test_what_is_no_log_file_is_refused_until_it_is_one(tmp_path: Path, kind: str, reason: str) -> None:
    log = tmp_path / kind
    (tmp_path / "file").touch()
    match kind:
        case "directory":
            log.mkdir()
        case "fifo":
            os.mkfifo(log)
        case "device":
            log.symlink_to("/dev/null")
        case "circle":
            log.symlink_to(log)
        case "unreadable":
            log.symlink_to("/proc/self/mem")
    async with reading(log) as consumer:
        await consumer.until(lambda: reason in consumer.source.health.reason)
        assert str(log) in consumer.source.health.reason
        if kind == "directory":
            log.rmdir()
        elif kind == "file/below":
            log.parent.unlink()
            log.parent.mkdir()
        else:
            log.unlink()
        log.write_bytes(b"a\n")
        await consumer.receives(b"a\n")
        assert consumer.state() is State.FOLLOWING


async def test_trouble_that_stays_is_not_said_again_and_again(tmp_path: Path) -> None:
    with capture_logs() as said:
        log = tmp_path / "mem"
        log.symlink_to("/proc/self/mem")
        async with reading(log) as consumer:
            await consumer.settled()
            await consumer.settled()
            descriptors = len(os.listdir("/proc/self/fd"))
            await consumer.settled()
            assert len(os.listdir("/proc/self/fd")) <= descriptors + 1
    assert [entry["log_level"] for entry in said].count("warning") <= 2  # once for opening, once for reading


async def test_a_file_system_that_hangs_is_told_and_holds_up_nobody(tmp_path: Path) -> None:
    folder = tmp_path / "nfs"
    folder.mkdir()
    log = folder / "mail.log"
    log.write_bytes(b"before the start\n")
    with hung_disk(folder) as disk:
        async with consuming(FileSource(log, clock=time.time, patience=replace(BRIEF, hangs=0.2))) as consumer:
            disk.hang()
            await consumer.until(lambda: "does not answer: check the mount" in consumer.source.health.reason)
            assert (consumer.state(), str(log) in consumer.source.health.reason) == (State.FAILED, True)
            disk.answer()
            with log.open("ab") as writer:
                writer.write(b"a\n")
            await consumer.receives(b"a\n")
            assert (consumer.state(), consumer.source.health.gaps) == (State.FOLLOWING, 0)
            disk.hang()
            await consumer.until(lambda: consumer.state() is State.FAILED)
            began = time.monotonic()
            await consumer.source.close()
            assert time.monotonic() - began < 2


async def test_a_start_on_a_file_system_that_hangs_is_bounded(tmp_path: Path) -> None:
    with hung_disk(tmp_path) as disk:
        disk.hang()
        source = FileSource(tmp_path / "mail.log", clock=time.time, patience=replace(BRIEF, hangs=0.2))
        began = time.monotonic()
        await source.start()
        assert (source.health.state, time.monotonic() - began < 2) == (State.FAILED, True)
        await source.close()
        disk.answer()
