"""The watch: knocks at every endpoint, sessions as the budget allows, looks around the cluster, until it is over.

    Knocker (a thread) ──knock──▶ Post ◀──judged session── walk (one per endpoint)
                                   │            ▲
                                   └─ went, came back: a session now, to name it, or to prove what is there

Rules of this file:
- Knocks are not counted by a server, so they go on at their own cadence. Those that are (the kernel could not keep the
  handshake open) draw on the endpoint's budget, and wait for room in it as long as somebody answers.
- Sessions draw on the budget too. Two of a minute's connections are kept back for the moments that matter.
- A session that hangs on a connection from before a gap is given up when the endpoint is back: it would hold up the
  one that proves what is there now. What it has seen is written down.
- It ends once the knocks under way are heard: what nobody heard of is not known to be well.
- A session that failed is written down when the knocks of its time are known, and whatever is judged before an end is
  told.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Mapping, Sequence

from probe.evidence.ours import Ours
from probe.model import (
    Address,
    Ending,
    Endpoint,
    EndpointName,
    Knock,
    Phase,
    ProxyHeader,
    Result,
    Round,
    Span,
    UnderWay,
    Wanted,
    Watched,
    in_all,
)
from probe.service.budget import WINDOW
from probe.service.cycle import probe_endpoint
from probe.service.vigil.baseline import Baseline
from probe.service.vigil.beat import Beat, unproven
from probe.service.vigil.landscape import Landscape
from probe.service.vigil.pace import BRISK, KEPT_BACK, busiest, loads, pace_of, remarks
from probe.service.vigil.post import Post, Turn
from probe.service.vigil.process import Process
from probe.service.vigil.told import Told
from probe.service.vigil.whereabouts import Whereabouts
from probe.service.workshop import Workshop
from probe.sessions.knock import PATIENCE, Knocker, Make, quiet_socket
from probe.verdict.ending import as_ended, sessions_wanted, why_over

TICK = 0.1
BRIEF = 0.01
AT_ONCE = (Ending.MAX_OUTAGE, Ending.BASELINE)
"""Ends that nothing a knock under way may tell would change."""

LONGEST_TICK = 1.0
SHOWN_EVERY = 0.25
SHOWING_SHARE = 0.2
"""The part of the time that showing may take, and looking whether it is over: sessions wait for it, and many endpoints
with many gaps are costly."""

MOST_KNOCKS = 400.0
"""Knocks a second over all endpoints; more endpoints are knocked at less often."""

TRANSITION = 0.5
"""Seconds after which what replaced a way that is gone may be looked at: rules are written table by table."""

COUNTED_SHARE = 0.5
"""The part of the budget that knocks may take where the server counts them."""

PATIENT = 5.0
"""Seconds for which a session that failed waits for what the knocks of its time find, where those are held."""

LOOK_EVERY, ASK_API_EVERY = 1.0, 5.0

COUNTED = "this machine completes handshakes, so the server counts them: spaced to max_sessions_per_minute"
CONTRADICTED = (
    "{count} sessions connected at once while knocks went unanswered: something on the way drops some SYNs, perhaps "
    "for their number; try a longer --interval"
)
DOUBTED = "the last SYN to {names} was not answered, and none followed that would tell whether it was chance"
MANY = "so many endpoints: {most:g} knocks a second are sent in all"

Show = Callable[[Watched], None]


class Vigil:
    """One watch over these endpoints."""

    def __init__(
        self,
        endpoints: Sequence[Endpoint],
        workshop: Workshop,
        wanted: Wanted,
        vantage: str,
        make: Make = quiet_socket,
    ) -> None:
        """`make`: what opens the sockets of knocks."""
        self._make = make
        self._workshop = workshop
        self._clock = workshop.kit.clock
        self._wanted = wanted
        self._vantage = vantage
        self._interval = max(wanted.interval, len(endpoints) / MOST_KNOCKS)
        self._beats = {endpoint.name: Beat(Post(endpoint)) for endpoint in endpoints}
        self._landscape = Landscape()
        self._whereabouts = Whereabouts(workshop.kit)
        self._others = Ours()
        self._told_once = Told(workshop.kit.told)
        self._started = self._clock()
        self._ending: Ending | None = None
        self._change = None if wanted.process is None else Process(wanted.process)
        self._change_over: float | None = None
        self._knocked: Span | None = None
        self._unfinished: dict[EndpointName, tuple[UnderWay | None, Result | None]] = {}
        self._clients: Mapping[str, int] = {}
        self._busiest = busiest(endpoints)
        self._longest = max((one.timeouts.session + one.timeouts.evidence for one in endpoints), default=0.0)
        posts, pace = [one.post for one in self._beats.values()], pace_of(workshop.learnt.budgets.most, self._busiest)
        self.baseline = Baseline(posts, from_broken=wanted.from_broken, pace=pace, longest=self._longest)
        if self._interval > wanted.interval:
            for beat in self._beats.values():
                beat.post.why = MANY.format(most=MOST_KNOCKS)

    @property
    def baseline_round(self) -> Round:
        """The session that is each endpoint's baseline, as a round."""
        seconds, results = self._clock() - self._started, self.baseline.results
        return Round(vantage=self._vantage, started=self._started, seconds=seconds, results=results)

    async def run(self, stop: asyncio.Event, show: Show) -> Watched:
        """Watch until it is over; what was seen."""
        loop = asyncio.get_running_loop()
        posts = [beat.post for beat in self._beats.values()]
        aims = await asyncio.gather(*map(self._whereabouts.aim, posts))

        def heard(name: EndpointName, knock: Knock) -> None:
            loop.call_soon_threadsafe(self._heard, name, knock, knocker)

        knocker = Knocker(aims, self._interval, self._clock, heard, make=self._make)
        knocker.pauses = not self._wanted.no_limit
        self._clients = self._counted()
        chores = [self._walk(beat, knocker) for beat in self._beats.values()]
        chores += [self._look_around(), self._whereabouts.follow(posts, knocker)]
        knocker.start()
        try:
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(chore) for chore in chores]
                await self._until_over(stop, show, knocker)
                ended = await self._heard_out(knocker)
                self._write_down_all()
                self._unfinished = {name: self._so_far(beat) for name, beat in self._beats.items()}
                for task in tasks:
                    task.cancel()
        finally:
            await asyncio.to_thread(knocker.stop)
            await self._give_up_sessions()
        await asyncio.sleep(0)  # what the thread told last
        self._knocked = Span(self.baseline.began or ended, ended)
        return as_ended(self.told(over=True))

    def told(self, *, over: bool = False) -> Watched:
        """What has been seen so far."""
        now, before = self._clock(), self._clients
        after = self._counted() if over else before
        return Watched(
            vantage=self._vantage,
            wanted=self._wanted,
            started=self._started,
            until=now,
            began=self.baseline.began,
            change_over=self._change_over,
            ending=self._ending,
            endpoints=tuple(
                beat.post.told(self._interval, self._knocked, *self._unfinished.get(name, self._so_far(beat)))
                for name, beat in self._beats.items()
            ),
            announcers=self._landscape.announcers,
            nodes=self._landscape.nodes,
            moves=self._whereabouts.moves,
            clients={network: count - before.get(network, 0) for network, count in after.items()},
            notes=tuple(self._notes()),
        )

    def _so_far(self, beat: Beat) -> tuple[UnderWay | None, Result | None]:
        closed, networks = self._workshop.closed.get(beat.post.endpoint.name), self._workshop.networks
        return beat.under_way(closed, networks), beat.failed(closed, networks)

    # When it is over.

    async def _until_over(self, stop: asyncio.Event, show: Show, knocker: Knocker) -> None:
        due, tick = float("-inf"), TICK
        while self._ending is None:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(tick):
                    await stop.wait()
            if knocker.failed is not None:
                raise knocker.failed
            if self._change is not None and self._change_over is None and not self._change.lives:
                self._change_over = self._clock()
            looked = self._clock()
            self._ending = Ending.INTERRUPTED if stop.is_set() else await self._why_over(knocker)
            now = self._clock()
            tick = min(LONGEST_TICK, max(TICK, (now - looked) / SHOWING_SHARE))
            if self._ending is not None or now >= due:
                show(self.told())
                due = now + max(SHOWN_EVERY, (self._clock() - now) / SHOWING_SHARE)

    async def _why_over(self, knocker: Knocker) -> Ending | None:
        told = self.told()
        for endpoint in sessions_wanted(told):
            self._beats[endpoint.name].want(told.until)
        ending = self.baseline.why_over(told)
        if ending is not Ending.STABLE:
            return ending
        await self._heard_out(knocker)
        ending = why_over(self.told())
        if ending is None:
            knocker.go_on()
        return ending

    async def _heard_out(self, knocker: Knocker) -> float:
        """No more knocks; wait for those under way, unless they are no matter any more. Up to when all are known."""
        knocker.rest()
        ended = self._clock()
        if self._ending in AT_ONCE:
            return ended - PATIENCE
        while knocker.hears and knocker.failed is None and self._clock() < ended + PATIENCE + TICK:  # noqa: ASYNC110
            await asyncio.sleep(BRIEF)
        await asyncio.sleep(0)  # what the thread told last
        return ended

    # Knocks.

    def _heard(self, name: EndpointName, knock: Knock, knocker: Knocker) -> None:
        beat = self._beats[name]
        if knock.counted and not self._wanted.no_limit:
            self._hold(beat.post, knock, knocker)
        elif knock.failure is None:
            beat.post.counted_in_row = 0
        turn = beat.post.knocked(knock)
        if turn is Turn.CAME_BACK:
            self._give_up_what_hangs(beat)
            beat.wanted_now.set()
        elif turn is Turn.WENT:  # what it has become is named, not what it was on the way there
            self._whereabouts.look_again()
            asyncio.get_running_loop().call_later(TRANSITION, beat.wanted_now.set)
        if knock.failure is not None:
            self._release(beat.post, knocker)

    def _give_up_what_hangs(self, beat: Beat) -> None:
        if beat.running is None or beat.opened is None or beat.talking is None:
            return
        if beat.opened <= beat.post.silent_until:
            beat.given_up = True
            beat.running.cancel()

    def _hold(self, post: Post, knock: Knock, knocker: Knocker) -> None:
        """The server counted it: the next one waits a little, longer each time it happens again, and for room."""
        budgets, name = self._workshop.learnt.budgets, post.endpoint.name
        budgets.opened(name, knock.at, by=name)
        post.counted_in_row += 1
        if post.counted_in_row > 1:
            post.why = COUNTED
        share = WINDOW / (COUNTED_SHARE * budgets.most) if budgets.most else 0.0
        room = budgets.room_at(name, {name: 1 + KEPT_BACK}, knock.at)
        post.held_until = max(knock.at + post.rest(share), room)
        knocker.hold(name, post.held_until)

    def _release(self, post: Post, knocker: Knocker) -> None:
        post.held_until = float("-inf")
        knocker.release(post.endpoint.name)

    # Sessions.

    async def _walk(self, beat: Beat, knocker: Knocker) -> None:
        post = beat.post
        while True:
            await self._until_room(post)
            beat.wanted_now.clear()
            beat.opened, beat.given_up = self._clock(), False
            beat.running = asyncio.create_task(self._probe(beat))
            await asyncio.wait([beat.running])
            if beat.running.cancelled():
                if beat.given_up:
                    self._write_down_given_up(beat, beat.opened)
                beat.opened = None
                if not beat.given_up:  # a cancellation that nobody asked for
                    await asyncio.sleep(BRISK)
                continue
            await self._write_down(post, beat.running.result(), knocker)
            post.pace = self._pace(post)
            again = self.baseline.again_at(post)
            post.next_session = beat.opened + post.pace if again is None else again
            beat.opened = None
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(max(0.0, post.next_session - self._clock())):
                    await beat.wanted_now.wait()

    async def _probe(self, beat: Beat) -> Result:
        endpoint = beat.post.endpoint
        self._others.forget(self._clock() - 2 * self._longest)
        self._workshop.begin([endpoint])
        try:
            return self._told_once.judged(await probe_endpoint(endpoint, self._workshop, self._others))
        finally:
            beat.talking = None

    def stage(self, endpoint: Endpoint, stage: str) -> None:
        """What a session does right now (a `Progress` for the workshop)."""
        beat = self._beats.get(endpoint.name)
        if beat is not None:
            beat.talking = self._clock() if stage == "session" else None

    async def _write_down(self, post: Post, result: Result, knocker: Knocker) -> None:
        fault = result.session.fault
        if fault is not None and fault.phase is Phase.CONNECT:
            self._release(post, knocker)  # nobody is there to count knocks, and they see the return at once
        judged = self._clock()
        if post.address is not None and result.session.address not in (None, post.address):
            self._whereabouts.look_again()
        if fault is not None:
            await self._until_known(post, judged)
        self._record(post, result, judged)
        if fault is not None and post.has_left(result.session):
            self._beats[post.endpoint.name].wanted_now.set()

    def _write_down_given_up(self, beat: Beat, opened: float) -> None:
        """It is as one whose time was up as it was given up; whoever was answered says nothing of the gap."""
        session = self._others.latest(beat.post.endpoint.name)
        if session is not None and session.opened >= opened and beat.post.has_hung(session):
            self._record(beat.post, unproven(session, self._workshop.networks), self._clock())

    def _write_down_all(self) -> None:
        """What is judged counts, though more knocks of its time might have come: nobody waits for them any more."""
        for beat in self._beats.values():
            if beat.judged is not None:
                self._record(beat.post, beat.judged, self._clock())
                beat.opened = None

    def _record(self, post: Post, result: Result, judged: float) -> None:
        self.baseline.recorded(post.recorded(result, judged), result)

    async def _until_known(self, post: Post, moment: float) -> None:
        while not post.knows_of(moment) and self._clock() < moment + PATIENT:  # noqa: ASYNC110 - a bound on both
            await asyncio.sleep(TICK)

    def _pace(self, post: Post) -> float:
        everybody = loads(beat.post.needs for beat in self._beats.values())
        return pace_of(self._workshop.learnt.budgets.most, max(everybody[name] for name in post.needs))

    async def _until_room(self, post: Post) -> None:
        """Wait in line until there is room for all that the session needs, and take it."""
        budgets, name, needs = self._workshop.learnt.budgets, post.endpoint.name, post.needs
        with budgets.in_line(name, needs):
            while not budgets.take(name, needs, self._clock()):
                now = self._clock()
                post.next_session = budgets.room_at(name, needs, now)
                await asyncio.sleep(post.next_session - now)
        post.next_session = self._clock()

    async def _give_up_sessions(self) -> None:
        running = [beat.running for beat in self._beats.values() if beat.running is not None]
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)

    # Around them.

    async def _look_around(self) -> None:
        survey = self._workshop.survey
        every = ASK_API_EVERY if survey.asks_api else LOOK_EVERY
        while True:
            addresses = self._addresses()
            topology = await survey.look(addresses)
            if topology is None:
                return
            self._landscape.note(topology, addresses, self._clock())
            await asyncio.sleep(every)

    def _addresses(self) -> list[Address]:
        known = [beat.post.address for beat in self._beats.values()]
        return list(dict.fromkeys(address for address in known if address is not None))

    def _counted(self) -> Mapping[str, int]:
        """Clients in the servers' logs so far, by whose addresses they show; where many come it takes some ms."""
        everybody = in_all(self._workshop.watch.clients().listeners)
        return {whose.value: count.clients for whose, count in everybody.items()}

    def _notes(self) -> Sequence[str]:
        unsent = sum(beat.post.unsent for beat in self._beats.values())
        said = [f"{unsent} knocks could not be sent by this machine"] if unsent else []
        contradicted = sum(beat.post.contradicted for beat in self._beats.values())
        said += remarks(self._wanted, self._workshop.learnt.budgets.most, self._busiest)
        said += [CONTRADICTED.format(count=contradicted)] if contradicted else []
        doubted = [str(name) for name, beat in self._beats.items() if beat.post.in_doubt]
        if self._knocked is not None and doubted:
            said.append(DOUBTED.format(names=", ".join(doubted)))
        behind = [name for name, beat in self._beats.items() if beat.post.endpoint.proxy_header is not ProxyHeader.NONE]
        if behind and any(self._beats[name].post.why == COUNTED for name in behind):
            said.append("where a PROXY header is expected, the server notes each counted knock as one without a header")
        return said
