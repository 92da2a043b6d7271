"""`probe run` in a process that besides tells what it holds: a line of JSON every few seconds, on standard output.

    python bench/soak_daemon.py CONFIG

Tasks can only be counted from within; the rest is what /proc knows.
"""

from __future__ import annotations

import asyncio
import json
import os
import socket
import sys
import time
from pathlib import Path

from probe.service.run import run
from probe.settings import Settings, load
from probe.streams import open_streams

EVERY = 5.0
PAGE = os.sysconf("SC_PAGE_SIZE")


def held() -> dict[str, float]:
    """What this process holds now."""
    return {
        "at": time.time(),
        "descriptors": len(os.listdir("/proc/self/fd")),
        "threads": len(os.listdir("/proc/self/task")),
        "resident": int(Path("/proc/self/statm").read_text().split()[1]) * PAGE,
        "tasks": len(asyncio.all_tasks()),
        "cpu": sum(os.times()[:2]),
    }


async def tell() -> None:
    """Until cancelled."""
    while True:
        print(json.dumps(held()), flush=True)
        await asyncio.sleep(EVERY)


async def main(config: Path) -> None:
    """The daemon as the command runs it, and the telling beside it."""

    def read() -> Settings:
        return load(config, environment=os.environ, hostname=socket.gethostname())

    telling = asyncio.create_task(tell())
    try:
        await run(read, os.environ)
    finally:
        telling.cancel()


if __name__ == "__main__":
    open_streams()
    asyncio.run(main(Path(sys.argv[1])))
