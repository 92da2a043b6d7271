"""The search for an imaps session behind a node is over before the endpoint's next turn, as far as it can be."""

from __future__ import annotations

import asyncio
import json
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterable
from dataclasses import replace
from ipaddress import ip_address
from os import SEEK_END
from pathlib import Path
from random import Random

import pytest

from probe.demo.door import Arrival
from probe.demo.scenes import Scene
from probe.demo.world import CLIENT, NODES, VIRTUAL, DemoWorld, demo_world
from probe.evidence.events import Stamp
from probe.evidence.ours import Ours
from probe.evidence.scene import AGREED, Offset
from probe.evidence.session_id import encode
from probe.evidence.sources.source import Lines
from probe.model import (
    Endpoint,
    IdMoment,
    ImprintKind,
    Link,
    MaskedBy,
    Networks,
    Pace,
    Peer,
    Result,
    Service,
    Span,
    Verdict,
)
from probe.service.clock import SteadyClock
from probe.service.cycle import CROWDED, ONLY_SOME, SESSIONS, probe_endpoint
from probe.service.learnt import Learnt
from probe.service.outfit import outfitted
from probe.service.pursuit import ROUNDS_OF_BEATS, pursue
from probe.service.watch import Watch
from probe.service.workshop import Workshop
from probe.sessions.lookup import Lookups
from probe.sessions.open import Kit
from probe.sessions.tls import TlsContexts
from probe.settings import load, targets
from tests.builders import NODE, OURS, imaps_session
from tests.service.running import free_port
from tests.service.test_hearing import Script
from tests.sessions.resolver import in_turn

NOBODY = Endpoint(path="vip", service=Service.IMAPS, host="127.0.0.1", port=1, imprint=ImprintKind.SESSION)


@pytest.fixture
async def world() -> AsyncIterator[DemoWorld]:
    async with demo_world() as world:
        yield world


async def judged(
    world: DemoWorld,
    folder: Path,
    log: Path | None = None,
    lags: Iterable[float] = (),
    *,
    lookups: Lookups | None = None,
    told: Callable[[str], None] = lambda _: None,
) -> Result:
    """One imaps session; the log may be another one than the servers' own, and have been so late of late; its host may
    be a name that `lookups` knows. How far it is is `told`.
    """
    content = {**world.config(), "timeouts": {"connect": "2s", "session": "12s", "evidence": "15s"}}
    if log is not None:
        content["evidence"] = {"sources": [{"kind": "file", "path": str(log)}]}
    (config := folder / "mailprobe.yaml").write_text(json.dumps(content))
    settings = load(config, environment={}, hostname="here")
    (at,) = (one for one in targets(settings) if one.service is Service.IMAPS)
    async with outfitted(settings, [at], time.time) as workshop:
        workshop.progress = lambda _, word: told(str(word))
        if lookups is not None:
            at, workshop.kit = replace(at, host="mail.demo.test"), replace(workshop.kit, lookups=lookups)
        if lags:
            workshop.learnt.lags[f"file:{log}"] = deque(lags)
        return await probe_endpoint(at, workshop, Ours())


@pytest.mark.parametrize("every", [2, 1000])
async def test_what_hides_only_some_of_our_connections_is_not_preserved(
    world: DemoWorld, tmp_path: Path, every: int
) -> None:
    """A node stands in the way of the first connection, and is gone when the beats come; or of every second one."""
    masked, straight = world.way(Scene.BEHIND_NODE, Service.IMAPS), world.way(Scene.STRAIGHT, Service.IMAPS)
    assert masked
    assert straight
    came: list[Arrival] = []

    async def way(arrival: Arrival) -> None:
        ours = str(arrival.client.address) == CLIENT
        came.extend([arrival] if ours else [])
        await (masked if ours and len(came) % every == 1 else straight)(arrival)

    await world.junctions[Service.IMAPS].lead(way)
    result = await judged(world, tmp_path)
    assert result.judgement.verdict is Verdict.UNVERIFIED
    assert ONLY_SOME in result.judgement.explanation
    assert 1 <= result.given_up < SESSIONS


