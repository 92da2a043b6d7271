"""CPU per session, mailprobe beside blackbox_exporter, on the same real servers in the same run.

    python bench/bench_sessions.py [--sessions 50] [--blocks 10] [--beside /another/venv/bin/python]

Rule 1: like for like. Both stand in the vantage's namespace of one lab, verify the server against the lab's CA, speak
        the same TLS, resume no TLS session, say the same commands and wait for every answer; what differs has a row
        of its own.
Rule 2: sessions go one after the other, in blocks that take turns (ABBA), so that a drift of the machine hits both.
Rule 3: CPU is the kernel's CPU clock of the whole process (user and system, all threads) over a block, divided by its
        sessions. Start-up and a warm-up are outside. A session that fails ends the benchmark.

blackbox_exporter is asked as Prometheus asks it: over HTTP on loopback, on one connection that is kept. mailprobe's
sessions are opened by drive_sessions.py, through the product's own API; with `--beside` also under another Python, in
whose environment mailprobe is installed.
"""

from __future__ import annotations

import argparse
import contextlib
import http.client
import json
import re
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from bench.machine import first_line, machine, markdown  # noqa: E402 - needs the path above
from tests.lab import SCENARIOS, Choices, Lab, usable  # noqa: E402
from tests.lab.addresses import SERVER_NAME, STOCK, VIP  # noqa: E402
from tests.lab.dovecot import LoginProcesses  # noqa: E402
from tests.lab.namespaces import listening_ports  # noqa: E402
from tests.lab.servers import wait_until  # noqa: E402

GENERATION = "debian12"
BINARIES = ("prometheus-blackbox-exporter", "blackbox_exporter")
LISTEN = 9115
WARM_UP = 5
NO_LAB = 3
INTERRUPTED = 130
TLS_METRIC = re.compile(r'^probe_tls_version_info\{version="([^"]+)"\} 1$', re.M)
OURS, BESIDE, THEIRS = "mailprobe", "mailprobe, other Python", "blackbox_exporter"


@dataclass(frozen=True, kw_only=True, slots=True)
class Task:
    """One row. Rows with the same title stand against each other."""

    title: str
    who: str
    what: str
    sessions_each: int = 1
    share: float = 1.0


SMTP = "submission: EHLO, STARTTLS, EHLO, QUIT"
IMAP = "imaps: LOGOUT"
COMPARED = (SMTP, IMAP)
TASKS = (
    Task(title=SMTP, who=OURS, what="submission"),
    Task(title=SMTP, who=BESIDE, what="submission"),
    Task(title=SMTP, who=THEIRS, what="submission"),
    Task(title=IMAP, who=OURS, what="imaps"),
    Task(title=IMAP, who=BESIDE, what="imaps"),
    Task(title=IMAP, who=THEIRS, what="imaps"),
    Task(title="no session, the HTTP request alone", who=THEIRS, what="healthy"),
    Task(title="submission with its fingerprint", who=OURS, what="fingerprint"),
    Task(title="round: four services, log, verdict", who=OURS, what="round", sessions_each=4, share=0.1),
)

Figures = Mapping[Task, Sequence[float]]
"""CPU milliseconds per session, block by block."""


class Contestant(Protocol):
    """A process that does so many sessions when asked."""

    @property
    def pid(self) -> int: ...

    def run(self, what: str, times: int) -> None: ...


class Driver:
    """mailprobe, behind a pipe."""

    def __init__(self, lab: Lab, config: Path, python: str) -> None:
        command = [python, "-m", "bench.drive_sessions", str(config)]
        self._child = lab.popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.pid = self._child.pid

    def run(self, what: str, times: int) -> None:
        assert self._child.stdin is not None  # noqa: S101 - for the type checker
        assert self._child.stdout is not None  # noqa: S101
        print(what, times, file=self._child.stdin, flush=True)
        if self._child.stdout.readline() != "done\n":
            raise RuntimeError(f"{OURS}: {what} failed, see above")

    def tls_versions(self) -> set[str]:
        """What TLS its contexts come to with the servers."""
        assert self._child.stdin is not None  # noqa: S101
        assert self._child.stdout is not None  # noqa: S101
        print("tls", 1, file=self._child.stdin, flush=True)
        versions = self._child.stdout.readline().strip()
        self._child.stdout.readline()
        return set(versions.split(", "))


