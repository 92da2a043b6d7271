"""Wherever between two system calls of the reader a writer goes on: nothing is lost and nothing doubled."""

# ruff: noqa: ASYNC240 - renaming a file of a test does not block

from __future__ import annotations

import asyncio
import os
import shutil
from collections import Counter
from pathlib import Path
from random import Random

import pytest

from probe.evidence.sources.file import FileSource, Patience
from tests.evidence.sources.interleaving import before_each_call, timeless
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


def source(log: Path) -> FileSource:
    return FileSource(log, clock=lambda: 0.0, patience=PATIENCE)


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
                    with log.open("ab") as writer:
                        writer.write(b"b\n")
                    shutil.copyfile(log, copy)

            with before_each_call(write):
                await passes(0.2)
            await passes(2)
            return consumer.lines

    assert timeless(read()) == [b"a\n", b"b\n"]


@pytest.mark.parametrize("seed", range(int(os.environ.get("ROTATION_SEEDS", "100"))))
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
