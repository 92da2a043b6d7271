"""Rounds of beats, shared by all sessions that go the same way in: what one of them opens, all of them may look for.

    session ──no line is certain──▶ a round of BEATS ──▶ beats since each session opened ──▶ its rhythm

Rules of this file:
- One way in (model.WayIn) to one address: nothing on the network can tell a beat of one endpoint from that of another
  there. Behind another address of the same name may be another server, or another node that masks.
- A session looks only for beats that were opened after it: every stroke of a rhythm must have its line.
- One round at a time on a way, and a pause after it; whoever asks meanwhile waits for that one.
- Each round is opened within the budgets of beats (budget.py), at the cost of the endpoint that asked first.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Collection
from dataclasses import dataclass, field, replace
from math import inf

from probe.model import Beat, Clock, Endpoint, IdMoment, WayIn
from probe.service.budget import BEATS, Budgets

KEPT = 64
"""The latest beats on a way that are kept: those of more rounds than there can be while a session is looked for."""

APART = 1.5
"""Seconds from the end of one round to the next on the same way."""

FORGOTTEN = 86_400.0
"""Seconds after a round in which no session is looked for any more that began before it; names may go on to ever new
addresses."""


@dataclass(slots=True)
class _Way:
    beats: deque[Beat] = field(default_factory=lambda: deque(maxlen=KEPT))
    ended: float = -inf
    under_way: asyncio.Event | None = None


class Rhythms:
    """All rounds of one daemon, by the way in."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._ways: dict[WayIn, _Way] = {}

    def since(self, endpoint: Endpoint, moment: float) -> tuple[Beat, ...]:
        """Beats on the way of this endpoint whose connections came in after a moment."""
        beats = self._ways.get(endpoint.way_in, _Way()).beats
        return tuple(beat for beat in beats if beat.id_moments[IdMoment.ACCEPTED].start > moment)

    def next_at(self, endpoint: Endpoint, now: float, budgets: Budgets) -> float:
        """When there may be another round on this way; now, if one is under way that can be waited for."""
        way = self._ways.get(endpoint.way_in, _Way())
        if way.under_way is not None:
            return now
        return max(budgets.beats_at(endpoint.name, now, BEATS), way.ended + APART)

    async def round(self, endpoint: Endpoint, budgets: Budgets, beat: Callable[[], Awaitable[Beat | None]]) -> None:
        """Open a round of beats, or wait for the one that is under way."""
        way = self._ways.setdefault(endpoint.way_in, _Way())
        if way.under_way is not None:
            await way.under_way.wait()
            return
        way.under_way = asyncio.Event()
        budgets.opened_beats(endpoint.name, self._clock(), BEATS)
        try:
            opened = await asyncio.gather(*(beat() for _ in range(BEATS)))
            way.beats.extend(one for one in opened if one is not None)
        finally:
            way.under_way.set()
            way.under_way = None
            way.ended = self._clock()
            self._keep(lambda _, one: one.under_way is not None or one.ended > way.ended - FORGOTTEN)

    def only(self, ways: Collection[WayIn]) -> None:
        """No other way in is left, to whichever addresses; a round that is under way on one ends all the same."""
        self._keep(lambda way, _: replace(way, at=None) in ways)

    def _keep(self, wanted: Callable[[WayIn, _Way], bool]) -> None:
        self._ways = {way: known for way, known in self._ways.items() if wanted(way, known)}
