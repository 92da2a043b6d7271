"""Sessions to every endpoint, each on its own turns, for as long as the daemon runs; and those that are asked for.

    Turns ──due──▶ Budget ──room──▶ probe_endpoint ──▶ Ledger
    a question (`/probe`) ──────────▲

Rules of this file:
- Never two sessions at once on one endpoint: whoever comes while one is under way gets that one's result.
- What an endpoint keeps over a reload is its `Course`, whole (learnt.py); one that is configured differently
  (Endpoint.identity) is another endpoint and begins anew, at once.
- Whatever opens a connection draws on a budget, that of a mailbox which is read back too; a turn waits for room, a
  question does not. Room is taken before a session begins and let go when it has ended.
- A bug of ours ends one session and no patrol: it is told, and the endpoint has its next turn.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial

from probe.model import Endpoint, EndpointName, Result
from probe.notices import tell_bug
from probe.service.budget import Needs, needs_of
from probe.service.cycle import probe_endpoint, so_far
from probe.service.ledger import Ledger
from probe.service.schedule import Course, Turns, anchors
from probe.service.station import Asked
from probe.service.workshop import Workshop
from probe.settings import Settings

STUCK = 300.0
"""Seconds after which a turn is overdue, beside all the time that its session may take by its timeouts."""

FAILING = 25.0
"""Seconds beside its timeouts that a session takes which fails: two control connections, and the look for a cause."""

BREATHER = 0.1
"""Seconds after a bug, so that one in the walk itself takes no processor."""


@dataclass(kw_only=True, slots=True)
class Post:
    """One endpoint on its turns."""

    endpoint: Endpoint
    course: Course
    running: asyncio.Task[Result] | None = field(default=None, repr=False)

    @property
    def needs(self) -> Needs:
        """The connections that the next session is likely to need."""
        return needs_of(self.endpoint, self.course.connections)

    @property
    def bound(self) -> float:
        """Seconds that a turn may take, with the wait for room in the budget."""
        limits = self.endpoint.timeouts
        return 4 * (limits.session + limits.evidence) + STUCK


class Patrol:
    """Walks all posts between `async with`, going on where the patrol before it stopped (Learnt.courses)."""

    def __init__(
        self,
        settings: Settings,
        endpoints: Sequence[Endpoint],
        workshop: Workshop,
        ledger: Ledger,
    ) -> None:
        self.workshop = workshop
        self._ledger = ledger
        self._interval = settings.schedule.interval
        self._jitter = settings.schedule.jitter
        self._learnt = learnt = workshop.learnt
        self._longest = settings.timeouts.session + settings.timeouts.evidence
        self._walks: set[asyncio.Task[None]] = set()
        self._is_over = False
        begun = courses(endpoints, learnt.courses, self._interval, workshop.kit.clock())
        self._posts: dict[EndpointName, Post] = {
            one.name: Post(endpoint=one, course=begun[one.name]) for one in endpoints
        }

    async def __aenter__(self) -> Patrol:
        self.workshop.begin([post.endpoint for post in self._posts.values()])
        for post in self._posts.values():
            self._set_out(post)
        return self

    async def __aexit__(self, *_: object) -> None:
        """End all sessions politely: each says goodbye, as far as its server lets it. The next patrol repeats them."""
        self._is_over = True
        under_way = [post for post in self._posts.values() if post.running is not None]
        for post in under_way:
            post.course.broken_off = True
            post.course.turns.hurry(self.workshop.kit.clock())
        await _cancelled([*self._walks, *(post.running for post in under_way if post.running is not None)])

    async def settled(self) -> None:
        """Return when all that the patrol before this one broke off is repeated, or has had the time to be.

        Else reloads that come faster than a session takes would leave no verdict at all.
        """
        clock = self.workshop.kit.clock
        begin = [self._room_at(post) for post in self._owed if post.running is None]
        limit = max([clock(), *begin]) + self._longest + FAILING
        while self._owed and clock() < limit:  # noqa: ASYNC110 - few wait for it, and not for long
            await asyncio.sleep(0.05)

    @property
    def owes(self) -> int:
        """Sessions that the patrol before this one broke off, and that are not repeated yet."""
        return len(self._owed)

    @property
    def _owed(self) -> list[Post]:
        return [post for post in self._posts.values() if post.course.broken_off]

    @property
    def under_way(self) -> int:
        """Sessions that are open, or whose lines are looked for."""
        return sum(post.running is not None for post in self._posts.values())

    def stuck(self, now: float) -> tuple[EndpointName, ...]:
        """Endpoints that do not have their turns, which is a bug of ours."""
        return tuple(name for name, post in self._posts.items() if now > post.course.turns.due + post.bound)

    @property
    def slowed(self) -> tuple[tuple[EndpointName, float], ...]:
        """Endpoints whose budget does not last for all their turns, and the seconds between two sessions instead."""
        paces = ((name, self._pace(post.course)) for name, post in self._posts.items())
        return tuple((name, pace) for name, pace in paces if pace > self._interval * (1 + self._jitter))

    @property
    def bugs(self) -> tuple[tuple[EndpointName, str], ...]:
        """Endpoints whose latest session failed by a bug of ours, so that their last verdict grows old."""
        return tuple((name, post.course.bug) for name, post in self._posts.items() if post.course.bug)

    async def ask(self, name: EndpointName, *, seconds: float) -> Asked:
        """A session for somebody who waits at most so long; the one under way, or a new one if the budget has room."""
        if self._is_over:
            return Asked(refusal="the configuration is being read again, or the daemon ends", retry_after=1.0)
        post = self._posts.get(name)
        if post is None:
            return Asked(refusal=f"{name} is not in the configuration")
        now, budgets = self.workshop.kit.clock(), self._learnt.budgets
        if post.running is None and not budgets.take(name, post.needs, now):
            return self._without_room(name, budgets.room_at(name, post.needs, now) - now)
        session = self._session(post)
        await asyncio.wait([session], timeout=seconds)
        if not session.done():
            return self._unfinished(name, f"{seconds:.1f} s")
        if session.cancelled():
            refusal = f"the session to {name} was broken off, for the daemon ends or reads its configuration again"
            return Asked(refusal=refusal, retry_after=1.0)
        return Asked(result=session.result())

    def _unfinished(self, name: EndpointName, limit: str) -> Asked:
        """What is known of a session when time is up; it goes on, and the ledger gets what it comes to."""
        session = self.workshop.closed.get(name)
        if session is not None:
            why = f"time was up after {limit}, while its evidence was still looked for"
            return Asked(result=so_far(session, self.workshop.networks, why), unfinished=why)
        if name in self.workshop.looked_up:
            return Asked(unfinished=f"time was up after {limit}, while its host was still looked up")
        if name in self.workshop.underway:
            return Asked(unfinished=f"time was up after {limit}, while the session was still open")
        return Asked(refusal=f"no session to {name} began within {limit}, for many others are under way")

    def _without_room(self, name: EndpointName, wait: float) -> Asked:
        account = self._ledger.accounts.get(name)
        latest = account.latest if account else None
        if latest is not None and self.workshop.kit.clock() - latest.session.closed < self._interval:
            return Asked(result=latest, fresh=False, retry_after=wait)
        refusal = f"schedule.max_sessions_per_minute is spent for {name}; there is room again in {wait:.0f} s"
        return Asked(refusal=refusal, retry_after=wait)

    def _pace(self, course: Course) -> float:
        """Seconds between two sessions that take as many connections as the last one, so that their budget lasts."""
        return self._learnt.budgets.pace(course.connections, course.beats)

    def _set_out(self, post: Post) -> None:
        walk = asyncio.create_task(self._walk(post), name=f"walk of {post.endpoint.name}")
        self._walks.add(walk)
        walk.add_done_callback(partial(self._came_back, post))

    def _came_back(self, post: Post, walk: asyncio.Task[None]) -> None:
        """No walk ends before its patrol; where one was ended all the same, it is told, and another one sets out."""
        self._walks.discard(walk)
        if self._is_over:
            return
        error = asyncio.CancelledError("somebody ended its turns") if walk.cancelled() else walk.exception()
        tell_bug(error or RuntimeError("its turns ended"), endpoint=str(post.endpoint.name))
        self._set_out(post)

    async def _walk(self, post: Post) -> None:
        clock = self.workshop.kit.clock
        while True:
            try:
                await _sleep(post.course.turns.due - clock())
                await self._until_room(post)
                await asyncio.shield(self._session(post))
            except (Exception, asyncio.CancelledError) as error:  # rule 3
                if _is_ending():
                    raise
                post.course.bug = f"{type(error).__name__}: {error}"
                tell_bug(error, endpoint=str(post.endpoint))
                await asyncio.sleep(BREATHER)
            self._go_on(post)

    def _go_on(self, post: Post) -> None:
        """The turn has had its session; turns that were missed meanwhile are told."""
        post.course.broken_off = False
        turns, random = post.course.turns, self.workshop.random
        missed = turns.missed
        turns.go_on(self.workshop.kit.clock(), random.uniform(-self._jitter, self._jitter) * self._interval)
        self._ledger.miss(post.endpoint.name, turns.missed - missed)

    def _rested_at(self, post: Post) -> float:
        """The first moment at which its next session keeps to the pace for which its budgets last."""
        now, course = self.workshop.kit.clock(), post.course
        beats_at = self._learnt.budgets.beats_at(post.endpoint.name, now, course.beats)
        return max(course.last + self._pace(course), beats_at)

    def _room_at(self, post: Post) -> float:
        """When its next session is likely to begin."""
        now, budgets = self.workshop.kit.clock(), self._learnt.budgets
        return max(self._rested_at(post), budgets.room_at(post.endpoint.name, post.needs, now))

    async def _until_room(self, post: Post) -> None:
        """Wait until there is room, and take it; or until a session that somebody asked for is under way."""
        clock, budgets, who = self.workshop.kit.clock, self._learnt.budgets, post.endpoint.name
        await _sleep(self._rested_at(post) - clock())
        with budgets.in_line(who, post.needs):
            while post.running is None and not budgets.take(who, post.needs, clock()):
                now = clock()
                await _sleep(budgets.room_at(who, post.needs, now) - now)

    def _session(self, post: Post) -> asyncio.Task[Result]:
        """The session under way, or a new one."""
        if post.running is None:
            post.running = asyncio.create_task(self._probe(post))
            post.running.add_done_callback(partial(self._ended, post))
        return post.running

    async def _probe(self, post: Post) -> Result:
        course, began = post.course, self.workshop.kit.clock()
        try:
            course.last = began
            self._forget()
            self.workshop.begin([post.endpoint])
            result = await probe_endpoint(post.endpoint, self.workshop, self._learnt.ours)
            course.connections, course.bug = result.session.connections, ""
            course.last = result.session.opened  # it may have waited for a place
            course.beats = result.beats
            self._ledger.record(result)
            return result
        finally:
            self._leave(post)

    def _leave(self, post: Post) -> None:
        post.running = None
        self._learnt.budgets.let_go(post.endpoint.name)

    def _ended(self, post: Post, task: asyncio.Task[Result]) -> None:
        """What a session failed with is told by its walk, or by whoever asked. One broken off may not have begun."""
        if post.running is task:
            self._leave(post)
        if not task.cancelled():
            task.exception()

    def _forget(self) -> None:
        """Let go of sessions of which no line can come any more."""
        self._learnt.ours.forget(self.workshop.kit.clock() - 2 * self._longest)


def courses(
    endpoints: Sequence[Endpoint], known: dict[Endpoint, Course], interval: float, now: float
) -> dict[EndpointName, Course]:
    """Endpoints that stay go on as `known`; turns begin now for all others, and where the interval is another one."""
    identities = {one.name: one.identity for one in endpoints}
    begin = [one for one in identities.values() if one not in known or known[one].turns.interval != interval]
    for one, anchor in zip(begin, anchors(len(begin), interval, now), strict=True):
        turns = Turns(anchor=anchor, interval=interval)
        known[one] = replace(known[one], turns=turns) if one in known else Course(turns=turns)
    return {name: known[one] for name, one in identities.items()}


def _is_ending() -> bool:
    """True if it is this very task that was cancelled; a session may end in a cancellation that nobody asked for."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


async def _sleep(seconds: float) -> None:
    if seconds > 0:
        await asyncio.sleep(seconds)


async def _cancelled(tasks: Iterable[asyncio.Task[object]]) -> None:
    waited_for = list(tasks)
    for task in waited_for:
        task.cancel()
    await asyncio.gather(*waited_for, return_exceptions=True)
