"""What every session of the probe works with, one round after another."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from math import inf
from random import Random
from typing import TYPE_CHECKING

from probe.evidence.ours import Ours
from probe.evidence.scene import Clocks, Scene
from probe.model import Beat, Endpoint, EndpointName, Evidence, ImprintKind, Link, Networks, Service, Session
from probe.service.clock import shift_of
from probe.service.learnt import Learnt
from probe.service.logins import LoginCount
from probe.service.spacing import SPACING
from probe.service.survey import Survey
from probe.service.watch import Watch
from probe.sessions.lookup import LookedUp, look_up
from probe.sessions.open import Kit, open_beat

if TYPE_CHECKING:
    from probe.service.trust import TrustChecks

HURRY = 0.5
"""Seconds for which the sources hurry after an IMAPS connection is opened: longer than most of them last."""

SHARED = 1.0
"""Seconds for which a look around the cluster is fresh enough for sessions that begin after it."""

LATEST = 5
"""Sessions of ours by whose lines it is known how late those of a source come."""

SIDE_BY_SIDE = 1_024
"""Sessions with open connections at once: so many that a thousand endpoints that all accept and say nothing have one
each, and a scrape that waits for it hears of it. Lookups and beats are none of them, for they have bounds of their own
(sessions/lookup.py, budget.py)."""

Progress = Callable[[Endpoint, str], None]


def quiet(_: Endpoint, __: str) -> None:
    """A progress display that shows nothing."""


@contextmanager
def _among(names: list[EndpointName], endpoint: Endpoint) -> Iterator[None]:
    """The endpoint is among them as long as this lasts; as often as it is so at once."""
    names.append(endpoint.name)
    try:
        yield
    finally:
        names.remove(endpoint.name)


@dataclass(kw_only=True)
class Workshop:
    """Everything that rounds of one configuration work with. What is to outlive it is in `learnt`.

    `looked_up`: endpoints whose hosts are looked up, `underway`: those whose sessions are open, `closed`: sessions that
    are over and not judged yet.
    """

    kit: Kit
    watch: Watch
    random: Random
    networks: Networks
    learnt: Learnt
    survey: Survey = field(default_factory=Survey)
    logins: LoginCount = field(default_factory=LoginCount)
    trust: TrustChecks | None = None
    read_replies: bool = True
    progress: Progress = quiet
    looked: float = -inf
    looked_up: list[EndpointName] = field(default_factory=list)
    underway: list[EndpointName] = field(default_factory=list)
    closed: dict[EndpointName, Session] = field(default_factory=dict)
    places: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(SIDE_BY_SIDE))

    def begin(self, endpoints: Sequence[Endpoint]) -> None:
        """Sessions to these endpoints begin: look around the cluster, and at the count of logins, beside them.

        The daemon's sessions begin all the time; they share what was looked up less than SHARED seconds ago.
        """
        now = self.kit.clock()
        if now < self.looked + SHARED:
            return
        self.looked = now
        self.survey.begin(endpoints)
        self.logins.begin()

    def take(self, endpoint: Endpoint) -> bool:
        """Whether the endpoint's budget allows one more connection now; then room for it is held."""
        return self.learnt.budgets.take(endpoint.name, {endpoint.name: 1}, self.kit.clock())

    def spend(self, endpoint: Endpoint, *, by: Endpoint | None = None) -> None:
        """A connection was opened to this endpoint, or is about to be, for a session to it or to another one."""
        self.learnt.budgets.opened(endpoint.name, self.kit.clock(), by=(by or endpoint).name)

    def beats_at(self, endpoint: Endpoint, now: float) -> float:
        """When a round of beats may be opened on this endpoint's way in."""
        return self.learnt.rhythms.next_at(endpoint, now, self.learnt.budgets)

    async def more_beats(self, endpoint: Endpoint) -> None:
        """Open a round of beats, or wait for one on the same way in."""
        await self.learnt.rhythms.round(endpoint, self.learnt.budgets, lambda: self._beat(endpoint))

    async def _beat(self, endpoint: Endpoint) -> Beat | None:
        await self.own_moment(endpoint)
        return await open_beat(endpoint, self.kit)

    def scene(self, session: Session, others: Ours, now: float) -> Scene:
        """All that a search for this session may look at now."""
        watch = self.watch
        return Scene(
            observed=watch.since(session.opened),
            others=others,
            underway=self.underway,
            forgotten_until=watch.forgotten_until,
            clocks=self.learnt.clocks,
            paces=watch.paces,
            zones=watch.zones,
            shift=shift_of(self.kit.clock),
            now=now,
        )

    @asynccontextmanager
    async def fingerprint(self) -> AsyncIterator[list[str]]:
        """Verbs that only this session says so often; where too many are in flight, once there are some left."""
        async with self.learnt.left:
            with self.learnt.fingerprints.draw() as verbs:
                yield verbs

    @asynccontextmanager
    async def place(self, spent: float = 0.0) -> AsyncIterator[Callable[[], None]]:
        """A place for a session's connections, once there is one; left when that is called, or at the end.

        Lines are kept for the session from when it has its place, or began by what it has `spent`, and until the end.
        """
        await self.places.acquire()
        with ExitStack() as held, self.watch.needed_since(self.kit.clock() - spent):
            held.callback(self.places.release)
            yield held.close

    async def look_up(self, endpoint: Endpoint) -> LookedUp:
        """Where the endpoint is. A lookup may hang, and no path that is named by address is to wait for it."""
        with _among(self.looked_up, endpoint):
            return await look_up(endpoint, self.kit.lookups, self.kit.clock)

    def opening(self, endpoint: Endpoint) -> AbstractContextManager[None]:
        """While a session is opened: what a log says of our address meanwhile may be said of it."""
        return _among(self.underway, endpoint)

    def questions(self, endpoint: Endpoint) -> tuple[str, ...]:
        """Verbs that ask a server to tell us our address: DATA out of turn, unless it has told nothing when asked.

        The 503 to it leaves no line in the log, and carries the reject footer where there is one (docs/replies.md).
        """
        asks = (
            self.read_replies
            and endpoint.imprint is ImprintKind.FINGERPRINT
            and self.learnt.tells.get(endpoint.identity, True)
        )
        return ("data",) if asks else ()

    def learn(self, endpoint: Endpoint, session: Session, evidence: Evidence) -> None:
        """Whether the server told us our address when it was asked, and how late its log comes."""
        for sighting in evidence.sightings:
            late = max(0.0, sighting.at - session.closed)
            self.learnt.lags.setdefault(sighting.source, deque(maxlen=LATEST)).append(late)
        if session.fault is None and "data" in session.imprint.tally:
            self.learnt.tells[endpoint.identity] = any(sighting.link is Link.REPLY for sighting in evidence.sightings)

    def remember(self, clocks: Clocks) -> None:
        """What sightings say of the clocks behind the sources, beside what is known of them."""
        for key, offset in clocks.items():
            known = self.learnt.clocks.get(key)
            self.learnt.clocks[key] = known.narrowed(offset) if known else offset

    async def own_moment(self, endpoint: Endpoint) -> None:
        """Wait until a connection can be told from all others of ours by when it comes in (spacing.py).

        SMTP has its fingerprints instead.
        """
        if endpoint.service is not Service.IMAPS:
            return
        now = self.kit.clock()
        await asyncio.sleep(self.learnt.spacing.take(endpoint.host, now, self.random.uniform(*SPACING)) - now)
        self.watch.hurry(HURRY)
