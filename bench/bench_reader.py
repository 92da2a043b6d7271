"""How fast the log reader is, beside grep and Debian's mtail, on the same file in the same run.

    python bench/bench_reader.py [LINES] > docs/bench-reader.md

Each contestant is a process of its own, so that CPU time and peak memory are its own; each but mtail runs three times
and its best run counts. mtail gets its own Postfix program and reads the file once.
"""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import mail_log

ROOT = Path(__file__).parents[1]
CHUNK = 8 << 20
MTAIL_PROGRAM = Path("/usr/share/doc/mtail/examples/postfix.mtail")
SENTENCES = """
{verdict} The goal of 1,000,000 lines/s to events is {fast}, that of 20 times mtail {ratio}.

{bound}

So the rate hangs on how many lines give an event, and on how many clients are new: what comes again is remembered. A
real server's logs lie between the mixes below: a delivery makes 10 to 16 lines of which 3 or 4 name a client (with
neither postscreen, filters nor LMTP 8 lines, of which 3 do), a connection that delivers nothing 3 to 5 lines of which
2 to 4 do, a mailbox session 2 lines of which 1 does.

{mixes}
"""
BOUND = """
Beyond being found a line with an event costs {event:.1f} µs. By leaving parts out: of all CPU a fifth is finding the
lines, a quarter is their headers (where the line begins, whether a header of its shape is known, cutting the message
out), nearly half is addresses, counts and session ids as values, a tenth the objects that are handed out. All of it is
many small steps of Python, none of them large: regex engine and interpreter loop together are two fifths of the samples
that perf takes, memory, dictionaries and calls the rest.

Built, held to the same tests, measured side by side on 48 MiB of this log and not kept, for they gained nothing: parts
of a message as groups of the searching regex (0.478 s against 0.456: a captured group costs what cutting it out costs);
besides, one regex from the start of the line for all programs, with the headers of a whole block checked at once (0.476
against 0.469: it must pass through every line's header, which costs what it saves at the lines of interest). Debian's
optimised Python needs 0.40 s where this one needs 0.46. A million events in a second wants code that is not Python's.
"""


@dataclass(frozen=True, kw_only=True, slots=True)
class Run:
    """What one process cost."""

    seconds: float
    cpu: float
    peak_mib: float
    output: str


def measured(command: list[str]) -> Run:
    """Run a command to its end and ask the kernel what it took."""
    with tempfile.TemporaryFile() as output:
        started = time.perf_counter()
        process = subprocess.Popen(command, stdout=output, stderr=subprocess.DEVNULL, cwd=ROOT)  # noqa: S603
        _, _, usage = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - started
        process.returncode = 0
        output.seek(0)
        text = output.read(10_000).decode("utf-8", "replace").strip()
    return Run(seconds=seconds, cpu=usage.ru_utime + usage.ru_stime, peak_mib=usage.ru_maxrss / 1024, output=text)


def best(command: list[str], *, times: int) -> Run:
    """The run with the least CPU."""
    return min((measured(command) for _ in range(times)), key=lambda run: run.cpu)


def ourselves(what: str, log: Path) -> list[str]:
    """This file as a contestant."""
    return [sys.executable, __file__, what, str(log)]


def contestants(log: Path, empty: Path) -> dict[str, tuple[list[str], int]]:
    """Name -> command and how often it runs."""
    rows: dict[str, tuple[list[str], int]] = {
        "mailprobe, to events": (ourselves("events", log), 3),
        "mailprobe, clients counted by kind, program and address": (ourselves("clients", log), 3),
        "mailprobe, kept as the daemon keeps them": (ourselves("kept", log), 3),
        "mailprobe, every line taken apart too": (ourselves("lines", log), 1),
        FINDING: (ourselves("skip", log), 3),
        "mailprobe, no line at all": (ourselves("skip", empty), 3),
        "grep -F 'smtpd['": (["grep", "-cF", "smtpd[", str(log)], 3),
        "grep -cE of the same openings": (["grep", "-cE", GREP, str(log)], 3),
    }
    if shutil.which("mtail") and MTAIL_PROGRAM.exists():
        command = ["mtail", "--one_shot", "--progs", str(MTAIL_PROGRAM), "--logs", str(log), "--logtostderr"]
        rows["mtail, its Postfix program"] = (command, 1)
        rows["mtail, the same on an empty log"] = ([*command[:5], str(empty), command[-1]], 1)
    return rows


FINDING = "mailprobe, finding the lines alone"
GREP = (
    r"(smtpd\[[0-9]+\]: (connect from |disconnect from |[0-9A-Za-z]+: (client=|reject: )|SSL_accept error)"
    r"|postscreen\[[0-9]+\]: CONNECT from |imap-login: (Login|Disconnected|Aborted login))"
)


def table(rows: dict[str, Run], lines: int) -> str:
    """A row per contestant; ratios are of CPU time, to the reader."""
    reader = rows["mailprobe, to events"].cpu
    head = "| | lines/s of CPU | CPU s | elapsed s | peak RSS MiB | CPU against the reader |\n|---|" + "---:|" * 5
    body = (
        f"| {name} | {lines / run.cpu:,.0f} | {run.cpu:.2f} | {run.seconds:.2f} | {run.peak_mib:.0f} "
        f"| {run.cpu / reader:.2f} |"
        for name, run in rows.items()
        if run.cpu > 0
    )
    return "\n".join([head, *body])


