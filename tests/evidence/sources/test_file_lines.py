"""Odd lines, the manners of the stream, and what it costs."""

# ruff: noqa: ASYNC240 - renaming a file of a test does not block

from __future__ import annotations

import asyncio
import os
import time
import tracemalloc
from pathlib import Path

import pytest

from probe.evidence.sources.file import FileSource
from probe.evidence.sources.source import MAX_LINE, LineJoiner
from tests.evidence.sources.reading import BRIEF, Reading, reading


@pytest.fixture
def log(tmp_path: Path) -> Path:
    path = tmp_path / "mail.log"
    path.touch()
    return path


def append(log: Path, text: bytes) -> None:
    with log.open("ab", buffering=0) as writer:
        writer.write(text)


async def test_an_incomplete_line_is_held_until_its_newline(log: Path) -> None:
    async with reading(log) as consumer:
        append(log, b"a\nhalf")
        await consumer.until(lambda: consumer.text == b"a\n")
        append(log, b" a line\n")
        await consumer.receives(b"a\n", b"half a line\n")
        assert consumer.source.health.cut == 0


async def test_an_incomplete_line_is_passed_on_after_quiet_and_its_rest_dropped(log: Path) -> None:
    async with reading(log) as consumer:
        append(log, b"half")
        await consumer.until(lambda: consumer.text == b"half\n")
        append(log, b" a line\nwhole\n")
        await consumer.receives(b"half\n", b"whole\n")
        assert consumer.source.health.cut == 1


async def test_a_line_over_the_bound_is_cut_and_counted(log: Path) -> None:
    async with reading(log) as consumer:
        append(log, b"a\n" + b"x" * (3 * MAX_LINE) + b"\nb\n")
        await consumer.receives(b"a\n", b"x" * (MAX_LINE - 1) + b"\n", b"b\n")
        assert consumer.source.health.cut == 1
        assert max(len(lines.text) for lines in consumer.arrived) <= MAX_LINE


async def test_a_line_of_exactly_the_bound_is_whole(log: Path) -> None:
    line = b"x" * (MAX_LINE - 1) + b"\n"
    async with reading(log) as consumer:
        append(log, line + line)
        await consumer.receives(line, line)
        assert consumer.source.health.cut == 0


async def test_nuls_and_broken_text_are_passed_on(log: Path) -> None:
    async with reading(log) as consumer:
        append(log, b"a\0\0b\xff\xfe\r\n\n")
        await consumer.receives(b"a\0\0b\xff\xfe\r\n", b"\n")


@pytest.mark.parametrize("size", [1, 2, 3, 7, 1000])
def test_chunks_of_any_size_join_to_the_same_lines(size: int) -> None:
    text = b"".join(b"x" * length + b"\n" for length in range(50))
    joiner = LineJoiner()
    pieces = [joiner.feed(text[at : at + size]) for at in range(0, len(text), size)]
    assert b"".join(pieces) == text
    assert all(not piece or piece.endswith(b"\n") for piece in pieces)


async def test_cancelled_and_followed_again_goes_on_where_it_stopped(log: Path) -> None:
    source = FileSource(log, clock=time.time, patience=BRIEF)
    await source.start()
    consumer = Reading(source)
    for number in range(20):
        task = asyncio.create_task(consumer.consume())
        line = b"%d\n" % number
        append(log, line)
        await consumer.until(lambda line=line: line in consumer.lines)  # type: ignore[misc]
        task.cancel()
        append(log, b"while nobody follows\n")
        assert isinstance((await asyncio.gather(task, return_exceptions=True))[0], asyncio.CancelledError)
    assert [line for line in consumer.lines if line[:1].isdigit()] == [b"%d\n" % number for number in range(20)]
    await source.close()
    await source.close()
    assert [lines async for lines in source.follow()] == []


async def test_health_counts_and_arrival_is_the_clock_passed_in(log: Path) -> None:
    source = FileSource(log, clock=lambda: 1234.5, patience=BRIEF)
    await source.start()
    append(log, b"a\nb\n")
    stream = source.follow()
    first = await anext(stream)
    assert (first.arrival, first.text, first.stamps) == (1234.5, b"a\nb\n", ())
    assert (source.health.lines, source.health.last_line_at) == (2, 1234.5)
    assert source.name == f"file:{log}"
    await source.close()


async def test_no_descriptor_is_left_open(log: Path) -> None:
    before = len(os.listdir("/proc/self/fd"))
    async with reading(log) as consumer:
        for number in range(60):
            append(log, b"%d\n" % number)
            log.rename(log.with_name(f"mail.log.{number}"))
            log.touch()
            await consumer.until(lambda number=number: consumer.source.health.lines == number + 1)  # type: ignore[misc]
        assert len(os.listdir("/proc/self/fd")) < before + 40
    assert len(os.listdir("/proc/self/fd")) == before


async def test_far_behind_memory_stays_flat_and_the_loop_turns(log: Path) -> None:
    source = FileSource(log, clock=time.time, patience=BRIEF)
    await source.start()
    block = (b"x" * 107 + b"\n") * 100_000
    for _ in range(20):
        append(log, block)
    turns = 0

    async def turn() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    turning = asyncio.create_task(turn())
    tracemalloc.start()
    received = chunks = 0
    async for lines in source.follow():
        received += len(lines.text)
        chunks += 1
        if received == 20 * len(block):
            break
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    turning.cancel()
    await source.close()
    assert peak < 4 << 20
    assert turns >= chunks > received >> 20
