"""What one run of the command costs from start to exit: CPU, elapsed time, peak memory.

    python bench/bench_startup.py [--runs 15] [--beside /another/venv/bin/python]

Rule 1: each run is a process of its own; what it took is what the kernel says of it when it has ended (wait4).
Rule 2: bytecode is compiled and files are cached before anything counts: the first run of each row is thrown away.
Rule 3: rows take turns, so that a drift of the machine hits all.
Rule 4: the Python decides much of it, so every row says which one it ran under; `--beside` adds another, in whose
        environment mailprobe is installed.

`probe --once` looks at the loopback world of `probe demo`, which lives in this process: four services, TLS, the log
read, all four verdicts `preserved`. Its elapsed time is mostly the wait for the log.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import shutil
import statistics
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from bench.machine import first_line, machine, markdown  # noqa: E402 - needs the path above
from probe.demo.world import demo_world  # noqa: E402

BINARIES = ("prometheus-blackbox-exporter", "blackbox_exporter")
MIB = 1024
INTERRUPTED = 130


@dataclass(frozen=True, kw_only=True, slots=True)
class Run:
    """What one process took."""

    cpu: float
    seconds: float
    peak_mib: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Goal:
    """What issue and README promise of a row."""

    cpu: float
    peak_mib: float | None = None

    def met(self, cpu: float, peak_mib: float) -> bool:
        return cpu < self.cpu and (self.peak_mib is None or peak_mib < self.peak_mib)

    def __str__(self) -> str:
        return f"{self.cpu:.2f} s" + (f", {self.peak_mib:.0f} MiB" if self.peak_mib else "")


GOALS = {
    "probe --version": Goal(cpu=0.15),
    "probe --once": Goal(cpu=0.6, peak_mib=60),
    "probe --once --format json": Goal(cpu=0.6, peak_mib=60),
}


Row = tuple[str, str]
"""What is run, and the version of the Python that runs it."""


def commands(config: Path, pythons: Sequence[str]) -> dict[Row, list[str]]:
    """Row -> command. The probe is the one beside each Python, as installed."""
    rows: dict[Row, list[str]] = {}
    for python in pythons:
        version = first_line(python, "--version").removeprefix("Python ")
        probe = str(Path(python).with_name("probe"))
        round_of_one = [probe, "--once", "--config", str(config)]
        rows["python -c pass", version] = [python, "-c", "pass"]
        rows["probe --version", version] = [probe, "--version"]
        rows["probe --once", version] = round_of_one
        rows["probe --once --format json", version] = [*round_of_one, "--format", "json"]
    if (binary := next(filter(None, map(shutil.which, BINARIES)), None)) is not None:
        rows["blackbox_exporter --version", "-"] = [binary, "--version"]
    return rows


LAUNCHER = """
import os, sys, time
started = time.perf_counter()
child = os.posix_spawn(sys.argv[1], sys.argv[1:], os.environ)
_, status, usage = os.wait4(child, 0)
elapsed = time.perf_counter() - started
print(os.waitstatus_to_exitcode(status), usage.ru_utime + usage.ru_stime, elapsed, usage.ru_maxrss, file=sys.stderr)
"""
"""Between us and the command, because the kernel counts the memory of whoever starts a program as the program's own:
this one is as small as Python gets, and no peak below its own can be seen."""


def measured(command: list[str]) -> Run:
    """Run a command to its good end."""
    environment = {name: text for name, text in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    launched = [sys.executable, "-I", "-S", "-c", LAUNCHER, *command]
    done = subprocess.run(launched, capture_output=True, text=True, env=environment, check=True)  # noqa: S603
    code, cpu, elapsed, peak = done.stderr.splitlines()[-1].split()
    if code != "0":
        raise RuntimeError(f"{' '.join(command)} ended with {code}:\n{done.stdout}{done.stderr}")
    return Run(cpu=float(cpu), seconds=float(elapsed), peak_mib=int(peak) / MIB)


async def compare(runs: int, pythons: Sequence[str]) -> str:
    """All rows in turns while the loopback world serves, as markdown."""
    async with demo_world() as world:
        facts = machine()
        rows = commands(world.config_file, pythons)
        found: dict[Row, list[Run]] = {row: [] for row in rows}
        for turn in range(runs + 1):
            for row, command in rows.items():
                run = await asyncio.to_thread(measured, command)
                if turn:
                    found[row].append(run)
    if binary := rows.get(("blackbox_exporter --version", "-")):
        facts += " · " + first_line(*binary).partition(" (")[0]
    facts += f" · load average {os.getloadavg()[0]:.1f} at the end"
    return told(found, f"Medians of {runs} runs each, taking turns. {facts}.")


def told(found: Mapping[Row, Sequence[Run]], facts: str) -> str:
    """Medians with their spread, beside the goals."""
    heads = ("command", "Python", "CPU s", "lowest to highest", "elapsed s", "peak MiB", "goal", "")
    return "\n".join((facts, "", markdown(heads, [_row(*row, runs) for row, runs in found.items()])))


def _row(name: str, version: str, runs: Sequence[Run]) -> tuple[str, ...]:
    cpus = [run.cpu for run in runs]
    cpu, peak = statistics.median(cpus), statistics.median(run.peak_mib for run in runs)
    elapsed = statistics.median(run.seconds for run in runs)
    goal = GOALS.get(name)
    judged = ("", "") if goal is None else (str(goal), "met" if goal.met(cpu, peak) else "missed")
    spread = f"{min(cpus):.3f} to {max(cpus):.3f}"
    return (f"`{name}`", version, f"{cpu:.3f}", spread, f"{elapsed:.2f}", f"{peak:.1f}", *judged)


def main() -> int:
    parser = argparse.ArgumentParser(description="CPU, elapsed time and peak memory of one run of the command.")
    parser.add_argument("--runs", type=int, default=15)
    parser.add_argument(
        "--beside", action="append", default=[], metavar="PYTHON", help="measure under this one as well"
    )
    given = parser.parse_args()
    try:
        print(asyncio.run(compare(given.runs, [sys.executable, *given.beside])))
    except KeyboardInterrupt:
        print("interrupted; nothing is told of half a run", file=sys.stderr)
        return INTERRUPTED
    return 0


if __name__ == "__main__":
    sys.exit(main())
