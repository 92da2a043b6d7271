"""Each kind of rotation by itself, with the system calls that logrotate and servers make."""

# ruff: noqa: ASYNC240 - renaming a file of a test does not block

from __future__ import annotations

import gzip
import os
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from probe.evidence.sources.source import State
from tests.evidence.sources.reading import BRIEF, Reading, reading


@pytest.fixture
def log(tmp_path: Path) -> Path:
    path = tmp_path / "mail.log"
    path.write_bytes(b"before the start\n")
    return path


def append(log: Path, *lines: bytes) -> None:
    with log.open("ab", buffering=0) as writer:
        writer.write(b"".join(lines))


def beside(log: Path, suffix: str) -> Path:
    return log.with_name(log.name + suffix)


def copytruncate(log: Path, copy: Path) -> None:
    shutil.copyfile(log, copy)
    os.truncate(log, 0)


def is_open(path: Path) -> bool:
    opened = (os.path.join("/proc/self/fd", number) for number in os.listdir("/proc/self/fd"))
    return any(os.path.exists(one) and os.path.samefile(one, path) for one in opened)


async def reads(consumer: Reading, log: Path, line: bytes) -> None:
    append(log, line)
    await consumer.until(lambda: line in consumer.lines)


async def test_starts_at_the_end(log: Path) -> None:
    async with reading(log) as consumer:
        append(log, b"a\n")
        await consumer.receives(b"a\n")


async def test_line_begun_before_the_start_arrives_whole(log: Path) -> None:
    append(log, b"begun ")
    async with reading(log) as consumer:
        append(log, b"before\n")
        await consumer.receives(b"begun before\n")


async def test_rename_and_create(log: Path) -> None:
    async with reading(log) as consumer:
        append(log, b"a\n")
        log.rename(beside(log, ".1"))
        append(log, b"b\n")
        await consumer.receives(b"a\n", b"b\n")


async def test_server_writes_on_into_the_renamed_file(log: Path) -> None:
    async with reading(log) as consumer:
        await reads(consumer, log, b"a\n")
        log.rename(beside(log, ".1"))
        await consumer.until(lambda: consumer.state() is State.WAITING)
        append(beside(log, ".1"), b"b\n")
        await consumer.until(lambda: b"b\n" in consumer.lines)
        append(log, b"c\n")
        append(beside(log, ".1"), b"d\n")
        await consumer.receives(b"a\n", b"b\n", b"c\n", b"d\n")


async def test_late_lines_in_a_file_that_was_rotated_unseen_and_empty(log: Path) -> None:
    async with reading(log) as consumer:
        log.rename(beside(log, ".2"))
        log.touch()
        log.rename(beside(log, ".1"))
        append(log, b"new\n")
        await consumer.until(lambda: b"new\n" in consumer.lines)
        append(beside(log, ".1"), b"late\n")
        await consumer.receives(b"new\n", b"late\n")


async def test_several_rotations_between_two_looks(log: Path) -> None:
    async with reading(log) as consumer:
        for number in range(4, 0, -1):
            append(log, b"%d\n" % number)
            log.rename(beside(log, f".{number}"))
        append(log, b"0\n")
        await consumer.receives(b"0\n", b"1\n", b"2\n", b"3\n", b"4\n")


async def test_other_logs_and_old_rotations_are_left_alone(log: Path) -> None:
    beside(log, ".7").write_bytes(b"old\n")
    async with reading(log) as consumer:
        append(log.with_name("mail.err"), b"other\n")
        append(beside(log, "-audit"), b"other\n")
        log.rename(beside(log, ".1"))
        append(log, b"a\n")
        beside(log, ".7").rename(beside(log, ".8"))
        await consumer.receives(b"a\n")


@pytest.mark.parametrize("copy", ["mail.log.1", "mail.log-20261122", "mail-20261122.log", "mail.log.old", "kept"])
async def test_copytruncate(log: Path, copy: str) -> None:
    async with reading(log) as consumer:
        await reads(consumer, log, b"read before\n")
        append(log, b"only in the copy\n")
        copytruncate(log, log.with_name(copy))
        append(log, b"a\n")
        await consumer.receives(b"read before\n", b"only in the copy\n", b"a\n")
        assert consumer.source.health.gaps == 0


async def test_copytruncate_that_grew_past_the_old_position(log: Path) -> None:
    async with reading(log) as consumer:
        append(log, b"only in the copy\n")
        copytruncate(log, beside(log, ".1"))
        append(log, b"a" * 5000 + b"\n", b"b\n")
        await consumer.receives(b"only in the copy\n", b"a" * 5000 + b"\n", b"b\n")


async def test_copytruncate_twice_between_two_looks(log: Path) -> None:
    async with reading(log) as consumer:
        append(log, b"1\n")
        copytruncate(log, beside(log, ".2"))
        append(log, b"2\n")
        copytruncate(log, beside(log, ".1"))
        append(log, b"3\n")
        await consumer.receives(b"1\n", b"2\n", b"3\n")


async def test_copytruncate_of_a_log_that_was_empty_when_last_seen(log: Path) -> None:
    os.truncate(log, 0)
    async with reading(log) as consumer:
        append(log, b"only in the copy\n")
        copytruncate(log, beside(log, ".1"))
        await consumer.receives(b"only in the copy\n")