def mixtures(room: Path, lines: int) -> str:
    """A row per mix of traffic: how many of its lines give an event, and how fast they are read."""
    rows = []
    for name, traffic in mail_log.MIXES.items():
        log = room / "mix.log"
        mail_log.write(log, lines, traffic)
        run = best(ourselves("events", log), times=3)
        rows.append(f"| {name} | {int(run.output) / lines:.0%} | {lines / run.cpu:,.0f} |")
    head = f"| {lines:,} lines of | give an event | lines/s of CPU |\n|---|---:|---:|"
    return "\n".join([head, *rows])


def versions() -> str:
    """Machine and programs."""
    models = [line for line in _lines("/proc/cpuinfo") if line.startswith("model name")]
    cpu = models[0].partition(":")[2].strip() if models else platform.machine()
    first = [_first_line([program, "--version"]) for program in ("grep", "mtail") if shutil.which(program)]
    load = f"load average {os.getloadavg()[0]:.1f} when it began"
    parts = (
        f"{os.cpu_count()} × {cpu}",
        load,
        f"Linux {platform.release().partition('-')[0]}",
        f"Python {platform.python_version()}",
        *first,
    )
    return " · ".join(parts)


def _lines(path: str) -> list[str]:
    return Path(path).read_text().splitlines()


def _first_line(command: list[str]) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603
    return (done.stdout or done.stderr).splitlines()[0]


def report(lines: int) -> str:
    """Write the log, let everybody read it, tell."""
    with tempfile.TemporaryDirectory() as room:
        log, empty = Path(room) / "mail.log", Path(room) / "empty.log"
        mail_log.write(log, lines)
        empty.touch()
        size, machine = log.stat().st_size, versions()
        runs = {name: best(command, times=times) for name, (command, times) in contestants(log, empty).items()}
        mixes = mixtures(Path(room), max(lines // 4, 1))
    reader = runs["mailprobe, to events"]
    events = int(reader.output)
    rate = lines / reader.cpu
    mtail = runs.get("mtail, its Postfix program")
    verdict = f"One core reads {rate:,.0f} lines/s to events"
    verdict += f", {mtail.cpu / reader.cpu:.0f} times mtail (which counts, and keeps no events)." if mtail else "."
    goals = {True: "met", False: "missed", None: "not measured"}
    return "\n".join(
        (
            "# The log reader",
            "",
            f"{lines:,} lines, {size / 1e6:.0f} MB, of which {events:,} ({events / lines:.0%}) give an event; "
            "the mix is bench/mail_log.py's.",
            f"{machine}.",
            "",
            table(runs, lines),
            SENTENCES.format(
                verdict=verdict,
                fast=goals[rate >= 1e6],
                ratio=goals[mtail.cpu >= 20 * reader.cpu if mtail else None],
                bound=BOUND.format(event=(reader.cpu - runs[FINDING].cpu) / events * 1e6).strip(),
                mixes=mixes,
            ),
        )
    )


def read_events(log: Path) -> int:
    """To events, each made."""
    from probe.evidence.read import events  # noqa: PLC0415

    return sum(1 for chunk in chunks(log) for _ in events(chunk, now=mail_log.START))


def count_clients(log: Path) -> int:
    """Who came by which program, and what for: the least that tells whose addresses clients come from."""
    from probe.evidence.read import events  # noqa: PLC0415

    counts: Counter[tuple[type, str, int | None]] = Counter()
    for chunk in chunks(log):
        for found in events(chunk, now=mail_log.START):
            client = found.event.client
            counts[type(found.event), found.program, int(client.address) if client else None] += 1
    return counts.total()


def keep(log: Path) -> int:
    """As Watch does, and looked through once for lines that end a session."""
    from probe.evidence.events import Disconnected, Observed  # noqa: PLC0415
    from probe.evidence.read import events  # noqa: PLC0415

    kept, ended = 0, 0
    for chunk in chunks(log, size=64 << 10):
        observed = [Observed(found, 1.0, "file:/log") for found in events(chunk, now=mail_log.START)]
        kept += len(observed)
        ended += sum(isinstance(seen.event, Disconnected) for seen in observed)
    return kept


def read_lines(log: Path) -> int:
    """With header and raw text of each event decoded too, which the daemon does for the few that it compares."""
    from probe.evidence.read import events  # noqa: PLC0415

    found = (found for chunk in chunks(log) for found in events(chunk, now=mail_log.START))
    return sum(1 for one in found if one.line.stamp and one.raw)


def skip(log: Path) -> int:
    """Find the lines of interest, no more."""
    from probe.evidence.read import count_candidates  # noqa: PLC0415

    return sum(count_candidates(chunk) for chunk in chunks(log))


def chunks(log: Path, *, size: int = CHUNK) -> Iterator[bytes]:
    """Whole lines, so many octets at a time."""
    with log.open("rb") as stream:
        rest = b""
        while chunk := stream.read(size):
            end = chunk.rfind(b"\n") + 1
            yield rest + chunk[:end]
            rest = chunk[end:]
        if rest:
            yield rest


MODES: dict[str, Callable[[Path], int]] = {
    "events": read_events,
    "clients": count_clients,
    "kept": keep,
    "lines": read_lines,
    "skip": skip,
}

if __name__ == "__main__":
    if sys.argv[1:2] and sys.argv[1] in MODES:
        sys.path.insert(0, str(ROOT))
        print(MODES[sys.argv[1]](Path(sys.argv[2])))
    else:
        print(report(int(sys.argv[1]) if sys.argv[1:] else 2_000_000))
