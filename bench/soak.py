"""The daemon at 50 times the normal rate, for half an hour or longer: faults come and go, its log is moved about.

    python bench/soak.py [MINUTES] [docs/soak.md]

The demo's world runs in this process, `probe run` in one of its own. An endpoint that is dead cannot be probed every
600 ms, for its session takes longer; so twelve endpoints (three paths to the same place) get a session every 1.5 s, in
place of the four of one path every 30 s. What is judged, and how: soak_account.py. The plot: plot.py.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import shutil
import signal
import sys
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from itertools import cycle
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

import aiohttp
import yaml
from machine import machine, markdown
from plot import Band, Panel, Plot
from soak_account import Account, Came, account, records

from probe.demo.door import Arrival, Welcome
from probe.demo.scenes import Scene
from probe.demo.world import CLIENT, DemoWorld, demo_world

PLACE = "127.0.0.1:19811"
PATHS = 3
INTERVAL = 1.5
NORMAL = 8.0
"""Sessions a minute of one path with four services every 30 s."""

SHOWN: tuple[tuple[Scene, float], ...] = (
    (Scene.STRAIGHT, 40.0),
    (Scene.BEHIND_NODE, 20.0),
    (Scene.STRAIGHT, 20.0),
    (Scene.SILENT, 20.0),
    (Scene.HEADER_SENT, 30.0),
    (Scene.HEADER_MISSING, 20.0),
    (Scene.STRAIGHT, 20.0),
    (Scene.DEAD, 25.0),
)
"""What the network does, over and over, in seconds."""

BETWEEN = 25.0
"""Seconds between two things done to the log or to the daemon."""

COLOURS = {
    Scene.BEHIND_NODE: "#fde2c8",
    Scene.SILENT: "#f3c9cf",
    Scene.HEADER_MISSING: "#dccff0",
    Scene.DEAD: "#d9d9d9",
}


@dataclass(kw_only=True)
class Soak:
    """What happened so far."""

    folder: Path
    world: DemoWorld
    came: list[Came] = field(default_factory=list)
    scenes: list[tuple[float, Scene]] = field(default_factory=list)
    done: list[tuple[float, str]] = field(default_factory=list)
    held: list[dict[str, float]] = field(default_factory=list)
    counted: list[tuple[float, int]] = field(default_factory=list)
    missed: int = 0

    def __post_init__(self) -> None:
        world = self.world
        config: dict[str, Any] = dict(world.config())
        (path,) = config["paths"]
        config["paths"] = [{**path, "name": f"vip-{number}"} for number in range(1, PATHS + 1)]
        config["schedule"] = {"interval": f"{INTERVAL}s", "max_sessions_per_minute": 600}
        config["timeouts"] = {"connect": "1s", "session": "3s", "evidence": "4s"}
        config["web"] = {"listen": PLACE}
        config["history"] = {"file": str(self.history)}
        world.config_file.write_text(yaml.safe_dump(config), encoding="utf-8")

    @property
    def history(self) -> Path:
        """The daemon's own file."""
        return self.folder / "history.db"

    def counting(self, way: Welcome | None, service: str) -> Welcome | None:
        """The same way, with the probe's connections counted at its begin."""
        if way is None:
            return None

        async def counted(arrival: Arrival) -> None:
            if str(arrival.client.address) == CLIENT:
                self.came.append(Came(arrival.at, arrival.client.port or 0, service))
            await way(arrival)

        return counted


async def show(soak: Soak) -> None:
    """Let the scenes follow each other, until cancelled."""
    for scene, seconds in cycle(SHOWN):
        for service, junction in soak.world.junctions.items():
            await junction.lead(soak.counting(soak.world.way(scene, service), service.value))
        soak.scenes.append((time.time(), scene))
        await asyncio.sleep(seconds)


async def rotate(soak: Soak, _: int) -> None:
    """Rename; the server goes on in a new file a moment later."""
    soak.world.log_file.rename(soak.world.log_file.with_suffix(".log.1"))
    await asyncio.sleep(0.5)
    soak.world.house.log.reopen()


async def move_away(soak: Soak, _: int) -> None:
    """Away for some seconds, while the server writes on, and back."""
    away = soak.world.log_file.with_suffix(".away")
    soak.world.log_file.rename(away)
    await asyncio.sleep(5)
    away.rename(soak.world.log_file)


async def copy_and_truncate(soak: Soak, _: int) -> None:
    """As logrotate's copytruncate; nothing is written between the two, so nothing is lost on the server's side."""
    log = soak.world.log_file
    shutil.copyfile(log, log.with_suffix(".log.1"))
    with log.open("r+b") as file:
        file.truncate(0)


