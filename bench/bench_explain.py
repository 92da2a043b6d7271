"""How long `probe explain` takes over a large log, beside grep and Debian's mtail, on the same file in the same run.

    python bench/bench_explain.py [LINES] > docs/bench-explain.md

Each contestant is a process of its own, so that CPU time and peak memory are its own; each but mtail runs three times
and its best run counts. What `probe explain` costs beside the reader is the counting, the search for lines that say
nothing, and its start.
"""

from __future__ import annotations

import gzip
import shutil
import sys
import tempfile
from pathlib import Path

import mail_log
from bench_reader import MTAIL_PROGRAM, Run, best, ourselves
from machine import first_line, machine

EXPLAIN = "probe explain"
READER = "its log reader alone, to events"
GREP = "grep -F 'smtpd['"
MTAIL = "mtail, its Postfix program"


def contestants(log: Path, packed: Path, empty: Path) -> dict[str, tuple[list[str], int]]:
    """Name -> command and how often it runs."""
    explain = [sys.executable, "-m", "probe", "explain", "--format", "json"]
    rows: dict[str, tuple[list[str], int]] = {
        EXPLAIN: ([*explain, str(log)], 3),
        "the same, of the log compressed by gzip": ([*explain, str(packed)], 1),
        "the same, of an empty log": ([*explain, str(empty)], 3),
        READER: (ourselves("events", log), 3),
        GREP: (["grep", "-cF", "smtpd[", str(log)], 3),
    }
    if shutil.which("mtail") and MTAIL_PROGRAM.exists():
        command = ["mtail", "--one_shot", "--progs", str(MTAIL_PROGRAM), "--logs", str(log), "--logtostderr"]
        rows[MTAIL] = (command, 1)
    return rows


def table(rows: dict[str, Run], lines: int) -> str:
    """A row per contestant; ratios are of CPU time, to `probe explain`."""
    ours = rows[EXPLAIN].cpu
    head = "| | elapsed s | CPU s | lines/s of CPU | peak RSS MiB | CPU against `probe explain` |\n|---|" + "---:|" * 5
    body = (
        f"| {name} | {run.seconds:.2f} | {run.cpu:.2f} | {lines / max(run.cpu, 0.001):,.0f} | {run.peak_mib:.0f} "
        f"| {run.cpu / ours:.2f} |"
        for name, run in rows.items()
    )
    return "\n".join([head, *body])


def versions() -> str:
    """What took part."""
    told = [machine(), first_line("grep", "--version")]
    return " · ".join([*told, *([first_line("mtail", "--version")] if shutil.which("mtail") else [])])


def report(lines: int) -> str:
    """Write the log, let everybody read it, tell."""
    with tempfile.TemporaryDirectory() as room:
        log, packed, empty = (Path(room) / name for name in ("mail.log", "mail.log.gz", "empty.log"))
        mail_log.write(log, lines)
        with log.open("rb") as plain, gzip.open(packed, "wb", compresslevel=1) as squeezed:
            shutil.copyfileobj(plain, squeezed, 1 << 20)
        empty.touch()
        size, began = log.stat().st_size, versions()
        runs = {name: best(command, times=times) for name, (command, times) in contestants(log, packed, empty).items()}
    ours, reader, mtail = runs[EXPLAIN], runs[READER], runs.get(MTAIL)
    verdict = f"`probe explain` reads {lines / ours.seconds:,.0f} lines a second of the clock"
    verdict += f", with {ours.cpu / reader.cpu:.1f} times the CPU of its reader alone"
    verdict += f", and takes {mtail.cpu / ours.cpu:.0f} times less CPU than mtail." if mtail else "."
    return "\n".join(
        (
            "# probe explain on a large log",
            "",
            f"{lines:,} lines, {size / 1e6:.0f} MB; the mix is bench/mail_log.py's.",
            f"{began}.",
            "",
            table(runs, lines),
            "",
            verdict,
        )
    )


if __name__ == "__main__":
    print(report(int(sys.argv[1]) if sys.argv[1:] else 4_000_000))
