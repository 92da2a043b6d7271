"""What the mail server sees of a daemon that is asked all the time: one session at once, and a budget in every minute.

The daemon runs in this process on a clock that goes faster than time, so that minutes pass while a test waits.
"""

from __future__ import annotations

import asyncio
import base64
import json
import re
import time
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import partial
from ipaddress import ip_address
from pathlib import Path

import pytest

from probe.demo.door import Arrival, Welcome
from probe.demo.mail_log import header
from probe.demo.scenes import Scene
from probe.demo.world import CLIENT, NODES, DemoWorld, demo_world
from probe.model import Address, Peer, Result, Service, Verdict
from probe.service.budget import BEATS
from probe.service.clock import SteadyClock
from probe.service.daemon import Daemon
from probe.service.reading import Reader
from probe.service.systemd import Systemd
from probe.settings import load
from tests.service.running import Running, running, until

FASTER = 10.0
MINUTES = 2.5
MOST = 4
SLACK = 1.0
"""Seconds of time: connections are noted as they are accepted, which on a busy machine is a little after."""


class Ticks:
    """Both clocks of a SteadyClock, FASTER than time; `set_forward` is what somebody did to the wall clock."""

    def __init__(self, faster: float = 1.0) -> None:
        self.set_forward = 0.0
        self._faster = faster
        self._began = time.monotonic()
        self._epoch = time.time()

    def monotonic(self) -> float:
        return self._began + (time.monotonic() - self._began) * self._faster

    def wall(self) -> float:
        return self._epoch + self.monotonic() - self._began + self.set_forward

    def clock(self) -> SteadyClock:
        return SteadyClock(self.monotonic, self.wall)


class Turnstile:
    """Stands before every service of a world and notes when our connections come, and how many are open."""

    def __init__(self, world: DemoWorld, behind: Address | None = None) -> None:
        """`behind`: whose address the server sees instead of ours."""
        self._behind = behind
        self.came: dict[Service, list[float]] = defaultdict(list)
        self.most_open: Counter[Service] = Counter()
        self._open: Counter[Service] = Counter()
        self._world = world

    async def stand(self) -> None:
        for service, junction in self._world.junctions.items():
            await junction.lead(partial(self._pass, service, self._world.welcomes[service, False]))

    async def _pass(self, service: Service, onward: Welcome, arrival: Arrival) -> None:
        if str(arrival.client.address) != CLIENT:
            return await onward(arrival)
        self.came[service].append(time.monotonic())
        self._open[service] += 1
        self.most_open[service] = max(self.most_open[service], self._open[service])
        if self._behind is not None:
            arrival = replace(arrival, client=Peer(self._behind, arrival.client.port))
        try:
            await onward(arrival)
        finally:
            self._open[service] -= 1


@asynccontextmanager
async def at_work(one: Running, clock: SteadyClock) -> AsyncIterator[Daemon]:
    """The daemon of a configuration, in this process."""
    read = partial(load, one.config, environment={}, hostname="here")
    daemon = Daemon(Reader(read).read, read(), clock, Systemd({}))
    stop = asyncio.Event()
    task = asyncio.create_task(daemon.run(stop))
    try:
        async with asyncio.timeout(20):
            while daemon.waiting_for and not task.done():  # noqa: ASYNC110 - it tells by its pages alone
                await asyncio.sleep(0.02)
        yield daemon
    finally:
        stop.set()
        await task


@pytest.fixture
async def world() -> AsyncIterator[DemoWorld]:
    async with demo_world(postfix_waits=0.5, dovecot_waits=0.3) as world:
        yield world


