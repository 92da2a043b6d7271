"""What the daemon costs with 10, 100 and 1,000 endpoints, each every 30 s, beside blackbox_exporter's probes of them.

    python bench/bench_daemon.py [--endpoints 10 100 1000] [--rounds 2] [--profile FILE] > docs/bench-daemon.md

Rule 1: one daemon, as `probe run` runs it, with history and log; a mail server of mail_house.py in another process,
        four services on each path, every path an address of its own in 127.0.0.0/8.
Rule 2: what is measured lies between the end of the first sessions and so many rounds of 30 s later. CPU is the
        kernel's clock of the whole process, so scrapes (one in 15 s) and history are in it.
Rule 3: jitter is 0, so the history tells how late a session opened: turns lie on a grid (schedule.py), and the
        earliest session shows where it begins. What a session waits for the spacing of IMAPS connections is in it.
Rule 4: blackbox_exporter opens the same conversations to the same places at the same rate, asked over HTTP as by
        Prometheus. It reads no log, keeps nothing and judges nothing; the daemon's sessions say more commands.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import resource
import shutil
import signal
import sqlite3
import sys
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from statistics import median, quantiles
from typing import Any

import aiohttp
import yaml
from bench_sessions import cpu_seconds
from machine import first_line, machine, markdown
from mail_house import NAME

from probe.model import Service
from probe.service.schedule import FIRST_APART

HERE = Path(__file__).parent
PLACE = "127.0.0.1:19812"
THEIR_PLACE = "127.0.0.1:19813"
INTERVAL = 30.0
SCRAPE = 15.0
SETTLED = 12.0
"""Seconds after the last first session until figures are taken."""


@dataclass(kw_only=True, slots=True)
class Figures:
    """What was measured of one number of endpoints."""

    endpoints: int
    seconds: float = 0.0
    cpu: float = 0.0
    resident: float = 0.0
    sessions: int = 0
    verdicts: Counter[str] = field(default_factory=Counter)
    delays: list[float] = field(default_factory=list)
    took: list[float] = field(default_factory=list)
    scrapes: list[float] = field(default_factory=list)
    size: int = 0
    server_cpu: float = 0.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Target:
    """An endpoint."""

    path: str
    host: str
    service: Service
    port: int


def targets(endpoints: int, ports: dict[str, int]) -> list[Target]:
    """Four on each path, each path with a host of its own."""
    every = (
        Target(path=f"path-{n}", host=f"127.30.{n // 250}.{n % 250 + 1}", service=s, port=ports[s])
        for n in range(endpoints)
        for s in Service
    )
    return list(islice(every, endpoints))


def config(folder: Path, chosen: Sequence[Target]) -> Path:
    """The daemon's configuration."""
    paths: dict[str, dict[str, Any]] = {}
    for one in chosen:
        tls = {"server_name": NAME, "ca_file": str(folder / "ca.pem")}
        path = paths.setdefault(one.path, {"name": one.path, "host": one.host, "endpoints": [], "tls": tls})
        path["endpoints"].append({"service": str(one.service), "port": one.port})
    file = folder / "mailprobe.yaml"
    made = {
        "vantage": {"name": "bench", "addresses": ["127.0.0.1"]},
        "paths": list(paths.values()),
        "schedule": {"interval": f"{INTERVAL:g}s", "jitter": "0%", "max_sessions_per_minute": 10},
        "networks": {"nodes": ["127.0.20.102/32"]},
        "evidence": {"sources": [{"kind": "file", "path": str(folder / "mail.log")}]},
        "web": {"listen": PLACE},
        "history": {"file": str(folder / "history.db")},
    }
    file.write_text(yaml.safe_dump(made), encoding="utf-8")
    return file


@asynccontextmanager
async def process(*command: str, log: Path) -> AsyncIterator[asyncio.subprocess.Process]:
    """A process, ended with SIGINT."""
    with log.open("wb") as errors:
        child = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE, stderr=errors)
    try:
        yield child
    finally:
        with contextlib.suppress(ProcessLookupError):
            child.send_signal(signal.SIGINT)
        await child.wait()


async def served(client: aiohttp.ClientSession, url: str) -> None:
    """Wait until it answers."""
    async with asyncio.timeout(60):
        while True:
            with contextlib.suppress(aiohttp.ClientError):
                async with client.get(url) as reply:
                    if reply.status == 200:
                        return
            await asyncio.sleep(0.2)