async def test_beats_go_to_the_address_of_their_session(world: DemoWorld, tmp_path: Path) -> None:
    """Behind the next address of a name may be another node: it is looked up for sessions, and for nothing else."""
    masked = world.way(Scene.BEHIND_NODE, Service.IMAPS)
    assert masked
    await world.junctions[Service.IMAPS].lead(masked)
    resolver = in_turn(VIRTUAL)
    result = await judged(world, tmp_path, lookups=Lookups(resolver))
    assert (result.judgement.verdict, result.judgement.masked_by) == (Verdict.MASKED, MaskedBy.NODE)
    assert len(resolver.asked) <= SESSIONS


async def test_a_stranger_that_came_in_with_us_costs_a_session_more_and_few_rounds(
    world: DemoWorld, tmp_path: Path
) -> None:
    """No beat tells which of two lines is ours; the session after it is alone."""
    masked = world.way(Scene.BEHIND_NODE, Service.IMAPS)
    assert masked
    came: list[Arrival] = []

    async def way(arrival: Arrival) -> None:
        ours = str(arrival.client.address) == CLIENT
        came.extend([arrival] if ours else [])
        await masked(arrival)
        if arrival is came[0]:
            beside = LINE % (NODES[1], encode(arrival.at + 0.004, Peer(ip_address(NODES[1]), 40_000)))
            world.house.log.write("dovecot", beside.strip())

    await world.junctions[Service.IMAPS].lead(way)
    words: list[str] = []
    result = await judged(world, tmp_path, told=words.append)
    assert (result.judgement.verdict, result.judgement.masked_by) == (Verdict.MASKED, MaskedBy.NODE)
    assert 1 <= result.given_up <= CROWDED
    assert words.index("session", 1) - 2 < ROUNDS_OF_BEATS, words


async def shipped(log: Path, to: Path, *, late: float) -> None:
    """Bring every line of a log to another file, as a shipper does: so much later."""
    underway: deque[tuple[float, bytes]] = deque()
    with log.open("rb") as read, to.open("ab", buffering=0) as written:
        read.seek(0, SEEK_END)
        while True:
            underway.extend((time.monotonic() + late, line) for line in read.readlines())
            while underway and underway[0][0] <= time.monotonic():
                written.write(underway.popleft()[1])
            await asyncio.sleep(0.01)


@pytest.mark.parametrize(("late", "known"), [(1.6, ()), (2.5, (0.1,))], ids=["unknown", "later than it was"])
async def test_a_log_that_comes_late_tells_who_masks_all_the_same(
    world: DemoWorld, tmp_path: Path, late: float, known: tuple[float, ...]
) -> None:
    """Beats are no use while the lines of the ones before may be on their way; strangers' lines come all the time."""
    way = world.way(Scene.BEHIND_NODE, Service.IMAPS)
    assert way
    await world.junctions[Service.IMAPS].lead(way)
    (log := tmp_path / "shipped.log").touch()
    shipping = asyncio.create_task(shipped(world.log_file, log, late=late))
    while not log.stat().st_size:  # noqa: ASYNC110 - strangers' sessions, told by a file
        await asyncio.sleep(0.01)
    result = await judged(world, tmp_path, log, known)
    shipping.cancel()
    assert (result.judgement.verdict, result.judgement.masked_by) == (Verdict.MASKED, MaskedBy.NODE)


LINE = "imap-login: Info: Aborted login (no auth attempts in 0 secs): user=<>, rip=%s, TLS, session=<%s>\n"


def furnished(watch: Watch, learnt: Learnt) -> Workshop:
    kit = Kit(clock=time.time, token=lambda: "token", contexts=TlsContexts())
    return Workshop(kit=kit, watch=watch, random=Random(1), networks=Networks(), learnt=learnt)


