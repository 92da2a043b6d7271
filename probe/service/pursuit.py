"""The search for one session, in time: until it is settled, its time is over, or nothing could tell any more.

Where lines came that may be the session's but none is certain, a few more connections (beats) are opened at secret
distances: a server that repeats them names ours. Rule: a line that fits is worth nothing while a rival of it may
still be on its way, not even at the deadline.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace

from probe.evidence.bearing import keys_of_session
from probe.evidence.correlate import Search, search
from probe.evidence.health import troubles
from probe.evidence.ours import Ours
from probe.evidence.reply import client_in_reply
from probe.evidence.scene import SETTLE, Scene
from probe.model import Beat, Endpoint, Evidence, Failure, ImprintKind, Link, Phase, Service, Session, Sighting
from probe.service.workshop import Workshop
from probe.sessions.open import open_beat

BREATH = 0.001
PATIENT = 8
"""The longer a search lasts, the more there is to look through: not more often than in this share of its time."""

BEATS_AT_ONCE = 4
ROUNDS_OF_BEATS = 3

BEFORE_BEATS = 0.7
"""Seconds without a certain line before beats are opened, and after the last beat before the next ones are."""


@dataclass(frozen=True, slots=True)
class Pursued:
    """A session, with its beats, and what was found of it.

    `undecided`: lines came that may be the session's, and not even a rhythm could tell which.
    """

    session: Session
    evidence: Evidence
    undecided: bool = False


async def pursue(session: Session, endpoint: Endpoint, workshop: Workshop, others: Ours) -> Pursued:
    """Look for a session beside others of ours, in its replies and in the servers' logs."""
    replies = from_replies(session) if workshop.read_replies else ()
    if endpoint.imprint is ImprintKind.NONE and session.fault is None:
        reasons = ("`imprint: none` leaves nothing to look for",)
        return Pursued(session, Evidence(sightings=replies, reasons=reasons))
    if not workshop.watch.sources and not replies and session.delivery is None and session.fault is None:
        return Pursued(session, Evidence(reasons=("no evidence source is configured",)))
    pursued = await _Pursuit(session, endpoint, workshop, others).run(once=bool(replies))
    sightings = (*replies, *pursued.evidence.sightings)
    # Without sources only the message, which is looked for first, could tell.
    told = pursued.evidence.reasons if workshop.watch.sources else pursued.evidence.reasons[:1]
    if not sightings and session.fault is None:
        heard = workshop.watch.heard(workshop.clocks)
        told += tuple(troubles(session, heard, workshop.watch.since(session.opened), endpoint.timeouts.evidence))
    evidence = replace(pursued.evidence, sightings=sightings, reasons=told)
    return replace(pursued, evidence=evidence, undecided=pursued.undecided and not sightings)


class _Pursuit:
    """How far the search is: the session with the beats it has so far, and how long it may still take."""

    def __init__(self, session: Session, endpoint: Endpoint, workshop: Workshop, others: Ours) -> None:
        self._session = session
        self._endpoint = endpoint
        self._workshop = workshop
        self._others = others
        self._deadline = session.closed + _patience(session, endpoint, workshop)
        self._beats_from = workshop.kit.clock() + BEFORE_BEATS
        self._rounds_left = ROUNDS_OF_BEATS if session.service is Service.IMAPS and session.fault is None else 0

    async def run(self, *, once: bool) -> Pursued:
        """Search until it is over; only once where the session is proven already."""
        with self._workshop.watch.on_the_lookout(keys_of_session(self._session)) as told:
            while True:
                told.clear()
                now = self._workshop.kit.clock()
                found = search(self._session, self._scene(now))
                if once or self._is_over(found, now):
                    self._workshop.remember(found.clocks)
                    return Pursued(self._session, found.evidence, self._is_undecided(now))
                if self._calls_for_beats(found, now):
                    await self._open_beats()
                else:
                    await self._wait(told, found, now)

    async def _wait(self, told: asyncio.Event, found: Search, now: float) -> None:
        """Until there is something to look at: a line that bears on the session, or a moment that decides."""
        seconds = max(self._decides(found, now) - now, BREATH)
        if self._session.service is Service.IMAPS:  # every login bears on it
            breath = min(seconds, (now - self._session.closed) / PATIENT)
            await asyncio.sleep(breath)
            seconds -= breath
        await self._workshop.watch.wait(told, seconds)

    def _decides(self, found: Search, now: float) -> float:
        """The next moment at which time alone may decide. What is known of clocks may change unseen: look at times."""
        if self._is_open(found):
            return found.settles
        if self._session.fault is not None:
            return self._deadline
        again = now + max(SETTLE / 4, (now - self._session.closed) / 2)
        return min(moment for moment in (self._deadline, self._beats_from, again) if moment > now)

    def _scene(self, now: float) -> Scene:
        workshop = self._workshop
        return workshop.scene(self._session, self._others, now)

    def _is_over(self, found: Search, now: float) -> bool:
        if self._is_open(found):
            return False
        settled = found.settled and self._session.fault is None
        return settled or self._is_undecided(now) or now >= self._deadline

    def _is_undecided(self, now: float) -> bool:
        return bool(self._session.beats) and not self._rounds_left and now >= self._beats_from

    def _is_open(self, found: Search) -> bool:
        """A line fits, and a rival of it may be on its way. Of a failed session only fault lines are waited for."""
        return bool(found.evidence.sightings) and not found.settled and self._session.fault is None

    def _calls_for_beats(self, found: Search, now: float) -> bool:
        return bool(self._rounds_left and found.candidates) and now >= self._beats_from and not self._is_open(found)

    async def _open_beats(self) -> None:
        self._rounds_left -= 1
        self._workshop.progress(self._endpoint, "rhythm")
        opened = await asyncio.gather(*(self._beat() for _ in range(BEATS_AT_ONCE)))
        beats = (beat for beat in opened if beat is not None)
        self._session = replace(self._session, beats=(*self._session.beats, *beats))
        self._beats_from = self._workshop.kit.clock() + BEFORE_BEATS
        self._deadline = max(self._deadline, self._beats_from + SETTLE)

    async def _beat(self) -> Beat | None:
        await self._workshop.own_moment(self._endpoint)
        return await open_beat(self._endpoint, self._workshop.kit)


def _patience(session: Session, endpoint: Endpoint, workshop: Workshop) -> float:
    """How long to wait: a failed session only for fault lines, one without sources not at all."""
    fault = session.fault
    if not workshop.watch.sources:
        return 0.0
    if fault is None:
        return endpoint.timeouts.evidence
    reached = fault.phase not in (Phase.RESOLVE, Phase.CONNECT) and fault.failure is not Failure.VANTAGE
    return SETTLE if reached else 0.0


def from_replies(session: Session) -> tuple[Sighting, ...]:
    """Sightings in what the server told us itself; the session is its own link."""
    found = {}
    for spoken in session.transcript:
        if not spoken.ours and spoken.whole and (client := client_in_reply(spoken.text)) is not None:
            found[client.address] = Sighting(
                address=client.address,
                port=client.port,
                link=Link.REPLY,
                source="reply",
                at=session.opened + spoken.seconds,
                line=spoken.text,
            )
    return tuple(found.values())
