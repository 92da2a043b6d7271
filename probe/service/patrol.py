"""Sessions to every endpoint, each on its own turns, for as long as the daemon runs; and those that are asked for.

    Turns ──due──▶ Budget ──room──▶ probe_endpoint ──▶ Ledger
    a question (`/probe`) ──────────▲

Rules of this file:
- Never two sessions at once on one endpoint: whoever comes while one is under way gets that one's result.
- Whatever opens a connection draws on a budget, that of a mailbox which is read back too; a turn waits for room, a
  question does not. Room is taken before a session begins and let go when it has ended.
- A bug of ours ends one session and no patrol: it is told, and the endpoint has its next turn.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import partial
from math import inf

from probe.evidence.ours import Ours
from probe.model import Endpoint, EndpointName, Result
from probe.notices import tell_bug
from probe.service.budget import Needs
from probe.service.cycle import probe_endpoint, so_far
from probe.service.ledger import Ledger
from probe.service.schedule import Turns, anchors
from probe.service.station import Asked
from probe.service.workshop import Workshop
from probe.settings import Settings

SIDE_BY_SIDE = 256
"""Sessions under way at once: so many that a thousand endpoints, all dropped in silence, keep to their turns."""

STUCK = 300.0
"""Seconds after which a turn is overdue, beside all the time that its session may take by its timeouts."""


BREATHER = 0.1
"""Seconds after a bug, so that one in the walk itself takes no processor."""


@dataclass(kw_only=True, slots=True)
class Post:
    """One endpoint on its turns.

    `connections`, `beats`: how many its last session took, `last`: when that one began; `bug`: how it failed by ours.
    `due`: when it has, or had to have, its turn. `owed`: its session was broken off, so that the patrol after this one
    repeats it at once.
    """

    endpoint: Endpoint
    turns: Turns
    connections: int = 1
    beats: int = 0
    last: float = -inf
    bug: str = ""
    due: float = inf
    owed: bool = False
    running: asyncio.Task[Result] | None = field(default=None, repr=False)

    @property
    def needs(self) -> Needs:
        """The connections that the next session is likely to need."""
        mailbox = self.endpoint.mailbox
        read_back = {mailbox.reader.name: 1} if mailbox is not None else {}
        return {self.endpoint.name: self.connections, **read_back}

    @property
    def bound(self) -> float:
        """Seconds that a turn may take, with the wait for room in the budget."""
        limits = self.endpoint.timeouts
        return 4 * (limits.session + limits.evidence) + STUCK


class Patrol:
    """Walks all posts between `async with`; a new patrol takes over the turns of the one before."""

    def __init__(self, settings: Settings, endpoints: Sequence[Endpoint], workshop: Workshop, ledger: Ledger) -> None:
        self.workshop = workshop
        self._ledger = ledger
        self._interval = settings.schedule.interval
        self._jitter = settings.schedule.jitter
        self._others = Ours()
        self._longest = settings.timeouts.session + settings.timeouts.evidence
        self._places = asyncio.Semaphore(SIDE_BY_SIDE)
        self._walks: set[asyncio.Task[None]] = set()
        self._is_over = False
        begin = anchors(len(endpoints), self._interval, workshop.kit.clock())
        self._posts = {
            endpoint.name: Post(endpoint=endpoint, turns=self._turns(anchor))
            for endpoint, anchor in zip(endpoints, begin, strict=True)
        }

    def take_over(self, before: Patrol) -> None:
        """Go on with the turns of endpoints that stay, where the interval stays, and with what is known of them."""
        self.workshop.take_over(before.workshop)
        for name, post in self._posts.items():
            known = before._posts.get(name)
            if known is not None:
                post.connections, post.beats, post.last = known.connections, known.beats, known.last
                post.owed = known.owed
                if known.turns.interval == self._interval:
                    post.turns = known.turns

    async def __aenter__(self) -> Patrol:
        self.workshop.begin([post.endpoint for post in self._posts.values()])
        for post in self._posts.values():
            self._set_out(post)
        return self

    async def __aexit__(self, *_: object) -> None:
        """End all sessions politely: each says goodbye, as far as its server lets it."""
        self._is_over = True
        for post in self._posts.values():
            post.owed = post.running is not None
        running = [post.running for post in self._posts.values() if post.running is not None]
        await _cancelled([*self._walks, *running])

    @property
    def under_way(self) -> int:
        """Sessions that are open, or whose lines are looked for."""
        return sum(post.running is not None for post in self._posts.values())

    def stuck(self, now: float) -> tuple[EndpointName, ...]:
        """Endpoints that do not have their turns, which is a bug of ours."""
        return tuple(name for name, post in self._posts.items() if now > post.due + post.bound)

    @property
    def slowed(self) -> tuple[tuple[EndpointName, float], ...]:
        """Endpoints whose budget does not last for all their turns, and the seconds between two sessions instead."""
        paces = ((name, self.workshop.budgets.pace(post.connections, post.beats)) for name, post in self._posts.items())
        return tuple((name, pace) for name, pace in paces if pace > self._interval * (1 + self._jitter))

    @property
    def bugs(self) -> tuple[tuple[EndpointName, str], ...]:
        """Endpoints whose latest session failed by a bug of ours, so that their last verdict grows old."""
        return tuple((name, post.bug) for name, post in self._posts.items() if post.bug)

    async def ask(self, name: EndpointName, *, seconds: float) -> Asked:
        """A session for somebody who waits at most so long; the one under way, or a new one if the budget has room."""
        post = self._posts.get(name)
        if post is None:
            return Asked(refusal=f"{name} is not in the configuration")
        now, budgets = self.workshop.kit.clock(), self.workshop.budgets
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

    def _turns(self, anchor: float) -> Turns:
        return Turns(anchor=anchor, interval=self._interval, jitter=self._jitter, random=self.workshop.random)

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
                post.due = clock() if post.owed else self._next(post)
                post.owed = False
                await _sleep(post.due - clock())
                await self._until_room(post)
                await asyncio.shield(self._session(post))
            except (Exception, asyncio.CancelledError) as error:  # rule 3
                if _is_ending():
                    raise
                post.bug = f"{type(error).__name__}: {error}"
                tell_bug(error, endpoint=str(post.endpoint))
                await asyncio.sleep(BREATHER)

    def _next(self, post: Post) -> float:
        """When the next session is due; turns that were missed since the last one are told."""
        missed = post.turns.missed
        due = post.turns.next(self.workshop.kit.clock())
        self._ledger.miss(post.endpoint.name, post.turns.missed - missed)
        return due

    async def _until_room(self, post: Post) -> None:
        """Wait until there is room, and take it; or until a session that somebody asked for is under way."""
        clock, budgets, who = self.workshop.kit.clock, self.workshop.budgets, post.endpoint.name
        rested = post.last + budgets.pace(post.connections, post.beats)
        await _sleep(max(rested, budgets.beats_at(who, clock(), post.beats)) - clock())
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
        try:
            async with self._places:
                post.last = self.workshop.kit.clock()
                self._forget()
                self.workshop.begin([post.endpoint])
                result = await probe_endpoint(post.endpoint, self.workshop, self._others)
            post.connections, post.bug = result.session.connections, ""
            post.beats = self.workshop.budgets.beats_since(post.endpoint.name, post.last)
            self._ledger.record(result)
            return result
        finally:
            self._leave(post)

    def _leave(self, post: Post) -> None:
        post.running = None
        self.workshop.budgets.let_go(post.endpoint.name)

    def _ended(self, post: Post, task: asyncio.Task[Result]) -> None:
        """What a session failed with is told by its walk, or by whoever asked. One broken off may not have begun."""
        if post.running is task:
            self._leave(post)
        if not task.cancelled():
            task.exception()

    def _forget(self) -> None:
        """Let go of sessions of which no line can come any more."""
        self._others.forget(self.workshop.kit.clock() - 2 * self._longest)


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
