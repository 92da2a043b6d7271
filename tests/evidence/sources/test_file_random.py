"""Random rotations under load: what a writer in another process wrote arrives exactly once."""

from __future__ import annotations

import asyncio
import os
import sys
from collections import Counter
from collections.abc import Sequence
from contextlib import AsyncExitStack, suppress
from dataclasses import replace
from pathlib import Path

import pytest

from tests.evidence.sources.reading import BRIEF, Reading, reading

PATIENT = replace(BRIEF, search=2.0, quiet=10.0, linger_deleted=10.0)
"""Bounds of time that a writer without a processor does not pass; what they are for is shown by other tests."""

WRITER = Path(__file__).with_name("rotating_writer.py")
LINES = 3000


SEEDS = range(int(os.environ.get("ROTATION_SEEDS", "8")))
HALVES = [half for half in (SEEDS[::2], SEEDS[1::2]) if half]


@pytest.mark.calm
@pytest.mark.parametrize("seeds", HALVES, ids=str)
async def test_nothing_is_lost_and_nothing_doubled(tmp_path: Path, seeds: Sequence[int]) -> None:
    """One writer after another; the searches after their last rotations are waited for together."""
    read: dict[int, tuple[Reading, int]] = {}
    async with AsyncExitStack() as readers:
        for seed in seeds:
            log = tmp_path / str(seed) / "mail.log"
            log.parent.mkdir()
            log.write_bytes(b"before the start\n")
            consumer = await readers.enter_async_context(reading(log, PATIENT))
            read[seed] = consumer, await written_by_writer(log, seed, consumer)
        await consumer.settled(PATIENT)
        for seed, (consumer, written) in read.items():
            seen = Counter(int(line.split(b" ", 1)[0]) for line in consumer.lines)
            lost = sorted(set(range(written)) - set(seen))
            doubled = sorted(number for number, times in seen.items() if times > 1)
            health = consumer.source.health
            assert (seed, lost, doubled, health.gaps, health.cut) == (seed, [], [], 0, 0)


async def written_by_writer(log: Path, seed: int, consumer: Reading) -> int:
    """How many lines the writer wrote; as many have been read by then, or never will be."""
    writer = await asyncio.create_subprocess_exec(
        sys.executable, WRITER, log, str(seed), str(LINES), str(os.getpid()), stdout=asyncio.subprocess.PIPE
    )
    printed, _ = await writer.communicate()
    assert writer.returncode == 0
    with suppress(TimeoutError):
        await consumer.until(lambda: consumer.source.health.lines >= int(printed), 10)
    return int(printed)
