"""The patrol on a real loopback world: turns, budgets, questions, and that nothing of ours stops it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from random import Random, SystemRandom
from typing import Any

import pytest
import yaml

from probe.demo.door import Arrival
from probe.demo.scenes import Scene
from probe.demo.world import CLIENT, DemoWorld, demo_world
from probe.model import Endpoint, EndpointName, Failure, Mailbox, Networks, Pace, Phase, Service, Timeouts, Verdict
from probe.service.budget import Budgets
from probe.service.clock import steady_clock
from probe.service.cycle import so_far
from probe.service.learnt import Learnt
from probe.service.ledger import Entry, Ledger
from probe.service.outfit import outfitted
from probe.service.patrol import Patrol, Post, courses
from probe.service.schedule import Course, Turns
from probe.service.workshop import Workshop
from probe.sessions.imprint import Fingerprints
from probe.sessions.lookup import Lookups
from probe.settings import Settings, load, targets
from tests.builders import failed, smtp_session
from tests.sessions.resolver import Resolver, until_asked


@pytest.fixture
async def world() -> AsyncIterator[DemoWorld]:
    async with demo_world(postfix_waits=1.5, dovecot_waits=1.0) as world:
        yield world


class Beat:
    """Patrols over one endpoint of the world's, one after another, and what became of their sessions."""

    def __init__(self, stack: AsyncExitStack, world: DemoWorld) -> None:
        self._stack = stack
        self._world = world
        self.config = world.config_file.with_name("patrol.yaml")
        self.recorded: asyncio.Queue[Entry] = asyncio.Queue()

    @property
    def folder(self) -> Path:
        return self._world.config_file.parent

    async def begin(
        self,
        *,
        most: int = 600,
        random: Random | None = None,
        source: Path | None = None,
        service: Service = Service.SMTP,
        **schedule: Any,
    ) -> Patrol:
        self.name = EndpointName("vip", service, self._world.place(service)[1])
        schedule = {"interval": "1h", "max_sessions_per_minute": most, **schedule}
        settings = self.settings(service, source=source, **schedule)
        workshop = await self.workshop(settings)
        workshop.learnt.fingerprints = Fingerprints(random or SystemRandom())
        workshop.learnt.budgets = Budgets(most)
        self.ledger = ledger = Ledger(targets(settings))
        ledger.listeners.append(self.recorded.put_nowait)
        return await self._stack.enter_async_context(Patrol(settings, targets(settings), workshop, ledger))

    async def relieve(self, before: Patrol, *, dice: Random | None = None, **schedule: Any) -> Patrol:
        """Another patrol in place of this one, as a reload does it."""
        settings = self.settings(self.name.service, max_sessions_per_minute=600, **schedule)
        workshop = await self.workshop(settings, before.workshop.learnt)
        workshop.random = dice or workshop.random
        await before.__aexit__()
        await workshop.watch.begin()
        patrol = Patrol(settings, targets(settings), workshop, self.ledger)
        return await self._stack.enter_async_context(patrol)

    def settings(self, *services: str, source: Path | None = None, **schedule: Any) -> Settings:
        content = yaml.safe_load(self._world.config_file.read_text())
        if source is not None:
            content["evidence"]["sources"] = [{"kind": "file", "path": str(source)}]
        (path,) = content["paths"]
        path["endpoints"] = [one for one in path["endpoints"] if one["service"] in services]
        content["schedule"] = schedule
        self.config.write_text(yaml.safe_dump(content))
        return load(self.config, environment={}, hostname="test")

    async def workshop(self, settings: Settings, learnt: Learnt | None = None) -> Workshop:
        opened = outfitted(settings, targets(settings), steady_clock(), learnt=learnt)
        return await self._stack.enter_async_context(opened)


@pytest.fixture
async def beat(world: DemoWorld) -> AsyncIterator[Beat]:
    async with AsyncExitStack() as stack:
        yield Beat(stack, world)


