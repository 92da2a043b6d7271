"""The watch itself beside the demo's world: budgets where knocks are counted, sessions that hang, names, looks."""

from __future__ import annotations

import asyncio
import errno
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest
import yaml

from probe.demo.door import Arrival, Welcome
from probe.demo.scenes import Scene
from probe.demo.ways import nowhere
from probe.demo.world import CLIENT, DemoWorld, demo_world
from probe.model import (
    Announcer,
    Edge,
    Ending,
    EndpointName,
    GapKind,
    Known,
    Node,
    Origin,
    Question,
    Service,
    Severity,
    Surroundings,
    Topology,
    Verdict,
    Wanted,
    Watched,
)
from probe.service.budget import Budgets
from probe.service.clock import steady_clock
from probe.service.outfit import outfitted
from probe.service.survey import Survey
from probe.service.vigil.landscape import NOBODY, Landscape
from probe.service.vigil.vigil import COUNTED, Vigil
from probe.service.workshop import Workshop
from probe.sessions.knock import Aim, Make, quiet_socket
from probe.settings import load, targets
from probe.verdict.ending import tried_again
from probe.verdict.watched import conclude
from tests.service.running import until
from tests.watched import VIP

BRISK = {"timeouts": {"connect": "1s", "session": "12s", "evidence": "2s"}}


@pytest.fixture
async def world() -> AsyncIterator[DemoWorld]:
    async with demo_world(postfix_waits=1.5, dovecot_waits=1.0) as world:
        yield world


class Running:
    """A vigil under way."""

    def __init__(self, vigil: Vigil, shop: Workshop, task: asyncio.Task[Watched], stop: asyncio.Event) -> None:
        self.vigil = vigil
        self.shop = shop
        self.task = task
        self._stop = stop

    async def has_begun(self) -> None:
        await until(lambda: self.vigil.told().began, "a baseline")

    async def end(self) -> Watched:
        self._stop.set()
        return await self.task


def plain_socket(aim: Aim) -> socket.socket:
    """A socket whose handshake is completed, as on a machine that cannot leave it open."""
    return socket.socket(aim.family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)


@asynccontextmanager
async def vigil_over(
    world: DemoWorld, folder: Path, wanted: Wanted, *, make: Make = quiet_socket, most: int | None = 6
) -> AsyncIterator[Running]:
    file = folder / "mailprobe.yaml"
    file.write_text(yaml.safe_dump({**world.config(), **BRISK}))
    settings = load(file, environment={}, hostname="test")
    shown: list[Watched] = []
    endpoints = targets(settings)
    async with outfitted(settings, endpoints, steady_clock()) as shop:
        shop.learnt.budgets = Budgets(most)
        vigil = Vigil(endpoints, shop, wanted, "test", make)
        shop.progress = vigil.stage
        stop = asyncio.Event()
        task = asyncio.create_task(vigil.run(stop, shown.append))
        try:
            yield Running(vigil, shop, task, stop)
        finally:
            stop.set()
            await asyncio.gather(task, return_exceptions=True)
    assert shown, "it is shown while it lasts"


async def test_knocks_that_are_counted_draw_on_the_budget(world: DemoWorld, tmp_path: Path) -> None:
    async with vigil_over(world, tmp_path, Wanted(), make=plain_socket) as one:
        await one.has_begun()
        await until(lambda: one.vigil.told().until > one.vigil.told().started + 3, "three seconds")
        seen = await one.end()
    for endpoint in seen.endpoints:
        cadence = endpoint.cadence
        assert cadence.counted == cadence.answered
        assert cadence.counted + len(endpoint.samples) <= 6
        assert cadence.why == COUNTED
        assert not endpoint.blind
    assert seen.ending is Ending.INTERRUPTED