async def reload(soak: Soak, process: int) -> None:
    """The configuration is read again: sources are closed and opened, sessions under way end."""
    del soak
    os.kill(process, signal.SIGHUP)


DEEDS: tuple[Callable[[Soak, int], Awaitable[None]], ...] = (rotate, reload, move_away, copy_and_truncate)


async def disturb(soak: Soak, process: int) -> None:
    """One deed after the other, until cancelled."""
    for deed in cycle(DEEDS):
        await asyncio.sleep(BETWEEN)
        soak.done.append((time.time(), deed.__name__))
        await deed(soak, process)


async def listen(soak: Soak, output: asyncio.StreamReader) -> None:
    """What the daemon holds, as it tells it."""
    while line := await output.readline():
        soak.held.append(json.loads(line))


async def scrape(soak: Soak) -> None:
    """As Prometheus does, until cancelled; the daemon may be between two configurations."""
    async with aiohttp.ClientSession() as client:
        while True:
            await asyncio.sleep(5)
            soak.counted.append((time.time(), await sessions_total(client)))


async def sessions_total(client: aiohttp.ClientSession) -> int:
    """The daemon's own count."""
    async with client.get(f"http://{PLACE}/metrics") as reply:
        text = await reply.text()
    return sum(int(float(value)) for value in re.findall(r"^mailprobe_sessions_total\{[^}]*\} (\S+)", text, re.M))


async def ready(client: aiohttp.ClientSession) -> None:
    """Wait for the daemon."""
    async with asyncio.timeout(60):
        while True:
            try:
                async with client.get(f"http://{PLACE}/-/ready") as reply:
                    if reply.status == 200:
                        return
            except aiohttp.ClientError:
                pass
            await asyncio.sleep(0.2)