def resident(pid: int) -> float:
    """MiB."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * resource.getpagesize() / (1 << 20)


async def ours(folder: Path, ports: dict[str, int], server: int, args: argparse.Namespace, endpoints: int) -> Figures:
    """The daemon."""
    found = Figures(endpoints=endpoints)
    file = config(folder, targets(endpoints, ports))
    profiled = ("-m", "cProfile", "-o", args.profile) if args.profile else ()
    command = (sys.executable, *profiled, str(HERE / "soak_daemon.py"), str(file))
    async with process(*command, log=folder / "daemon.log") as daemon, aiohttp.ClientSession() as client:
        await served(client, f"http://{PLACE}/-/ready")
        await asyncio.sleep(min(FIRST_APART * endpoints, INTERVAL) + SETTLED)
        begun, before, theirs = time.time(), cpu_seconds(daemon.pid), cpu_seconds(server)
        for _ in range(round(args.rounds * INTERVAL / SCRAPE)):
            await asyncio.sleep(SCRAPE)
            asked = time.monotonic()
            async with client.get(f"http://{PLACE}/metrics") as reply:
                found.size = len(await reply.read())
            found.scrapes.append(time.monotonic() - asked)
        found.seconds = time.time() - begun
        found.cpu, found.server_cpu = cpu_seconds(daemon.pid) - before, cpu_seconds(server) - theirs
        found.resident = resident(daemon.pid)
    from_history(found, folder / "history.db", begun)
    return found


def from_history(found: Figures, file: Path, begun: float) -> None:
    """Sessions, verdicts, and how late each opened."""
    apart = min(FIRST_APART, INTERVAL / found.endpoints)
    with contextlib.closing(sqlite3.connect(file)) as history:
        rows = history.execute(
            "SELECT endpoints.path, service, opened, verdict, seconds FROM sessions JOIN endpoints "
            "ON endpoints.number = sessions.endpoint ORDER BY opened"
        ).fetchall()
    order = {service.value: place for place, service in enumerate(Service)}
    offs = []
    for path, service, opened, verdict, seconds in rows:
        number = int(path.removeprefix("path-")) * len(Service) + order[service]
        offs.append((opened, opened - number * apart, verdict, seconds))
    first = offs[0][1]
    start = first + min((off - first + INTERVAL / 2) % INTERVAL - INTERVAL / 2 for _, off, _, _ in offs)
    for opened, off, verdict, seconds in offs:
        if begun <= opened < begun + found.seconds:
            found.sessions += 1
            found.verdicts[verdict] += 1
            found.delays.append((off - start + 1e-6) % INTERVAL)
            found.took.append(seconds)


def modules(ca_file: Path) -> dict[str, object]:
    """blackbox_exporter's configuration: the same conversations without fingerprint."""
    tls = {"ca_file": str(ca_file), "server_name": NAME}
    hello = {"send": "EHLO bench.mailprobe.invalid\r"}
    start = ({"expect": "^250[ -]STARTTLS"}, {"expect": "^250 ", "send": "STARTTLS\r"})
    quit_it = ({"expect": "^250 ", "send": "QUIT\r"}, {"expect": "^221 "})
    greeted = {"expect": "^220 ", **hello}
    starttls = (greeted, *start, {"expect": "^220 ", "starttls": True}, hello, *quit_it)
    imap = ({"expect": r"^\* OK"}, {"send": "A1 LOGOUT\r"}, {"expect": "^A1 OK"})
    talks: dict[Service, dict[str, object]] = {
        Service.SMTP: {"query_response": starttls},
        Service.SUBMISSION: {"query_response": starttls},
        Service.SUBMISSIONS: {"tls": True, "query_response": (greeted, *quit_it)},
        Service.IMAPS: {"tls": True, "query_response": imap},
    }
    tcp = {str(service): {"preferred_ip_protocol": "ip4", "tls_config": tls, **talk} for service, talk in talks.items()}
    return {name: {"prober": "tcp", "timeout": "15s", "tcp": talk} for name, talk in tcp.items()}