async def test_a_machine_that_cannot_knock_any_more_does_not_call_it_well(world: DemoWorld, tmp_path: Path) -> None:
    able = True

    def make(aim: Aim) -> socket.socket:
        if not able:
            raise OSError(errno.EADDRNOTAVAIL, "the source address is gone")
        return quiet_socket(aim)

    async with vigil_over(world, tmp_path, Wanted(), make=make) as one:
        await one.has_begun()
        able = False
        since = one.vigil.told().until
        await until(lambda: one.vigil.told().until > since + 3, "three seconds")
        seen = await one.end()
    assert conclude(seen).rule == "blind"
    assert all(len(endpoint.blind) == 1 and endpoint.blind[0].seconds > 1 for endpoint in seen.endpoints)


async def test_while_nobody_answers_they_cost_nothing_and_go_on(world: DemoWorld, tmp_path: Path) -> None:
    """Whoever finds the outage, a knock or a session: from then on knocks go on as they were asked to."""
    async with vigil_over(world, tmp_path, Wanted(), make=plain_socket) as one:
        await one.has_begun()
        await world.change_to(Scene.SILENT)
        await until(lambda: all(end.lasting for end in one.vigil.told().endpoints), "outages", 40.0)
        await world.change_to(Scene.STRAIGHT)
        await until(lambda: not any(end.lasting for end in one.vigil.told().endpoints), "their return")
        seen = await one.end()
    for endpoint in seen.endpoints:
        (gap,) = endpoint.gaps
        assert (gap.kind, gap.how) == (GapKind.UNREACHABLE, ("timed_out",))
        assert gap.ended is not None
        assert gap.ended.bound < 1.0, "knocks were under way when it ended"
        assert endpoint.cadence.counted <= 3


async def test_without_a_limit_they_go_on_at_their_cadence(world: DemoWorld, tmp_path: Path) -> None:
    wanted = Wanted(no_limit=True)
    async with vigil_over(world, tmp_path, wanted, make=plain_socket, most=None) as one:
        await until(lambda: all(end.cadence.counted > 7 for end in one.vigil.told().endpoints), "many that are counted")
        await until(lambda: all(len(end.samples) > 1 for end in one.vigil.told().endpoints), "a second session each")
        seen = await one.end()
    assert all(endpoint.cadence.why == "" for endpoint in seen.endpoints)


async def test_a_session_that_hangs_from_before_a_gap_holds_up_nothing(world: DemoWorld, tmp_path: Path) -> None:
    """The session that finds a dead listener would wait for 12 s."""
    await world.change_to(Scene.DEAD)
    async with vigil_over(world, tmp_path, Wanted(from_broken=True)) as one:
        await until(lambda: all(end.cadence.answered for end in one.vigil.told().endpoints), "answers")
        await asyncio.sleep(0.5)  # the sessions are under way, and nobody tells of it
        await world.change_to(Scene.SILENT)
        await until(lambda: all(end.lasting for end in one.vigil.told().endpoints), "gaps")
        began = asyncio.get_running_loop().time()
        await world.change_to(Scene.STRAIGHT)

        def proven() -> bool:
            latest = [end.latest for end in one.vigil.told().endpoints]
            return all(sample is not None and sample.verdict is Verdict.PRESERVED for sample in latest)

        await until(proven, "sessions that prove what is there now")
        assert asyncio.get_running_loop().time() - began < 8
        seen = await one.end()
    for endpoint in seen.endpoints:
        hung = endpoint.samples[0]
        assert (hung.aside, hung.waited, hung.broke) == (True, None, False), "what was given up has seen it hang"


async def test_a_server_that_hangs_after_the_baseline_is_not_stable_and_fails_past_what_is_tolerated(
    world: DemoWorld, tmp_path: Path
) -> None:
    """The next session in its turn would come after 15 s. One that waits is out once it has failed, after 12 s."""
    async with vigil_over(world, tmp_path, Wanted(until_stable=0.5, max_outage=5.0)) as one:
        await one.has_begun()
        await world.change_to(Scene.DEAD)
        async with asyncio.timeout(30):
            seen = await one.task
    done = conclude(seen)
    assert (seen.ending, done.rule) == (Ending.MAX_OUTAGE, "outage-too-long"), done
    assert "and it lasts; 5 s are tolerated" in done.sentence
    assert seen.until - max(endpoint.samples[0].at for endpoint in seen.endpoints) > 12.0


