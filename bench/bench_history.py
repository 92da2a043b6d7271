"""How big the history gets and how fast it is: sessions of `probe demo`, as they are, written many times over.

python bench/bench_history.py [SESSIONS] > docs/bench-history.md        needs mailprobe[demo]
"""

from __future__ import annotations

import asyncio
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterable, Iterator
from dataclasses import replace
from pathlib import Path

from machine import machine, markdown

from probe.demo.scenes import Scene
from probe.demo.show import judge_round
from probe.demo.world import demo_world
from probe.model import EndpointName, Result, Severity
from probe.report.json import timestamp
from probe.service.clock import steady_clock
from probe.service.history import rows
from probe.service.history.backlog import AT_ONCE, Batch
from probe.service.history.file import HistoryFile
from probe.service.history.restoring import restored
from probe.service.wanted import Wanted

SCENES = (Scene.STRAIGHT, Scene.BEHIND_NODE, Scene.HEADER_MISSING)
ROUNDS = 3
ENDPOINTS = 100
INTERVAL = 30.0
BEGAN = 1_795_000_000.0


async def seen() -> list[Result]:
    """Sessions of some rounds in scenes of either kind."""
    found: list[Result] = []
    async with demo_world() as world:
        for scene in SCENES:
            await world.change_to(scene)
            for _ in range(ROUNDS):
                found += (await judge_round(world.config_file)).results
    return found


def many(results: list[Result], count: int) -> Iterator[Result]:
    """So many of them, each its own, as so many endpoints give them."""
    for number in range(count):
        result = results[number % len(results)]
        session = result.session
        opened = BEGAN + number / ENDPOINTS * INTERVAL
        moved = replace(
            session,
            id=os.urandom(8).hex(),
            path=f"path{number % ENDPOINTS // 4}",
            opened=opened,
            closed=opened + session.seconds,
        )
        yield replace(result, session=moved)


def batches(results: Iterable[Result]) -> Iterator[Batch]:
    batch: list[Result] = []
    for result in results:
        batch.append(result)
        if len(batch) == AT_ONCE:
            yield Batch(sessions=tuple(batch))
            batch.clear()
    yield Batch(sessions=tuple(batch))


async def filled(file: Path, results: Iterable[Result], *, records: bool) -> tuple[float, float]:
    """CPU and elapsed seconds of writing these."""
    history = await HistoryFile.opened(file)
    cpu, began = time.process_time(), time.perf_counter()
    for batch in batches(results):
        written = rows.rows_of(batch, 0.0, lambda _, error: sys.exit(str(error)))
        await history.write(written if records else replace(written, records=()))
    spent = time.process_time() - cpu, time.perf_counter() - began
    await history.close()
    return spent


async def median(times: int, ask: Callable[[], Awaitable[object]]) -> str:
    taken = []
    for _ in range(times):
        began = time.perf_counter()
        await ask()
        taken.append(time.perf_counter() - began)
    return f"{1000 * statistics.median(taken):.1f}"


async def main(count: int) -> None:
    before = machine()
    results = await seen()
    fine = [one for one in results if one.judgement.verdict.severity is Severity.OK]
    others = [one for one in results if one.judgement.verdict.severity is not Severity.OK]
    sizes: list[tuple[str, ...]] = []
    with tempfile.TemporaryDirectory() as folder:
        for name, kind, records in (
            ("the row alone", results, False),
            ("fine, with its record", fine, True),
            ("not fine, with its record", others, True),
        ):
            file = Path(folder) / "h.db"
            cpu, elapsed = await filled(file, many(kind, count // 20), records=records)
            each = count // 20
            sizes.append(
                (name, f"{file.stat().st_size / each:.0f}", f"{1e6 * cpu / each:.0f}", f"{each / elapsed:,.0f}")
            )
            file.unlink()
        file = Path(folder) / "h.db"
        await filled(file, many(results, count), records=False)
        history, clock = await HistoryFile.opened(file), steady_clock()
        last = BEGAN + count / ENDPOINTS * INTERVAL
        name = EndpointName("path3", fine[0].session.service, fine[0].session.port)
        of_one = Wanted(path=name.path, service=name.service, before=(BEGAN + last) / 2)
        asked = [
            ("100 sessions of all", await median(9, lambda: history.reader.sessions(Wanted(), 100))),
            ("100 sessions of one endpoint", await median(9, lambda: history.reader.sessions(of_one, 100))),
            ("1,000 outages", await median(9, lambda: history.reader.outages(Wanted(), 1000))),
            ("what a start needs", await median(3, lambda: restored(history.reader, clock))),
            ("one step of pruning", await median(9, lambda: history.prune(fine=last, older=BEGAN + 1e5, changes=0.0))),
        ]
        await history.close()
        began = time.perf_counter()
        await (await HistoryFile.opened(file)).close()
        asked.append(("opening and looking through it", f"{1000 * (time.perf_counter() - began):.1f}"))
        size = file.stat().st_size
    day = 86_400.0 / INTERVAL
    print(f"# What the history costs\n\n{before}.\n")
    print(markdown(("a session", "bytes in the file", "CPU µs to write", "per second"), sizes))
    print(f"\nWith {count:,} sessions of {ENDPOINTS} endpoints in the file ({size / 1e6:.0f} MB):\n")
    print(markdown(("asked for", "ms"), asked))
    row, good, bad = (float(line[1]) for line in sizes)
    month = (29 * day * row + day * good) / 1e6
    print(
        f"\nAn endpoint probed every {INTERVAL:.0f} s whose sessions are fine takes {month:.0f} MB in 30 days; "
        f"one whose sessions never are takes {30 * day * bad / 1e6:.0f} MB.\nWritten {timestamp(time.time())[:10]}."
    )


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]) if len(sys.argv) > 1 else 400_000))