async def test_sessions_come_on_their_turns(beat: Beat) -> None:
    await beat.begin(interval="200ms", jitter="0%", most=600)
    async with asyncio.timeout(20):
        entries = [await beat.recorded.get() for _ in range(5)]
    opened = [entry.result.session.opened for entry in entries]
    assert {entry.result.judgement.verdict for entry in entries} == {Verdict.PRESERVED}
    off = [(later - opened[0] + 0.1) % 0.2 for later in opened]
    assert max(off) < 0.19  # on the grid, or a little after it: never before
    assert len({entry.result.session.id for entry in entries}) == 5


async def test_whoever_asks_meanwhile_gets_the_session_that_is_under_way(beat: Beat, world: DemoWorld) -> None:
    patrol = await beat.begin()
    asked = await asyncio.gather(*(patrol.ask(beat.name, seconds=20) for _ in range(5)))
    assert {one.result.session.id for one in asked if one.result} == {(await beat.recorded.get()).result.session.id}
    assert all(one.fresh and one.result for one in asked)
    assert beat.recorded.empty()
    assert patrol.under_way == 0


async def test_a_spent_budget_gives_the_last_result_and_then_a_refusal(beat: Beat) -> None:
    patrol = await beat.begin(most=2)
    await beat.recorded.get()
    second = await patrol.ask(beat.name, seconds=20)
    third = await patrol.ask(beat.name, seconds=20)
    assert second.result is not None
    assert second.fresh
    assert third.result is second.result
    assert not third.fresh
    assert third.retry_after is not None
    assert 50 < third.retry_after <= 60


async def test_without_a_recent_result_a_spent_budget_refuses(beat: Beat) -> None:
    patrol = await beat.begin(most=1, interval="60s")
    first = (await beat.recorded.get()).result
    account = beat.ledger.accounts[beat.name]
    assert account.latest is first
    account.latest = None
    refused = await patrol.ask(beat.name, seconds=20)
    assert refused.result is None
    assert "max_sessions_per_minute is spent for vip/smtp" in refused.refusal


async def test_a_budget_that_does_not_last_for_the_interval_is_told(beat: Beat, world: DemoWorld) -> None:
    await world.change_to(Scene.HEADER_MISSING)  # a second connection, with a header, finds that out
    patrol = await beat.begin(interval="10s", jitter="0%", most=6)
    assert not patrol.slowed
    assert (await beat.recorded.get()).result.session.connections == 2
    assert patrol.slowed == ((beat.name, 20.0),)


async def test_who_cannot_wait_for_the_end_of_a_session_is_told_that_it_is_open(beat: Beat, world: DemoWorld) -> None:
    await world.change_to(Scene.HEADER_MISSING)  # no greeting for 1.5 s
    patrol = await beat.begin()
    asked = await patrol.ask(beat.name, seconds=0.5)
    assert asked.unfinished == "time was up after 0.5 s, while the session was still open"
    assert (asked.result, asked.refusal) == (None, "")
    recorded = await beat.recorded.get()
    assert recorded.result.judgement.verdict is Verdict.PROXY_HEADER_TIMEOUT  # it went on all the same
    assert beat.recorded.empty()


async def test_who_cannot_wait_for_the_evidence_is_told_how_the_session_went(beat: Beat) -> None:
    """The books get the session once, as it ends; what was told of it before leaves no trace."""
    silent = beat.folder / "silent.log"
    silent.touch()
    patrol = await beat.begin(source=silent)
    asked = await patrol.ask(beat.name, seconds=1)
    assert asked.unfinished == "time was up after 1.0 s, while its evidence was still looked for"
    assert asked.result is not None
    assert asked.result.session.fault is None
    assert asked.result.judgement.verdict is Verdict.UNVERIFIED
    assert asked.unfinished in asked.result.judgement.explanation
    assert not beat.ledger.accounts[beat.name].counts.sessions
    recorded = (await beat.recorded.get()).result
    assert recorded.session.id == asked.result.session.id
    assert "time was up" not in recorded.judgement.explanation
    assert dict(beat.ledger.accounts[beat.name].counts.sessions) == {Verdict.UNVERIFIED: 1}
    assert not patrol.workshop.closed


def test_of_a_failed_session_only_that_is_told_early_which_no_evidence_changes() -> None:
    """A log line may still say that the listener wanted a header."""
    refused, mute = failed(Phase.CONNECT, Failure.REFUSED), failed(Phase.GREETING, Failure.TIMED_OUT)
    early = so_far(smtp_session(fault=refused), Networks(), "time was up")
    assert early is not None
    assert early.judgement.verdict is Verdict.REFUSED
    assert so_far(smtp_session(fault=mute), Networks(), "time was up") is None