async def test_what_is_judged_right_before_the_end_counts_though_no_knock_of_its_time_is_known(
    world: DemoWorld, tmp_path: Path
) -> None:
    """Knocks come each 10 s: a session that failed waits for one of them until it is written down."""
    async with vigil_over(world, tmp_path, Wanted(interval=10.0, no_limit=True), most=None) as one:
        await one.has_begun()
        await world.change_to(Scene.HEADER_MISSING)

        def judged() -> set[EndpointName]:
            """Sessions that failed, and whose evidence is not looked for any more."""
            failed = {end.name for end in one.vigil.told().endpoints if end.under_way and end.under_way.failed}
            return failed - set(one.shop.closed)

        names = await until(judged, "a verdict that nobody has written down", 20.0)
        seen = await one.end()
    assert conclude(seen).severity is Severity.CRITICAL
    for endpoint in seen.endpoints:
        if endpoint.name in names:
            assert endpoint.latest is not None
            assert endpoint.latest.failed, endpoint


async def test_what_goes_right_before_the_end_is_heard(world: DemoWorld, tmp_path: Path) -> None:
    """A knock is given up after 0.9 s: none of those that nobody answers is known yet."""
    async with vigil_over(world, tmp_path, Wanted()) as one:
        await one.has_begun()
        await world.change_to(Scene.SILENT)
        since = one.vigil.told().until
        await until(lambda: one.vigil.told().until > since + 0.5, "half a second")
        seen = await one.end()
    assert conclude(seen).rule == "outage-lasts"
    assert all(endpoint.lasting and endpoint.lasting.kind is GapKind.UNREACHABLE for endpoint in seen.endpoints)


class Limited:
    """A server that turns so many connections of the probe away for their number, and welcomes those after them."""

    def __init__(self, count: int, welcome: Welcome) -> None:
        self.left = count
        self._welcome = welcome

    async def __call__(self, arrival: Arrival) -> None:
        if not self.left or str(arrival.client.address) != CLIENT:
            await self._welcome(arrival)
            return
        self.left -= 1
        arrival.sock.send(b"421 4.7.0 mail.example.org Error: too many connections\r\n")
        arrival.sock.close()


@pytest.mark.parametrize(("count", "rule"), [(1, "well"), (2, "baseline-limited")])
async def test_a_baseline_that_meets_a_rate_limit_is_tried_again_once_that_is_over(
    world: DemoWorld, tmp_path: Path, count: int, rule: str
) -> None:
    straight = world.way(Scene.STRAIGHT, Service.SMTP)
    assert straight is not None
    await world.junctions[Service.SMTP].lead(Limited(count, straight))
    async with vigil_over(world, tmp_path, Wanted(until_stable=90.0, max_outage=10.0)) as one:
        one.vigil.baseline.limit_lasts = 2.0
        await until(lambda: tried_again(one.vigil.told()), "what is waited for")
        assert one.vigil.told().began is None
        if rule == "well":
            await one.has_begun()
            seen = await one.end()
        else:
            async with asyncio.timeout(30):
                seen = await one.task
    first, second = next(each.samples for each in seen.endpoints if each.name.service is Service.SMTP)
    assert first.verdict is Verdict.RATE_LIMITED
    assert second.at >= first.at + 2.0
    assert conclude(seen).rule == rule