class Blackbox:
    """blackbox_exporter, behind HTTP in the vantage's namespace."""

    def __init__(self, lab: Lab, binary: str) -> None:
        config = lab.directory / "blackbox.json"
        config.write_text(json.dumps({"modules": modules(lab.ca_file)}))
        command = [binary, f"--config.file={config}", f"--web.listen-address=127.0.0.1:{LISTEN}"]
        with (lab.directory / "log/blackbox.log").open("w") as log:
            self._child = lab.popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        self.pid = self._child.pid
        wait_until(lambda: LISTEN in listening_ports(lab.namespace("vantage")), "blackbox_exporter's port")
        self._http = http.client.HTTPConnection("127.0.0.1", LISTEN)
        # The socket is of that namespace; http.client must not open another one in ours.
        self._http.auto_open = 0
        self._http.sock = lab.socket()
        self._http.sock.connect(("127.0.0.1", LISTEN))

    def run(self, what: str, times: int) -> None:
        for _ in range(times):
            self.ask(what)

    def ask(self, what: str) -> str:
        """One request, which is one session; its metrics."""
        port = STOCK["submission" if what == "submission" else "imaps"]
        way = "/-/healthy" if what == "healthy" else f"/probe?module={what}&target={VIP.v4}:{port}"
        self._http.request("GET", way)
        answer = self._http.getresponse().read().decode()
        if what != "healthy" and "\nprobe_success 1\n" not in answer:
            raise RuntimeError(f"{THEIRS}: {what} failed:\n{answer}")
        return answer

    def tls_versions(self) -> set[str]:
        """What TLS it spoke with the servers, by its own metrics."""
        return {found for what in ("submission", "imaps") for found in TLS_METRIC.findall(self.ask(what))}


def modules(ca_file: Path) -> dict[str, object]:
    """blackbox_exporter's configuration: mailprobe's conversations, as it can say them."""
    tls = {"ca_file": str(ca_file), "server_name": SERVER_NAME}
    smtp = (
        {"expect": "^220 ", "send": "EHLO bench.mailprobe.invalid\r"},
        {"expect": "^250[ -]STARTTLS"},
        {"expect": "^250 ", "send": "STARTTLS\r"},
        {"expect": "^220 ", "starttls": True},
        {"send": "EHLO bench.mailprobe.invalid\r"},
        {"expect": "^250 ", "send": "QUIT\r"},
        {"expect": "^221 "},
    )
    imap = ({"expect": r"^\* OK"}, {"send": "A1 LOGOUT\r"}, {"expect": "^A1 OK"})
    return {
        "submission": _module({"tls_config": tls, "query_response": smtp}),
        "imaps": _module({"tls": True, "tls_config": tls, "query_response": imap}),
    }


def _module(tcp: dict[str, object]) -> dict[str, object]:
    return {"prober": "tcp", "timeout": "15s", "tcp": {"preferred_ip_protocol": "ip4", **tcp}}


def measure(contestants: Mapping[str, Contestant], sessions: int, blocks: int) -> Figures:
    """Blocks that take turns; every second turn goes backwards."""
    tasks = [task for task in TASKS if task.who in contestants]
    figures: dict[Task, list[float]] = {task: [] for task in tasks}
    for task in tasks:
        contestants[task.who].run(task.what, max(1, round(WARM_UP * task.share)))
    for block in range(blocks):
        for task in tasks if block % 2 == 0 else reversed(tasks):
            one, times = contestants[task.who], max(1, round(sessions * task.share))
            before = cpu_seconds(one.pid)
            one.run(task.what, times)
            figures[task].append((cpu_seconds(one.pid) - before) / times / task.sessions_each * 1000)
    return figures


def cpu_seconds(pid: int) -> float:
    """User and system time of a process with all its threads, in the kernel's full resolution."""
    # MAKE_PROCESS_CPUCLOCK(pid, CPUCLOCK_SCHED) of linux/posix-timers_types.h; what clock_getcpuclockid(3) returns.
    return time.clock_gettime((~pid << 3) | 2)


def memory(pid: int) -> str:
    """Resident now and at most, in MiB."""
    rows = dict(line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines())
    now, most = (int(rows[name].split()[0]) / 1024 for name in ("VmRSS", "VmHWM"))
    return f"{now:.0f} MiB (at most {most:.0f})"