async def test_of_a_session_that_did_not_begin_nothing_is_told(beat: Beat) -> None:
    patrol = await beat.begin(service=Service.IMAPS)
    first = (await beat.recorded.get()).result.session
    workshop = patrol.workshop
    # Others open connections to this host until then.
    workshop.learnt.spacing.take(first.host, workshop.kit.clock(), 60.0)
    refused = await patrol.ask(beat.name, seconds=0.1)
    assert (refused.result, refused.unfinished) == (None, "")
    assert refused.refusal == f"no session to {beat.name} began within 0.1 s, for many others are under way"


async def test_who_asks_for_an_unknown_endpoint_is_told(beat: Beat) -> None:
    patrol = await beat.begin()
    assert "not in the configuration" in (await patrol.ask(EndpointName("vip", Service.IMAPS, 1), seconds=1)).refusal


class FirstFails(SystemRandom):
    """Dice that break when they are thrown for the first time: a bug of ours in the middle of a session."""

    def __init__(self, error: BaseException) -> None:
        super().__init__()
        self.error = error
        self.thrown = 0

    def randrange(self, *arguments: Any) -> int:
        self.thrown += 1
        if self.thrown == 1:
            raise self.error
        return super().randrange(*arguments)


@pytest.mark.parametrize("error", [RuntimeError("the dice broke"), asyncio.CancelledError("the dice broke")], ids=repr)
async def test_a_bug_ends_one_session_and_no_patrol(
    beat: Beat, capfd: pytest.CaptureFixture[str], error: BaseException
) -> None:
    """Also a cancellation that nobody asked for, which would else end an endpoint's turns without a word."""
    patrol = await beat.begin(interval="200ms", jitter="0%", most=600, random=FirstFails(error))
    async with asyncio.timeout(20):
        while not patrol.bugs:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        assert [(name, bug.partition(":")[0]) for name, bug in patrol.bugs] == [(beat.name, type(error).__name__)]
        assert (await beat.recorded.get()).result.judgement.verdict is Verdict.PRESERVED
    assert list(patrol.bugs) == []
    assert type(error).__name__ in capfd.readouterr().err


async def test_the_end_of_a_patrol_leaves_no_session_behind(world: DemoWorld) -> None:
    before = len(asyncio.all_tasks())
    async with AsyncExitStack() as stack:
        beat = Beat(stack, world)
        patrol = await beat.begin()
        question = asyncio.create_task(patrol.ask(beat.name, seconds=20))
        while not patrol.under_way:  # noqa: ASYNC110
            await asyncio.sleep(0)
    assert "was broken off" in (await question).refusal
    async with asyncio.timeout(5):
        while len(asyncio.all_tasks()) > before:  # noqa: ASYNC110
            await asyncio.sleep(0.01)


async def test_turns_that_a_session_outlasts_are_counted(beat: Beat) -> None:
    await beat.begin(interval="100ms", jitter="0%", most=600)
    async with asyncio.timeout(20):
        opened = [(await beat.recorded.get()).result.session.opened for _ in range(3)]
    missed = beat.ledger.accounts[beat.name].counts.missed
    assert missed >= round((opened[-1] - opened[0]) / 0.1) - 2 > 0


class Early(SystemRandom):
    """Dice by which every session is as early as its jitter lets it be."""

    def uniform(self, a: float, b: float) -> float:
        return min(a, b)


async def test_turns_go_on_however_often_a_patrol_is_relieved_and_have_the_new_jitter(beat: Beat) -> None:
    patrol = await beat.begin(interval="2s", jitter="0%")
    opened = [(await beat.recorded.get()).result.session.opened]
    for jitter in ("0%", "0%", "50%"):
        patrol = await beat.relieve(patrol, interval="2s", jitter=jitter, dice=Early())
    async with asyncio.timeout(20):
        opened += [(await beat.recorded.get()).result.session.opened for _ in range(2)]
    first, second = (later - earlier for earlier, later in pairwise(opened))
    assert first < 3.0  # a turn that was lost would make it 4 s
    assert second < 1.7  # half an interval early, of 2 s


