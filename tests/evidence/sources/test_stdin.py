"""Whatever standard input may be: a pipe, a file, a terminal, nothing."""

from __future__ import annotations

import asyncio
import os
import pty
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from probe.evidence.sources.source import MAX_LINE, State
from probe.evidence.sources.stdin import StdinSource
from tests.evidence.sources.reading import Reading, consuming


def source_of(descriptor: int | None) -> StdinSource:
    return StdinSource(descriptor, clock=time.time)


@pytest.fixture
def pipe() -> Iterator[tuple[int, list[int]]]:
    """The reading end, and the writing end, which a test may take out and close."""
    reading_end, writing_end = os.pipe()
    writers = [writing_end]
    yield reading_end, writers
    for descriptor in (reading_end, *writers):
        os.close(descriptor)


async def test_a_pipe_is_followed_to_its_end(pipe: tuple[int, list[int]]) -> None:
    descriptor, writers = pipe
    os.write(writers[0], b"before the start\n")
    async with consuming(source_of(descriptor)) as consumer:
        assert consumer.state() is State.FOLLOWING
        os.write(writers[0], b"a\nhal")
        await consumer.receives(b"before the start\n", b"a\n")
        os.write(writers[0], b"f a line\n")
        await consumer.until(lambda: b"half a line\n" in consumer.text)
        os.close(writers.pop())
        await consumer.until(lambda: consumer.state() is State.FAILED)
        assert "has ended" in consumer.source.health.reason
        assert "kubectl logs needs -f" in consumer.source.health.reason
        assert (consumer.source.health.lines, consumer.source.health.gaps) == (3, 0)
    assert os.get_blocking(descriptor)


async def test_half_a_line_at_the_end_is_none(pipe: tuple[int, list[int]]) -> None:
    descriptor, writers = pipe
    async with consuming(source_of(descriptor)) as consumer:
        os.write(writers[0], b"whole\nhalf")
        os.close(writers.pop())
        await consumer.until(lambda: consumer.state() is State.FAILED)
        assert consumer.lines == [b"whole\n"]
        assert consumer.source.health.gaps == 1


@pytest.mark.parametrize("ended", [True, False])
async def test_waiting_costs_nothing(pipe: tuple[int, list[int]], ended: bool) -> None:  # noqa: FBT001
    descriptor, writers = pipe
    if ended:
        os.close(writers.pop())
    async with consuming(source_of(descriptor)) as consumer:
        begun, used = time.monotonic(), time.process_time()
        await asyncio.sleep(0)
        await consumer.until(lambda: ended == (consumer.state() is State.FAILED))
        used = time.process_time()
        await asyncio.to_thread(time.sleep, 0.3)  # the loop would spin meanwhile
        assert time.process_time() - used < 0.15
        assert time.monotonic() - begun < 20


async def test_cancelled_and_followed_again_goes_on(pipe: tuple[int, list[int]]) -> None:
    descriptor, writers = pipe
    source = source_of(descriptor)
    await source.start()
    consumer = Reading(source)
    for number in range(20):
        task = asyncio.create_task(consumer.consume())
        os.write(writers[0], b"%d\n" % number)
        await consumer.until(lambda number=number: b"%d\n" % number in consumer.lines)  # type: ignore[misc]
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    assert consumer.lines == [b"%d\n" % number for number in range(20)]
    await source.close()
    await source.close()
    assert [lines async for lines in source.follow()] == []


async def test_too_long_a_line_is_cut_and_counted(pipe: tuple[int, list[int]]) -> None:
    descriptor, writers = pipe
    async with consuming(source_of(descriptor)) as consumer:
        await asyncio.to_thread(os.write, writers[0], b"x" * (2 * MAX_LINE))
        await asyncio.to_thread(os.write, writers[0], b"\nnext\n")
        await consumer.until(lambda: b"next\n" in consumer.text)
        assert [len(line) for line in consumer.lines] == [MAX_LINE, 5]
        assert consumer.source.health.cut == 1


async def test_a_regular_file_is_followed_from_its_end(tmp_path: Path) -> None:
    log = tmp_path / "mail.log"
    log.write_bytes(b"old\n")
    with log.open("rb") as opened:
        async with consuming(source_of(opened.fileno())) as consumer:
            with log.open("ab") as writer:
                writer.write(b"new\n")
            await consumer.receives(b"new\n")
            assert consumer.state() is State.FOLLOWING
        assert opened.tell() == 0


async def test_a_terminal_is_read_and_said_to_be_one() -> None:
    ours, theirs = pty.openpty()
    try:
        async with consuming(source_of(theirs)) as consumer:
            assert consumer.state() is State.WAITING
            assert "is a terminal" in consumer.source.health.reason
            os.write(ours, b"typed\n")
            await consumer.until(lambda: consumer.lines == [b"typed\n"])
            assert consumer.state() is State.FOLLOWING
            os.write(ours, b"\x04")
            await consumer.until(lambda: consumer.state() is State.FAILED)
    finally:
        os.close(ours)
        os.close(theirs)


@pytest.mark.parametrize(("what", "reason"), [("/dev/null", "has ended"), ("/", "cannot be read: Is a directory")])
async def test_what_gives_nothing_is_said(what: str, reason: str) -> None:
    descriptor = os.open(what, os.O_RDONLY)
    try:
        async with consuming(source_of(descriptor)) as consumer:
            await consumer.until(lambda: reason in consumer.source.health.reason)
            assert consumer.state() is State.FAILED
    finally:
        os.close(descriptor)


async def test_a_closed_descriptor_is_said() -> None:
    for descriptor in (None, 12345):
        async with consuming(source_of(descriptor)) as consumer:
            assert consumer.state() is State.FAILED
            assert "is closed" in consumer.source.health.reason


CONFIG = """
paths: [{name: nowhere, host: 127.0.0.1, endpoints: [{service: smtp, port: 1}]}]
evidence: {sources: [{kind: file, path: "-"}]}
"""


@pytest.mark.parametrize("redirected", ["<&-", "</dev/null", f"<{__file__}", "< <(echo a)"])
def test_the_command_takes_any_standard_input(tmp_path: Path, redirected: str) -> None:
    config = tmp_path / "mailprobe.yaml"
    config.write_text(CONFIG)
    probe = Path(sys.executable).with_name("probe")
    command = f"{probe} --once --config {config} --format nagios {redirected}"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 2
    assert "refused" in done.stdout