async def test_one_session_at_once_and_the_budget_in_every_minute(world: DemoWorld, tmp_path: Path) -> None:
    seen = Turnstile(world)
    await seen.stand()
    schedule = {"interval": "15s", "jitter": "0%", "max_sessions_per_minute": MOST}
    timeouts = {"connect": "1s", "session": "50s", "evidence": "5s"}
    clock = Ticks(FASTER).clock()
    async with running(world, tmp_path, schedule=schedule, timeouts=timeouts) as one, at_work(one, clock):
        over = time.monotonic() + 60 * MINUTES / FASTER
        answers = await asyncio.gather(*(_asking(one, over) for _ in range(4)))
    told: Counter[int] = sum(answers, Counter())
    assert told[200]
    assert set(told) <= {200, 503}
    assert {service: count for service, count in seen.most_open.items() if count != 1} == {}
    minute = 60 / FASTER
    for service, came in seen.came.items():
        assert len(came) >= MOST * int(MINUTES), service  # the budget is used, for it is asked for all the time
        closest = min(later - first for first, later in zip(came, came[MOST:], strict=False))
        assert closest > minute - SLACK, (service, closest)


async def test_beats_have_a_bound_of_their_own_in_every_minute(world: DemoWorld, tmp_path: Path) -> None:
    """Behind a node, beside a clock that runs ten times too fast for any link: each session wants all it can get."""
    seen = Turnstile(world, behind=ip_address(NODES[1]))
    await seen.stand()
    schedule = {"interval": "60s", "jitter": "0%", "max_sessions_per_minute": 1}
    timeouts = {"connect": "1s", "session": "50s", "evidence": "15s"}
    clock = Ticks(FASTER).clock()
    async with running(world, tmp_path) as one:
        path = one.content["paths"][0]
        endpoints = [endpoint for endpoint in path["endpoints"] if endpoint["service"] == "imaps"]
        one.write(paths=[{**path, "endpoints": endpoints}], schedule=schedule, timeouts=timeouts)
        async with at_work(one, clock) as daemon:
            await _asking(one, time.monotonic() + 60 * 0.9 / FASTER)
            verdicts = {change.verdict for account in daemon.ledger.accounts.values() for change in account.changes}
    assert verdicts == {Verdict.UNVERIFIED}
    assert len(seen.came[Service.IMAPS]) == 1 + BEATS


async def _asking(one: Running, over: float) -> Counter[int]:
    """Ask without a pause; how it was answered."""
    told: Counter[int] = Counter()
    while time.monotonic() < over:
        told[(await one.get("/probe?path=vip"))[0]] += 1
        await asyncio.sleep(0.02)  # so that asking takes no processor
    return told


SEEN = {Scene.STRAIGHT: Verdict.PRESERVED, Scene.BEHIND_NODE: Verdict.MASKED}


class Ship:
    """Carries the mail server's log on into another file; `set_forward` is what somebody did to the server's clock."""

    def __init__(self, source: Path, target: Path) -> None:
        self.set_forward = 0.0
        self._source, self._target = source, target

    async def sail(self) -> None:
        with self._source.open("rb") as source, self._target.open("ab", buffering=0) as target:
            source.seek(0, 2)
            held = b""
            while True:
                held += source.read()
                lines, end, held = held.rpartition(b"\n")
                for line in lines.splitlines() if end else ():
                    target.write(self._moved(line.decode()).encode() + b"\n")
                await asyncio.sleep(0.01)

    def _moved(self, line: str) -> str:
        if not self.set_forward:
            return line
        at = time.mktime(time.strptime(f"2026 {line[:15]}", "%Y %b %d %H:%M:%S"))
        return header(at + self.set_forward) + re.sub(r"(?<=session=<)[^>]+", self._moved_id, line[15:])

    def _moved_id(self, found: re.Match[str]) -> str:
        octets = base64.b64decode(found[0] + "==")
        micros = int.from_bytes(octets[:6], "little") + int(self.set_forward * 1e6)
        return base64.b64encode((micros % (1 << 48)).to_bytes(6, "little") + octets[6:]).decode().rstrip("=")


@pytest.fixture
async def ship(world: DemoWorld, tmp_path: Path) -> AsyncIterator[Ship]:
    one = Ship(world.log_file, tmp_path / "shipped.log")
    sailing = asyncio.create_task(one.sail())
    yield one
    sailing.cancel()


