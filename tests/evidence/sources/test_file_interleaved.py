"""Wherever between two system calls of the reader a writer goes on: nothing is lost and nothing doubled."""

# ruff: noqa: ASYNC240 - renaming a file of a test does not block

from __future__ import annotations

import asyncio
import os
import shutil
import sys
from collections import Counter
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from random import Random

import pytest

from probe.evidence.sources.file import FileSource, Patience
from tests.evidence.sources.interleaving import Inline, before_each_call, stall, timeless
from tests.evidence.sources.reading import consuming
from tests.evidence.sources.stepwise_writer import Writer

PATIENCE = Patience(poll=0.005, search=0.3, quiet=1e6, linger=5.0)
PLACES = 60
"""More system calls than the reader makes until it has looked at everything twice."""

ROTATIONS = 25
CHANCES = (0.003, 0.01, 0.03, 0.1)


@pytest.fixture
def log(tmp_path: Path) -> Path:
    path = tmp_path / "mail.log"
    path.write_bytes(b"before the start\n")
    return path


def source(log: Path, patience: Patience = PATIENCE) -> FileSource:
    return FileSource(log, clock=lambda: 0.0, patience=patience, lane=Inline())


def append(log: Path, line: bytes) -> None:
    with log.open("ab") as writer:
        writer.write(line)


def copytruncate(log: Path) -> None:
    """As logrotate does it: make room, copy, truncate."""
    for number in range(9, 0, -1):
        with suppress(FileNotFoundError):
            os.rename(f"{log}.{number}", f"{log}.{number + 1}")
    shutil.copyfile(log, f"{log}.1")
    os.truncate(log, 0)


async def passes(seconds: float) -> None:
    for _ in range(round(seconds / PATIENCE.poll)):
        await asyncio.sleep(PATIENCE.poll)


@pytest.mark.parametrize("place", range(1, PLACES))
def test_a_log_is_copied_while_its_copy_is_looked_at(log: Path, place: int) -> None:
    async def read() -> list[bytes]:
        async with consuming(source(log)) as consumer:
            log.rename(f"{log}.1")
            log.write_bytes(b"a\n")
            await passes(0.05)
            copy = Path(f"{log}.2")
            copy.touch()

            def write(number: int) -> None:
                if number == place:
                    append(log, b"b\n")
                    shutil.copyfile(log, copy)

            with before_each_call(write):
                await passes(0.2)
            await passes(2)
            return consumer.lines

    assert timeless(read()) == [b"a\n", b"b\n"]


@pytest.mark.parametrize("disturbed", range(5))
def test_a_shorter_copy_is_not_taken_while_rotations_hide_the_longer_one(log: Path, disturbed: int) -> None:
    """Each time the longer copy is about to be opened, the next rotation takes its name away."""

    async def read() -> tuple[list[bytes], int]:
        async with consuming(source(log)) as consumer:
            append(log, b"read\n")
            await passes(0.02)
            shutil.copyfile(log, f"{log}-20261122")
            append(log, b"read too\n")
            await passes(0.02)
            append(log, b"only in the longer copy\n")
            copytruncate(log)
            left = disturbed

            def hide(_: int) -> None:
                nonlocal left
                path = sys._getframe(2).f_locals.get("path")
                if left and isinstance(path, Path) and b"only in" in (path.read_bytes() if path.exists() else b""):
                    left -= 1
                    copytruncate(log)

            with before_each_call(hide):
                await passes(1)
            return consumer.lines, consumer.source.health.gaps

    lines, gaps = timeless(read())
    assert (sorted(lines), gaps) == ([b"only in the longer copy\n", b"read\n", b"read too\n"], 0)


@pytest.mark.parametrize("truncations", [3, 9, 12])
def test_copies_that_come_late_double_nothing(log: Path, truncations: int) -> None:
    """logrotate's olddir: the copies are not beside the log; then somebody moves them there."""
    away = log.parent / "away"
    away.mkdir()

    async def read() -> tuple[list[bytes], int]:
        async with consuming(source(log)) as consumer:
            for number in range(truncations):
                append(log, b"%d\n" % number)
                await passes(0.02)
                shutil.copyfile(log, away / f"{log.name}.{truncations - number}")
                os.truncate(log, 0)
                await passes(1)
            for copy in away.iterdir():
                copy.rename(log.parent / copy.name)
            log.rename(f"{log}.0")
            append(log, b"new\n")
            await passes(1)
            return consumer.lines, consumer.source.health.gaps

    assert timeless(read()) == ([*(b"%d\n" % number for number in range(truncations)), b"new\n"], truncations)


@pytest.mark.parametrize("place", range(1, PLACES))
def test_a_line_is_not_given_up_because_the_reader_got_no_processor(log: Path, place: int) -> None:
    async def read() -> tuple[list[bytes], int]:
        async with consuming(source(log, replace(PATIENCE, quiet=0.2))) as consumer:
            log.rename(f"{log}.1")
            append(log, b"begun")
            await passes(0.02)

            def write(number: int) -> None:
                if number == place:
                    stall(0.1)
                    append(log, b" and ended\n")
                    stall(10)

            with before_each_call(write):
                await passes(0.1)
            return consumer.lines, consumer.source.health.cut

    assert timeless(read()) == ([b"begun and ended\n"], 0)


def test_a_copy_is_found_however_slow_the_search(log: Path) -> None:
    async def read() -> tuple[list[bytes], int]:
        async with consuming(source(log)) as consumer:
            append(log, b"read\n")
            await passes(0.02)
            append(log, b"only in the copy\n")
            copytruncate(log)
            with before_each_call(lambda _: stall(PATIENCE.search)):
                await passes(0.1)
            return consumer.lines, consumer.source.health.gaps

    assert timeless(read()) == ([b"read\n", b"only in the copy\n"], 0)


@pytest.mark.parametrize("seed", range(int(os.environ.get("ROTATION_SEEDS", "50"))))
def test_random_interleavings(log: Path, seed: int) -> None:
    random = Random(seed)
    chance = random.choice(CHANCES)
    writer = Writer(log, random)
    steps = writer.steps(ROTATIONS)
    over = False

    def write(_: int) -> None:
        nonlocal over
        if random.random() < chance:
            for _ in range(random.choice((1, 1, 2, 4, 10, 40))):
                over = over or next(steps, "over") == "over"

    async def read() -> tuple[list[bytes], int, int]:
        async with consuming(source(log)) as consumer:
            with before_each_call(write):
                while not over:
                    await passes(PATIENCE.poll)
            await passes(2)
            return consumer.lines, consumer.source.health.gaps, consumer.source.health.cut

    lines, gaps, cut = timeless(read())
    writer.close()
    seen = Counter(int(line.split(b" ", 1)[0]) for line in lines)
    lost = sorted(set(range(writer.written)) - set(seen))
    doubled = sorted(number for number, times in seen.items() if times > 1)
    assert (lost, doubled, gaps, cut) == ([], [], 0, 0)