def compare(sessions: int, blocks: int, beside: str | None) -> str:
    """The whole benchmark, as markdown."""
    binary = next(filter(None, map(shutil.which, BINARIES)), None)
    with Lab(GENERATION, Choices(login_processes=LoginProcesses.SHARED)) as lab:
        case = lab.apply(SCENARIOS["local"])
        facts = [machine(), f"Postfix {lab.generation.postfix}, Dovecot {lab.generation.dovecot}"]
        ours = Driver(lab, case.config_file, sys.executable)
        contestants: dict[str, Contestant] = {OURS: ours}
        if beside is not None:
            contestants[BESIDE] = Driver(lab, case.config_file, beside)
            facts.append(f"{BESIDE}: {first_line(beside, '--version')}")
        if binary is None:
            facts.append("blackbox_exporter is not installed: nothing to compare with")
        else:
            contestants[THEIRS] = theirs = Blackbox(lab, binary)
            facts += [first_line(binary, "--version").partition(" (")[0], same_tls(ours, theirs)]
        figures = measure(contestants, sessions, blocks)
        facts += [f"{name}: {memory(one.pid)} resident" for name, one in contestants.items()]
    facts.append(machine().split(" · ")[1] + " at the end")
    return told(figures, facts, f"{blocks} blocks of {sessions} sessions each, taking turns")


def same_tls(ours: Driver, theirs: Blackbox) -> str:
    """The TLS version both speak; without one there is nothing to compare."""
    versions = ours.tls_versions(), theirs.tls_versions()
    if versions[0] != versions[1]:
        raise RuntimeError(f"not like for like: {OURS} speaks {versions[0]}, {THEIRS} {versions[1]}")
    return ", ".join(sorted(versions[0])) + " by both"


def told(figures: Figures, facts: list[str], size: str) -> str:
    """Facts, figures, ratios, and a sentence that claims no more than they show."""
    rows = [(task.title, task.who, *_spread(blocks, "{:.2f}")) for task, blocks in figures.items()]
    lines = [f"{size}. {' · '.join(facts)}.", ""]
    lines += [markdown(("session", "who", "CPU ms per session, median", "lowest block", "highest block"), rows), ""]
    ratios = {(title, who): found for title in COMPARED for who, found in _ratios(figures, title).items()}
    if ratios:
        heads = ("CPU / blackbox_exporter's, block by block", "who", "median", "lowest", "highest")
        lines += [markdown(heads, [(*row, *_spread(found, "{:.2f}")) for row, found in ratios.items()]), ""]
        lines += [_verdict(*row, found) for row, found in ratios.items()]
    return "\n".join(lines)


def _ratios(figures: Figures, title: str) -> dict[str, list[float]]:
    sides = {task.who: blocks for task, blocks in figures.items() if task.title == title}
    theirs = sides.pop(THEIRS, None)
    if theirs is None:
        return {}
    return {who: [a / b for a, b in zip(blocks, theirs, strict=True)] for who, blocks in sides.items()}


def _spread(blocks: Sequence[float], form: str) -> tuple[str, str, str]:
    return form.format(statistics.median(blocks)), form.format(min(blocks)), form.format(max(blocks))


def _verdict(title: str, who: str, ratios: list[float]) -> str:
    below = sum(ratio <= 1 for ratio in ratios)
    met = "met" if statistics.median(ratios) <= 1 else "missed"
    blocks = f"{below} of {len(ratios)} blocks"
    return f"- {title}, {who}: not above blackbox_exporter's in {blocks}; the goal is {met} here."


def main() -> int:
    parser = argparse.ArgumentParser(description="CPU per session, mailprobe beside blackbox_exporter.")
    parser.add_argument("--sessions", type=int, default=50, help="per row and block")
    parser.add_argument("--blocks", type=int, default=10)
    parser.add_argument("--beside", metavar="PYTHON", help="measure under this one as well")
    given = parser.parse_args()
    if GENERATION not in usable():
        print(f"no lab of {GENERATION} here (python -m tests.lab generations says why); nothing measured")
        return NO_LAB
    with contextlib.suppress(KeyboardInterrupt):
        print(compare(given.sessions, given.blocks, given.beside))
        return 0
    print("interrupted; nothing is told of half a run", file=sys.stderr)
    return INTERRUPTED


if __name__ == "__main__":
    sys.exit(main())