async def judged(daemon: Daemon, more: int) -> list[Result]:
    """So many more sessions of every endpoint."""
    found: list[Result] = []
    daemon.ledger.listeners.append(lambda entry: found.append(entry.result))
    names = set(daemon.ledger.accounts)

    def enough() -> bool:
        counted = Counter(result.session.endpoint for result in found)
        return all(counted[name] >= more for name in names)

    await until(enough, f"{more} sessions of every endpoint")
    daemon.ledger.listeners.pop()
    return found


@pytest.mark.parametrize("jump", [3_600.0, -3_600.0])
async def test_a_wall_clock_that_is_set_moves_labels_and_nothing_else(
    world: DemoWorld, tmp_path: Path, jump: float
) -> None:
    ticks = Ticks()
    async with running(world, tmp_path) as one, at_work(one, ticks.clock()) as daemon:
        await one.sees("preserved")
        await world.change_to(Scene.BEHIND_NODE)
        await one.sees("masked")
        ticks.set_forward = jump
        results = await judged(daemon, 3)
        assert {result.judgement.verdict for result in results} == {Verdict.MASKED}
        assert on_the_grid([one for one in results if one.session.service is Service.IMAPS], 0.5)
        told = await one.metrics()
        last = told['mailprobe_last_session_timestamp_seconds{path="vip",service="smtp"}']
        assert abs(last - (time.time() + jump)) < 10
        assert 0 <= told['mailprobe_outage_seconds_total{path="vip",service="smtp"}'] < 60
        outages = json.loads((await one.get("/api/v1/outages"))[1])["outages"]
        assert len(outages) == 4
        assert all(outage["seconds"] < 60 for outage in outages)
        assert all(outage["began"][:13] == hour(time.time() + jump) for outage in outages)
        await world.change_to(Scene.STRAIGHT)
        await one.sees("preserved")


@pytest.mark.parametrize(("jump", "scene"), [(3_600.0, Scene.BEHIND_NODE), (-3_600.0, Scene.STRAIGHT)])
async def test_a_machine_whose_clock_is_set_is_never_believed_wrongly_and_soon_again(
    world: DemoWorld, ship: Ship, tmp_path: Path, jump: float, scene: Scene
) -> None:
    """The probe and the log on one machine: lines are an hour off the probe's moments, which do not follow."""
    ticks, due = Ticks(), SEEN[scene]
    sources = {"sources": [{"kind": "file", "path": str(tmp_path / "shipped.log")}]}
    async with running(world, tmp_path, evidence=sources) as one, at_work(one, ticks.clock()) as daemon:
        await one.sees("preserved")
        await world.change_to(scene)
        await one.sees(due)
        ticks.set_forward = ship.set_forward = jump
        results: list[Result] = []
        daemon.ledger.listeners.append(lambda entry: results.append(entry.result))
        await until(lambda: {_verdict(results, name) for name in Service} == {due}, f"{due}, as before", 45)
        assert {result.judgement.verdict for result in results} <= {due, Verdict.UNVERIFIED}


def _verdict(results: Sequence[Result], service: Service) -> Verdict | None:
    """The latest one, when there have been four: the first may know nothing yet of a clock that was set."""
    mine = [result.judgement.verdict for result in results if result.session.service is service]
    return mine[-1] if len(mine) >= 4 else None


def on_the_grid(results: Sequence[Result], interval: float) -> bool:
    """Whether sessions were opened at multiples of the interval, or somewhat after, for the machine may be busy."""
    opened = [result.session.opened for result in results]
    off = [(moment - opened[0] + interval / 2) % interval - interval / 2 for moment in opened]
    return max(off) - min(off) < 0.9 * interval


def hour(wall: float) -> str:
    return time.strftime("%Y-%m-%dT%H", time.gmtime(wall))