async def test_truncation_by_a_server_that_does_not_append(log: Path) -> None:
    append(log, b"x" * 100_000 + b"\n")
    async with reading(log) as consumer:
        with log.open("r+b", buffering=0) as writer:
            writer.seek(0, os.SEEK_END)
            writer.write(b"a\n")
            copytruncate(log, beside(log, ".1"))
            writer.write(b"b\n")
            await consumer.until(lambda: b"b\n" in consumer.lines)
            writer.write(b"c\n")
            copytruncate(log, beside(log, ".2"))
            writer.write(b"d\n")
            await consumer.receives(b"a\n", b"b\n", b"c\n", b"d\n")


async def test_copy_without_truncation_doubles_nothing(log: Path) -> None:
    async with reading(log) as consumer:
        append(log, b"a\n")
        shutil.copyfile(log, beside(log, ".3"))
        log.rename(beside(log, ".1"))
        append(log, b"b\n")
        await consumer.receives(b"a\n", b"b\n")


async def test_an_original_that_outgrows_its_copies_is_read_once(log: Path) -> None:
    async with reading(log) as consumer:
        log.rename(beside(log, ".3"))
        append(log, b"a\n")
        shutil.copyfile(log, beside(log, ".2"))
        log.rename(beside(log, ".1"))
        os.utime(beside(log, ".2"), ns=(0, beside(log, ".1").stat().st_mtime_ns - 1))
        append(log, b"new\n")
        await consumer.until(lambda: b"a\n" in consumer.lines)
        append(beside(log, ".1"), b"b\n")
        shutil.copyfile(beside(log, ".1"), beside(log, ".4"))
        await consumer.receives(b"a\n", b"new\n", b"b\n")


async def test_the_rest_of_a_line_that_was_given_up_is_no_line_of_its_own(log: Path) -> None:
    async with reading(log, replace(BRIEF, search=2.0, quiet=0.02, linger=0.05)) as consumer:
        append(log, b"begun")
        await consumer.until(lambda: b"begun\n" in consumer.lines)
        log.rename(beside(log, ".1"))
        append(log, b"new\n")
        await consumer.until(lambda: not is_open(beside(log, ".1")))
        append(beside(log, ".1"), b" and ended\n", b"late\n")
        await consumer.receives(b"begun\n", b"new\n", b"late\n")


async def test_a_twin_that_logs_the_same_lines_is_left_alone(log: Path) -> None:
    twin = log.with_name("mail.info")
    shutil.copyfile(log, twin)
    async with reading(log) as consumer:
        for path in (twin, log):
            append(path, b"a\n")
        copytruncate(log, beside(log, ".1"))
        for path in (twin, log):
            append(path, b"b\n")
        log.rename(beside(log, ".2"))
        for path in (twin, log):
            append(path, b"c\n")
        await consumer.receives(b"a\n", b"b\n", b"c\n")


async def test_truncation_without_a_copy_is_a_gap(log: Path) -> None:
    with capture_logs() as said:
        async with reading(log) as consumer:
            await reads(consumer, log, b"a\n")
            os.truncate(log, 0)
            append(log, b"b\n")
            await consumer.until(lambda: consumer.source.health.gaps == 1)
            await consumer.receives(b"a\n", b"b\n")
    assert ["no copy of it was found" in entry["reason"] for entry in said] == [True]


async def test_deleted_and_created_again(log: Path) -> None:
    async with reading(log) as consumer:
        append(log, b"a\n")
        log.unlink()
        append(log, b"b\n")
        await consumer.receives(b"a\n", b"b\n")


async def test_replaced_by_an_empty_file(log: Path) -> None:
    async with reading(log) as consumer:
        append(log, b"a\n")
        empty = beside(log, ".new")
        empty.touch()
        empty.replace(log)
        await consumer.until(lambda: b"a\n" in consumer.lines)
        append(log, b"b\n")
        await consumer.receives(b"a\n", b"b\n")


async def test_compressed_at_once(log: Path) -> None:
    async with reading(log) as consumer:
        append(log, b"a\n")
        log.rename(beside(log, ".1"))
        beside(log, ".1.gz").write_bytes(gzip.compress(beside(log, ".1").read_bytes()))
        beside(log, ".1").unlink()
        append(log, b"b\n")
        await consumer.receives(b"a\n", b"b\n")


async def test_renamed_and_renamed_back(log: Path) -> None:
    async with reading(log) as consumer:
        await reads(consumer, log, b"a\n")
        log.rename(beside(log, ".1"))
        await reads(consumer, log, b"b\n")
        log.unlink()
        beside(log, ".1").rename(log)
        append(log, b"c\n")
        await consumer.receives(b"a\n", b"b\n", b"c\n")


async def test_symbolic_link_is_switched_and_back(tmp_path: Path) -> None:
    monday, tuesday, link = (tmp_path / name for name in ("monday", "tuesday", "current"))
    monday.write_bytes(b"before the start\n")
    link.symlink_to(monday)
    async with reading(link) as consumer:
        append(monday, b"a\n")
        append(tuesday, b"b\n")
        for target in (tuesday, monday):
            fresh = tmp_path / "fresh"
            fresh.symlink_to(target)
            fresh.replace(link)
            await consumer.until(lambda: b"b\n" in consumer.lines)
        append(monday, b"c\n")
        await consumer.receives(b"a\n", b"b\n", b"c\n")


async def test_directory_that_does_not_exist_yet(tmp_path: Path) -> None:
    log = tmp_path / "later" / "mail.log"
    async with reading(log) as consumer:
        assert consumer.state() is State.WAITING
        log.parent.mkdir()
        append(log, b"from the beginning\n")
        await consumer.receives(b"from the beginning\n")
        assert consumer.state() is State.FOLLOWING