async def run(soak: Soak, minutes: float) -> Account:
    """The whole run."""
    daemon = await asyncio.create_subprocess_exec(
        *(sys.executable, str(Path(__file__).with_name("soak_daemon.py")), str(soak.world.config_file)),
        stdout=asyncio.subprocess.PIPE,
        stderr=(soak.folder / "daemon.log").open("wb"),
    )
    assert daemon.stdout is not None  # noqa: S101 - for the type checker
    tasks = [asyncio.create_task(listen(soak, daemon.stdout)), asyncio.create_task(show(soak))]
    try:
        async with aiohttp.ClientSession() as client:
            await ready(client)
            tasks += [asyncio.create_task(disturb(soak, daemon.pid)), asyncio.create_task(scrape(soak))]
            done, _ = await asyncio.wait(tasks, timeout=minutes * 60, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
                raise RuntimeError("the daemon ended by itself: see its log")
            counted, ended = await sessions_total(client), time.time()
    finally:
        if daemon.returncode is None:
            daemon.send_signal(signal.SIGTERM)
        await daemon.wait()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    cuts = [at for at, name in soak.done if name == reload.__name__] + [ended]
    return account(records(soak.history), soak.came, soak.scenes, cuts, counted)


QUANTITIES = (
    ("resident", "resident memory, MiB", 1 / (1 << 20)),
    ("descriptors", "open file descriptors", 1.0),
    ("tasks", "asyncio tasks", 1.0),
    ("threads", "threads", 1.0),
)


def plot(soak: Soak) -> str:
    """What was held, over the minutes."""
    start = soak.held[0]["at"]

    def minute(at: float) -> float:
        return max(0.0, (at - start) / 60)

    panels = [
        Panel(title=title, points=[(minute(one["at"]), one[name] * unit) for one in soak.held])
        for name, title, unit in QUANTITIES
    ]
    rates = [
        (minute(now), 60 * (count - before) / (now - then))
        for (then, before), (now, count) in zip(soak.counted, soak.counted[12:], strict=False)
    ]
    panels.append(Panel(title="sessions a minute, over the minute before", points=rates or [(0.0, 0.0)]))
    ends = [at for at, _ in soak.scenes[1:]] + [soak.held[-1]["at"]]
    bands = [
        Band(begin=minute(at), end=minute(end), colour=COLOURS[scene])
        for (at, scene), end in zip(soak.scenes, ends, strict=True)
        if scene in COLOURS
    ]
    marks = [(minute(at), "#b00020" if name == "reload" else "#2e7d32") for at, name in soak.done]
    legend = [(colour, scene.replace("_", " ")) for scene, colour in COLOURS.items()]
    legend += [("#b00020", "reload"), ("#2e7d32", "log moved, rotated or truncated")]
    return Plot(
        title="probe run at 50 times the normal rate", panels=panels, bands=bands, marks=marks, legend=legend
    ).svg()


def thirds(soak: Soak, name: str, unit: float) -> Sequence[float]:
    """The median of each third of the run."""
    values = [one[name] * unit for one in soak.held]
    part = max(1, len(values) // 3)
    return [median(values[begin : begin + part] or values[-1:]) for begin in (0, part, 2 * part)]


def report(soak: Soak, found: Account, picture: str) -> str:
    """The page."""
    minutes = (soak.held[-1]["at"] - soak.held[0]["at"]) / 60
    rate = found.sessions / minutes
    cpu = soak.held[-1]["cpu"] - soak.held[0]["cpu"]
    deeds = {deed.__name__: sum(name == deed.__name__ for _, name in soak.done) for deed in DEEDS}
    flat = [(title, *thirds(soak, name, unit)) for name, title, unit in QUANTITIES]
    held = markdown(
        ("median of", "first third", "second third", "last third", "most"),
        [
            (title, *(f"{value:.1f}" for value in values), f"{max(one[name] for one in soak.held) * unit:.1f}")
            for (title, *values), (name, _, unit) in zip(flat, QUANTITIES, strict=True)
        ],
    )
    accounts = markdown(
        ("", "count"),
        [
            ("sessions in the history", f"{found.sessions:,}"),
            ("of them with an id that another one has", f"{found.doubled}"),
            ("sessions by the daemon's own counter, seconds before its end", f"{found.counted_by_daemon:,}"),
            ("connections of the probe's at the server's door", f"{found.connections:,}"),
            ("of them sessions in the history, by port and time", f"{found.of_sessions:,}"),
            ("of them control connections", f"{found.of_controls:,}"),
            ("of them beats of a rhythm", f"{found.of_beats:,}"),
            (f"of them cut short by {deeds['reload']} reloads and the end", f"{found.cut_short}"),
            ("of them attempts over IMAPS that were given up for another", f"{found.given_up}"),
            ("the rest, which nothing explains", f"{found.unexplained}"),
            ("sessions that got through by their own account, but are not at the door", f"{found.missing_at_server}"),
        ],
    )
    names = sorted({verdict for counted in found.verdicts.values() for verdict in counted})
    verdicts = markdown(
        ("scene", *names),
        [(scene, *(f"{counted[name]:,}" for name in names)) for scene, counted in found.verdicts.items()],
    )
    wrong = "\n".join(f"- {line}" for line in found.wrong[:20]) or "None was wrong."
    return "\n".join(
        (
            f"# The daemon under load for {minutes:.0f} minutes",
            "",
            f"`python bench/soak.py` ran `probe run` on the demo's world for {minutes:.0f} minutes: {PATHS * 4} "
            f"endpoints every {INTERVAL:g} s, in all {rate:.0f} sessions a minute, {rate / NORMAL:.0f} times the "
            f"{NORMAL:.0f} of one path with four services every 30 s. Faults came and went {len(soak.scenes)} times; "
            f"the log was rotated {deeds['rotate']} times, moved away and back {deeds['move_away']} times, copied and "
            f"truncated {deeds['copy_and_truncate']} times; the configuration was read again {deeds['reload']} times, "
            "which closes every source and opens it anew.",
            f"{machine()}. The daemon took {100 * cpu / minutes / 60:.0f} % of a core, "
            f"{1000 * cpu / found.sessions:.0f} ms a session.",
            "",
            f"![What the daemon held, over the run]({picture})",
            "",
            "## What it holds",
            "",
            held,
            "",
            "## No session lost, none doubled",
            "",
            accounts,
            "",
            "## Verdicts of sessions that lay within one scene",
            "",
            verdicts,
            "",
            wrong,
            "",
        )
    )


async def main(minutes: float, page: Path | None) -> None:
    """Run, tell, and leave the plot beside the page."""
    with TemporaryDirectory(prefix="mailprobe-soak-") as folder:
        async with demo_world(postfix_waits=1.0, dovecot_waits=0.6) as world:
            soak = Soak(folder=Path(folder), world=world)
            try:
                found = await run(soak, minutes)
            except BaseException:
                print((soak.folder / "daemon.log").read_text()[-3000:], file=sys.stderr)
                raise
            leave(soak, found, page)


def leave(soak: Soak, found: Account, page: Path | None) -> None:
    """The page, and the plot beside it."""
    picture = page.with_suffix(".svg") if page else Path("soak.svg")
    picture.write_text(plot(soak), encoding="utf-8")
    text = report(soak, found, picture.name)
    if page:
        page.write_text(text, encoding="utf-8")
    print(text)


if __name__ == "__main__":
    asyncio.run(main(float(sys.argv[1]) if sys.argv[1:] else 30.0, Path(sys.argv[2]) if sys.argv[2:] else None))