async def test_what_goes_out_while_another_waits_for_its_limit_s_minute_is_broken_before_anything_is_changed(
    world: DemoWorld, tmp_path: Path
) -> None:
    straight = world.way(Scene.STRAIGHT, Service.SMTP)
    assert straight is not None
    await world.junctions[Service.SMTP].lead(Limited(1, straight))
    async with vigil_over(world, tmp_path, Wanted(until_stable=90.0), most=None) as one:
        one.vigil.baseline.limit_lasts = 5.0
        await until(lambda: len(tried_again(one.vigil.told())) == 1 and all_looked_at(one.vigil.told()), "the others")
        masked = world.way(Scene.BEHIND_NODE, Service.SUBMISSION)
        assert masked is not None
        await world.junctions[Service.SUBMISSION].lead(masked)
        async with asyncio.timeout(30):
            seen = await one.task
    assert seen.ending is Ending.BASELINE
    assert conclude(seen).rule == "baseline-broken"
    shown = {one.session.service: one.judgement.verdict for one in one.vigil.baseline.results}
    assert shown[Service.SUBMISSION] is Verdict.MASKED


def all_looked_at(watched: Watched) -> bool:
    return all(one.samples for one in watched.endpoints)


async def test_who_watches_what_is_broken_waits_for_no_limit(world: DemoWorld, tmp_path: Path) -> None:
    await world.junctions[Service.SMTP].lead(Limited(1, nowhere))
    async with vigil_over(world, tmp_path, Wanted(from_broken=True)) as one:
        await one.has_begun()
        assert {each.baseline is not None for each in one.vigil.told().endpoints} == {True}
        await one.end()


async def test_a_name_that_does_not_resolve_is_a_broken_baseline(world: DemoWorld, tmp_path: Path) -> None:
    config: dict[str, Any] = world.config()
    config["paths"] = [{**config["paths"][0], "host": "no-such-host.invalid"}]
    file = tmp_path / "named.yaml"
    file.write_text(yaml.safe_dump({**config, **BRISK}))
    settings = load(file, environment={}, hostname="test")
    endpoints = targets(settings)
    async with outfitted(settings, endpoints, steady_clock()) as shop:
        vigil = Vigil(endpoints, shop, Wanted(), "test")
        async with asyncio.timeout(30):
            seen = await vigil.run(asyncio.Event(), lambda _: None)
    assert seen.ending is Ending.BASELINE
    assert {one.baseline.verdict for one in seen.endpoints if one.baseline} == {Verdict.RESOLVE_FAILED}
    assert {one.cadence.sent for one in seen.endpoints} == {0}


def topology(taken: float, announcer: str | None, **local: int) -> Topology:
    told = () if announcer is None else (Announcer(node=announcer),)
    nodes = tuple(Node(name=n, local_endpoints=Known(c, Origin.HEALTH_CHECK, taken)) for n, c in local.items())
    return Topology(taken=taken, nodes=nodes, announcers={VIP: (Known(told, Origin.NEIGHBOURS, taken),)})


def test_a_landscape_keeps_changes_and_the_looks_around_them() -> None:
    seen = Landscape()
    seen.note(topology(10.0, "node1", node1=1, node2=0), [VIP], 10.1)
    seen.note(topology(11.0, "node1", node1=1, node2=0), [VIP], 11.1)
    seen.note(topology(12.0, None, node1=0, node2=1), [VIP], 12.3)
    seen.note(Topology(taken=13.0), [VIP], 13.1)
    seen.note(topology(14.0, "node2", node1=0, node2=1), [VIP], 14.1)
    assert [(one.value, one.edge) for one in seen.announcers] == [
        ("node1", Edge(None, 10.1)),
        (NOBODY, Edge(11.0, 12.3)),
        ("node2", Edge(12.0, 14.1)),
    ]
    assert [(one.node, one.value, one.edge.after) for one in seen.nodes[2:]] == [
        ("node1", "0", 11.0),
        ("node2", "1", 11.0),
    ]


async def test_a_survey_that_only_reads_never_asks_on_the_link() -> None:
    asked: list[Question] = []

    async def look(question: Question) -> Topology:
        asked.append(question)
        return Topology(taken=float(len(asked)))

    survey = Survey(look, Surroundings())
    survey.only_read()
    first = await survey.look([ip_address("10.0.20.202")])
    assert first is not None
    assert await Survey().look([]) is None
    async with survey:
        survey.begin([])
    assert asked
    assert not any(question.after_failure for question in asked)