async def blackbox(folder: Path, ports: dict[str, int], binary: str, rounds: float, endpoints: int) -> Figures:
    """blackbox_exporter at the same rate."""
    found = Figures(endpoints=endpoints)
    file = folder / "blackbox.json"
    file.write_text(json.dumps({"modules": modules(folder / "ca.pem")}), encoding="utf-8")
    command = (binary, f"--config.file={file}", f"--web.listen-address={THEIR_PLACE}")
    connector = aiohttp.TCPConnector(limit=0)
    log = folder / "blackbox.log"
    async with process(*command, log=log) as them, aiohttp.ClientSession(connector=connector) as client:
        await served(client, f"http://{THEIR_PLACE}/-/healthy")
        chosen = targets(endpoints, ports)
        sizes: dict[Target, int] = {}

        async def one(target: Target, number: int, *, measured: bool) -> None:
            await asyncio.sleep(number * INTERVAL / endpoints)
            asked = time.monotonic()
            where = {"target": f"{target.host}:{target.port}", "module": str(target.service)}
            async with client.get(f"http://{THEIR_PLACE}/probe", params=where) as reply:
                text = await reply.read()
            if measured:
                sizes[target] = len(text)
                found.sessions += 1
                found.scrapes.append(time.monotonic() - asked)
                found.verdicts["success" if b"\nprobe_success 1\n" in text else "failure"] += 1

        await asyncio.gather(*(one(target, number // 10, measured=False) for number, target in enumerate(chosen[:40])))
        begun, before = time.monotonic(), cpu_seconds(them.pid)
        for _ in range(round(rounds)):
            await asyncio.gather(*(one(target, number, measured=True) for number, target in enumerate(chosen)))
            await asyncio.sleep(0)
        found.seconds, found.cpu = time.monotonic() - begun, cpu_seconds(them.pid) - before
        found.size, found.resident = sum(sizes.values()), resident(them.pid)
    return found


async def measure(args: argparse.Namespace) -> list[tuple[str, Figures]]:
    """All sizes, each side."""
    rows = []
    binary = shutil.which("prometheus-blackbox-exporter") or shutil.which("blackbox_exporter")
    for endpoints in args.endpoints:
        with tempfile.TemporaryDirectory(prefix="mailprobe-bench-") as name:
            folder = Path(name)
            command = (sys.executable, str(HERE / "mail_house.py"), name, *([args.node] if args.node else []))
            async with process(*command, log=folder / "house.log") as house:
                assert house.stdout is not None  # noqa: S101 - for the type checker
                ports = json.loads(await house.stdout.readline())
                rows.append(("mailprobe", await ours(folder, ports, house.pid, args, endpoints)))
                if binary and not args.alone:
                    rows.append(("blackbox_exporter", await blackbox(folder, ports, binary, args.rounds, endpoints)))
    return rows


def milliseconds(seconds: float) -> str:
    """With the digits that tell something."""
    return f"{seconds * 1000:.1f}" if seconds < 0.01 else f"{seconds * 1000:.0f}"


def highest(values: Sequence[float], share: float) -> float:
    """The value below which this share lies."""
    return quantiles(values, n=1000)[round(share * 1000) - 1] if len(values) > 1 else values[0]


def report(rows: Sequence[tuple[str, Figures]]) -> str:
    """The page."""
    cost = markdown(
        ("endpoints", "who", "sessions", "CPU ms a session", "% of a core", "RSS MiB", "failed or unverified"),
        [
            (
                f"{one.endpoints:,}",
                who,
                f"{one.sessions:,}",
                f"{1000 * one.cpu / max(one.sessions, 1):.1f}",
                f"{100 * one.cpu / one.seconds:.1f}",
                f"{one.resident:.0f}",
                f"{one.sessions - sum(one.verdicts[good] for good in ('preserved', 'masked', 'success'))}",
            )
            for who, one in rows
        ],
    )
    late = markdown(
        ("endpoints", "opened late by, median ms", "99 of 100 ms", "most ms", "session median ms"),
        [
            (
                f"{one.endpoints:,}",
                milliseconds(median(one.delays)),
                milliseconds(highest(one.delays, 0.99)),
                milliseconds(max(one.delays)),
                milliseconds(median(one.took)),
            )
            for who, one in rows
            if one.delays
        ],
    )
    scraped = markdown(
        ("endpoints", "who", "requests a round", "a request, median ms", "slowest ms", "KB a round"),
        [
            (
                f"{one.endpoints:,}",
                who,
                "1" if who == "mailprobe" else f"{one.endpoints:,}",
                milliseconds(median(one.scrapes)),
                milliseconds(max(one.scrapes)),
                f"{one.size / 1000:,.0f}",
            )
            for who, one in rows
        ],
    )
    return f"{machine()}{_version()}.\n\n{cost}\n\n{late}\n\n{scraped}\n"


def _version() -> str:
    binary = shutil.which("prometheus-blackbox-exporter")
    return f" · {first_line(binary, '--version').partition(' (')[0]}" if binary else ""


def main() -> int:
    parser = argparse.ArgumentParser(description="The daemon by number of endpoints, beside blackbox_exporter.")
    parser.add_argument("--endpoints", type=int, nargs="+", default=[10, 100, 1000])
    parser.add_argument("--rounds", type=float, default=2, help="of 30 s, measured")
    parser.add_argument("--node", help="the server sees every client come from this address")
    parser.add_argument("--alone", action="store_true", help="without blackbox_exporter")
    parser.add_argument("--profile", help="write cProfile's figures of the daemon there")
    print(report(asyncio.run(measure(parser.parse_args()))))
    return 0


if __name__ == "__main__":
    sys.exit(main())