class Held:
    """A server that says nothing, and hangs up when it is let go."""

    def __init__(self) -> None:
        self.reached = asyncio.Event()
        self.let_go = asyncio.Event()

    async def __call__(self, arrival: Arrival) -> None:
        if str(arrival.client.address) == CLIENT:
            self.reached.set()
        await self.let_go.wait()


async def test_what_a_reload_broke_off_is_settled_when_it_was_repeated(beat: Beat, world: DemoWorld) -> None:
    held = Held()
    await world.junctions[Service.SMTP].lead(held)
    patrol = await beat.begin()
    await held.reached.wait()
    await patrol.settled()  # nothing was broken off yet
    held.reached.clear()
    patrol = await beat.relieve(patrol, interval="1h")
    assert len(patrol.workshop.learnt.ours) == 1  # its lines come all the same, and are known by its port
    settled = asyncio.create_task(patrol.settled())
    await held.reached.wait()  # at once, in an interval of an hour
    assert not settled.done()
    held.let_go.set()
    async with asyncio.timeout(20):
        assert (await beat.recorded.get()).result.judgement.verdict is Verdict.NO_GREETING
        await settled
    assert beat.recorded.empty()


async def test_a_log_whose_clock_is_not_known_yet_costs_no_verdict(beat: Beat, world: DemoWorld) -> None:
    """Nobody else writes into it: a restart would end what lasts, with the first session that it has."""
    world.house.log.ahead = 2.4 * 3600  # neither UTC nor the probe's zone, whichever that is
    await beat.begin(source=world.log_file)
    async with asyncio.timeout(30):
        judgement = (await beat.recorded.get()).result.judgement
    assert judgement.verdict is Verdict.PRESERVED, judgement.explanation


async def test_a_session_that_only_looks_for_lines_holds_no_place(beat: Beat) -> None:
    """A log source that is silent takes all of timeouts.evidence, of every session: no reason to probe less."""
    settings = beat.settings(*Service, source=beat.folder / "none.log", interval="1h")
    endpoints, workshop = targets(settings), await beat.workshop(settings)
    workshop.places = asyncio.Semaphore(1)
    stages: asyncio.Queue[tuple[Endpoint, str]] = asyncio.Queue()
    workshop.progress = lambda *stage: stages.put_nowait(stage)
    async with Patrol(settings, endpoints, workshop, Ledger(endpoints)) as patrol, asyncio.timeout(10):
        questions = [asyncio.create_task(patrol.ask(one.name, seconds=20)) for one in endpoints]
        seen = [await stages.get() for _ in range(2 * len(endpoints))]
        assert patrol.under_way == len(endpoints)
    assert [stage for _, stage in seen] == ["session", "evidence"] * len(endpoints)  # one after the other
    assert {one.name for one, _ in seen} == {one.name for one in endpoints}
    assert all("broken off" in asked.refusal for asked in await asyncio.gather(*questions))


async def test_names_that_cannot_be_looked_up_hold_no_place(beat: Beat) -> None:
    """A resolver that is dead holds each for all of timeouts.session: no reason to probe addresses less."""
    settings = beat.settings(*Service, interval="1h")
    (by_address, *others), workshop = targets(settings), await beat.workshop(settings)
    resolver = Resolver()
    workshop.kit = replace(workshop.kit, lookups=Lookups(resolver))
    workshop.places = asyncio.Semaphore(1)
    by_name = [replace(one, path="named", host="mail.lab.test") for one in others]
    ledger = Ledger([*by_name, by_address])
    async with Patrol(settings, [*by_name, by_address], workshop, ledger) as patrol, asyncio.timeout(10):
        questions = [asyncio.create_task(patrol.ask(one.name, seconds=20)) for one in by_name]
        await until_asked(resolver, 1)
        unfinished = await patrol.ask(by_name[0].name, seconds=0.01)
        assert (await patrol.ask(by_address.name, seconds=20)).result
        assert workshop.places.locked() is False
        assert patrol.under_way == len(by_name)
        assert workshop.underway == []  # without a connection none of them can leave a line that might be another's
    assert "while its host was still looked up" in unfinished.unfinished
    assert resolver.asked == ["mail.lab.test"]
    assert all("broken off" in asked.refusal for asked in await asyncio.gather(*questions))
    resolver.let_go.set()


