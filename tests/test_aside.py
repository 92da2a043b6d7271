"""Work that blocks: each piece for itself, bounded in number, and no end waits for it."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
import time

import pytest

from probe.aside import Threads, aside, unless

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
