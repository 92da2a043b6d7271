"""Random rotations under load: what a writer in another process wrote arrives exactly once."""

from __future__ import annotations

import asyncio
import os
import sys
from collections import Counter
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest

from tests.evidence.sources.reading import BRIEF, reading

PATIENT = replace(BRIEF, search=2.0, quiet=10.0, linger_deleted=10.0)
"""Bounds of time that a writer without a processor does not pass; what they are for is shown by other tests."""

WRITER = Path(__file__).with_name("rotating_writer.py")
LINES = 3000


@pytest.mark.calm
@pytest.mark.parametrize("seed", range(int(os.environ.get("ROTATION_SEEDS", "8"))))
async def test_nothing_is_lost_and_nothing_doubled(tmp_path: Path, seed: int) -> None:
    log = tmp_path / "mail.log"
    log.write_bytes(b"before the start\n")
    async with reading(log, PATIENT) as consumer:
        writer = await asyncio.create_subprocess_exec(
            sys.executable, WRITER, log, str(seed), str(LINES), str(os.getpid()), stdout=asyncio.subprocess.PIPE
        )
        printed, _ = await writer.communicate()
        assert writer.returncode == 0
        written = int(printed)
        with suppress(TimeoutError):
            await consumer.until(lambda: consumer.source.health.lines >= written, 10)
        await consumer.settled(PATIENT)
        seen = Counter(int(line.split(b" ", 1)[0]) for line in consumer.lines)
        lost = sorted(set(range(written)) - set(seen))
        doubled = sorted(number for number, times in seen.items() if times > 1)
        assert (lost, doubled, consumer.source.health.gaps, consumer.source.health.cut) == ([], [], 0, 0)