async def test_a_session_waits_for_a_fingerprint_where_too_many_are_in_flight(beat: Beat) -> None:
    workshop = await beat.workshop(beat.settings(Service.SMTP))
    workshop.learnt.left = asyncio.Semaphore(1)
    async with AsyncExitStack() as later:
        async with workshop.fingerprint():
            second = asyncio.create_task(later.enter_async_context(workshop.fingerprint()))
            await asyncio.sleep(0)
            assert not second.done()
        assert await asyncio.wait_for(second, 10)


VIP = Endpoint(path="vip", service=Service.IMAPS, host="10.0.20.202", port=993)


def begun(*endpoints: Endpoint, interval: float = 30.0) -> dict[Endpoint, Course]:
    """As they are after a session of three connections each."""
    found = {}
    for one in endpoints:
        turns = Turns(anchor=0.0, interval=interval)
        turns.go_on(1.0)
        found[one.identity] = Course(turns=turns, connections=3, last=0.1)
    return found


@pytest.mark.parametrize("changed", [{}, {"timeouts": Timeouts(session=10.0)}, {"pace": Pace(due=1.0, lapse=2.0)}])
def test_an_endpoint_that_stays_goes_on_where_it_was(changed: Any) -> None:
    before = begun(VIP)
    (course,) = before.values()
    assert courses([replace(VIP, **changed)], before, 30.0, now=2.0)[VIP.name] is course


def test_another_interval_begins_other_turns_and_forgets_nothing_else() -> None:
    (course,) = courses([VIP], begun(VIP), 60.0, now=2.0).values()
    assert course == Course(turns=Turns(anchor=2.0, interval=60.0), connections=3, last=0.1)


def test_of_many_endpoints_the_one_that_changes_has_its_session_at_once() -> None:
    many = [replace(VIP, path=str(number)) for number in range(100)]
    moved = replace(many[-1], host="10.0.20.203")
    found = courses([*many[:-1], moved], begun(*many), 30.0, now=2.0)
    assert found[moved.name] == Course(turns=Turns(anchor=2.0, interval=30.0))
    assert {course.turns.due for course in found.values()} == {2.0, 30.0}


def test_a_message_that_is_read_back_needs_room_at_its_mailbox_too() -> None:
    smtp, imaps = (
        Endpoint(path="vip", service=service, host="10.0.20.202", port=service.default_port)
        for service in (Service.SMTP, Service.IMAPS)
    )
    course = Course(turns=Turns(anchor=0.0, interval=30.0), connections=3)
    letter = Mailbox(reader=imaps, recipient="probe@example.org", sender="")
    assert Post(endpoint=replace(smtp, mailbox=letter), course=course).needs == {smtp.name: 3, imaps.name: 1}
    assert Post(endpoint=imaps, course=course).needs == {imaps.name: 3}


async def test_turns_that_somebody_ends_are_told_and_go_on(beat: Beat, capfd: pytest.CaptureFixture[str]) -> None:
    """Else the endpoint's last verdict would stand for ever."""
    await beat.begin(interval="200ms", jitter="0%", most=600)
    await beat.recorded.get()
    (walk,) = (task for task in asyncio.all_tasks() if task.get_name() == f"walk of {beat.name}")
    walk.cancel()
    async with asyncio.timeout(20):
        for _ in range(3):
            assert (await beat.recorded.get()).result.judgement.verdict is Verdict.PRESERVED
    assert "somebody ended its turns" in capfd.readouterr().err


async def test_an_endpoint_whose_turn_does_not_come_is_stuck(beat: Beat) -> None:
    """Whatever keeps it: the session under way, or that there is none."""
    patrol = await beat.begin(interval="1h")
    await beat.recorded.get()
    now = patrol.workshop.kit.clock()
    async with asyncio.timeout(20):
        while patrol.stuck(now + 3_500):  # noqa: ASYNC110 - its session has ended, its turn ends in a moment
            await asyncio.sleep(0.01)
    assert patrol.stuck(now + 4_800) == (beat.name,)
