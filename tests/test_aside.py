"""Work that blocks: each piece for itself, bounded in number, and no end waits for it."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from probe.aside import Again, Hangs, Lane, Threads, aside, contents, unless, within

HANGS = """
import asyncio, sys, threading
from probe.aside import aside, run

async def main():
    loop = asyncio.get_running_loop()
    hanging = [loop.run_in_executor(None, threading.Event().wait) for _ in range(50)] + [aside(threading.Event().wait)]
    print(await asyncio.to_thread(lambda: "done"), flush=True)
    return len(hanging)

print(run(main()), flush=True)
"""


def test_neither_other_work_nor_the_end_waits_for_work_that_hangs() -> None:
    done = subprocess.run([sys.executable, "-c", HANGS], capture_output=True, text=True, timeout=20, check=True)
    assert (done.stdout.split(), done.stderr) == (["done", "51"], "")


async def test_its_outcome_comes_back() -> None:
    assert await aside(lambda: threading.current_thread().daemon)
    with pytest.raises(ZeroDivisionError):
        await aside(lambda: 1 // 0)


async def test_of_too_many_threads_the_next_is_refused_until_one_ends() -> None:
    threads, end, loop = Threads(most=2), threading.Event(), asyncio.get_running_loop()
    hanging = [loop.run_in_executor(threads, end.wait) for _ in range(2)]
    with pytest.raises(OSError, match="no more threads"):
        await loop.run_in_executor(threads, time.time)
    end.set()
    await asyncio.gather(*hanging)
    async with asyncio.timeout(10):
        while True:  # the outcome is there a moment before the thread has ended
            try:
                assert await loop.run_in_executor(threads, lambda: 7) == 7
                return
            except OSError:
                await asyncio.sleep(0.01)


async def test_what_is_waited_for_unless_told_to_stop() -> None:
    stop = asyncio.Event()
    assert await unless(stop, aside(lambda: 7)) == 7
    never: asyncio.Future[int] = asyncio.get_running_loop().create_future()
    asyncio.get_running_loop().call_soon(stop.set)
    assert await unless(stop, never) is None


async def test_work_that_hangs_is_given_up_and_begun_again_only_once_it_has_ended() -> None:
    begun, end = [], threading.Event()

    def hangs() -> int:
        begun.append(True)
        end.wait()
        return len(begun)

    again = Again(hangs, bound=0.05)
    outcomes = await asyncio.gather(*(again.outcome() for _ in range(3)), return_exceptions=True)
    assert [type(one) for one in outcomes] == [Hangs] * 3
    with pytest.raises(OSError, match=r"no answer within 0\.05 s: see that it is on a file system that answers"):
        await again.outcome()
    assert len(begun) == 1
    end.set()
    async with asyncio.timeout(10):
        while again.is_under_way:  # noqa: ASYNC110 - a thread sets no event of the loop
            await asyncio.sleep(0.005)
    assert await again.outcome() == 2


async def test_who_asks_meanwhile_shares_the_outcome_and_who_gives_up_takes_it_from_nobody() -> None:
    end = threading.Event()
    again = Again(lambda: end.wait() and object(), bound=10)
    asking = [asyncio.create_task(again.outcome()) for _ in range(3)]
    await asyncio.sleep(0)
    asking[0].cancel()
    end.set()
    one, other = await asyncio.gather(*asking[1:])
    assert one is other
    with pytest.raises(ZeroDivisionError):
        await within(10, lambda: 1 // 0)


async def test_a_lane_works_in_order_in_one_thread_and_lets_go_of_it() -> None:
    lane, done = Lane("test"), []
    pieces = [lane(lambda n=n: done.append((n, threading.current_thread()))) for n in range(50)]  # type: ignore[misc]
    failing = lane(lambda: 1 // 0)
    last = lane(threading.current_thread)
    lane.end()
    await asyncio.gather(*pieces)
    with pytest.raises(ZeroDivisionError):
        await failing
    assert [number for number, _ in done] == list(range(50))
    assert {thread for _, thread in done} == {await last}
    (await last).join(10)
    assert not (await last).is_alive()


def test_only_a_regular_file_has_contents(tmp_path: Path) -> None:
    file, fifo = tmp_path / "file", tmp_path / "fifo"
    file.write_bytes(b"12345")
    os.mkfifo(fifo)
    assert (contents(file, 3), contents(file, 9)) == (b"123", b"12345")
    for none in (fifo, Path("/dev/null"), tmp_path):
        with pytest.raises(OSError, match=r"no regular file|Is a directory"):
            contents(none, 1)