@pytest.mark.parametrize(("interval", "words"), [(2.0, {"rhythm"}), (30.0, set())])
async def test_time_is_waited_for_unless_it_tells_too_late_for_the_next_turn(interval: float, words: set[str]) -> None:
    """The clock is known to 6 ms, as on a loaded machine, so that the only line tells after some 2.6 s."""
    now = time.time()
    moments = {moment: Span(now - 0.0005, now) for moment in IdMoment}
    session = imaps_session(opened=now - 0.1, closed=now, id_moments=moments)
    line = LINE % (NODE, encode(now, Peer(NODE, 40_000)))
    source = Script(Lines(now, line.encode(), (Stamp(now, 1e-6),)))
    clocks = {(source.name, IdMoment.NEEDED): Offset(-0.003, 0.003, AGREED)}
    at = replace(NOBODY, port=free_port(), pace=Pace(interval=interval))
    told: set[str] = set()
    async with Watch([source], time.time) as watch:
        learnt = Learnt(clock=time.time, clocks=clocks)
        workshop = replace(furnished(watch, learnt), progress=lambda _, word: told.add(word))
        with watch.needed_since(session.opened):
            await source.told.wait()
            found = await pursue(session, at, workshop, Ours())
    assert [one.link for one in found.evidence.sightings] == [Link.TIME]  # for nobody answers a beat
    assert told == words


class Late(Script):
    """A source that has read nothing yet."""

    async def follow(self) -> AsyncIterator[Lines]:
        await self.told.wait()
        for lines in self._given:
            yield lines
        await self._closed.wait()


@pytest.mark.parametrize("begins", [0.1, 0.45])
async def test_the_time_for_lines_does_not_run_while_the_process_stands_still(begins: float) -> None:
    """Longer than a line may take; it lies in the log, and is read a moment after the process goes on."""
    now = time.time()
    session = imaps_session(
        opened=now - 0.1, closed=now, id_moments={moment: Span(now - 0.01, now) for moment in IdMoment}
    )
    line = LINE % (OURS.address, encode(now, OURS))
    source = Late(Lines(now, line.encode(), (Stamp(now, 1e-6),)))
    at = replace(NOBODY, port=free_port(), timeouts=replace(NOBODY.timeouts, evidence=0.5))
    async with Watch([source], time.time) as watch:
        workshop = furnished(watch, Learnt(clock=time.time))
        with watch.needed_since(session.opened):
            pursuing = asyncio.create_task(pursue(session, at, workshop, Ours()))
            asyncio.get_running_loop().call_later(begins, time.sleep, 1.8)
            asyncio.get_running_loop().call_later(begins + 2.0, source.told.set)
            found = await pursuing
    assert [one.address for one in found.evidence.sightings] == [OURS.address]


async def test_the_time_for_lines_does_not_run_while_the_machine_sleeps() -> None:
    """No timer of the event loop counts that time, but the probe's clock does."""
    slept = [0.0]
    clock = SteadyClock(lambda: time.monotonic() + slept[0], awake=time.monotonic)
    now = clock()
    session = imaps_session(
        opened=now - 0.1, closed=now, id_moments={moment: Span(now - 0.01, now) for moment in IdMoment}
    )
    source = Late(Lines(now + 16.0, (LINE % (OURS.address, encode(now, OURS))).encode(), (Stamp(now, 1e-6),)))
    at = replace(NOBODY, port=free_port())
    async with Watch([source], clock) as watch:
        workshop = furnished(watch, Learnt(clock=clock))
        workshop.kit = replace(workshop.kit, clock=clock)
        with watch.needed_since(session.opened):
            pursuing = asyncio.create_task(pursue(session, at, workshop, Ours()))
            asyncio.get_running_loop().call_later(0.1, slept.__setitem__, 0, 16.0)
            asyncio.get_running_loop().call_later(0.4, source.told.set)
            found = await pursuing
    assert [one.address for one in found.evidence.sightings] == [OURS.address]
