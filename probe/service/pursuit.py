"""The search for one session, in time: until it is settled, its time is over, or nothing could tell any more.

Where lines came that may be the session's but none is certain, a few more connections (beats) are opened at secret
distances: a server that repeats them names ours.

Rules of this file:
- A line that fits is worth nothing while a rival of it may still be on its way, not even at the deadline.
- Where no source can bring a line (deaf), and still none can at a second look, nothing is waited for.
- Beats are the last resort: where the server's clock is known, and lines come so thinly that time alone will tell soon,
  it is waited for. They have bounds (budget.py), so they may be put off, and it is said.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace
from math import inf

from probe.evidence.bearing import keys_of_session
from probe.evidence.correlate import Search, search
from probe.evidence.health import to_mend, troubles
from probe.evidence.ours import Ours
from probe.evidence.reply import client_in_reply
from probe.evidence.scene import SETTLE, Scene
from probe.model import (
    Beat,
    Endpoint,
    Evidence,
    Failure,
    IdMoment,
    ImprintKind,
    Link,
    Phase,
    Service,
    Session,
    Sighting,
)
from probe.service.budget import BEATS
from probe.service.clock import slept_of
from probe.service.rhythms import APART
from probe.service.workshop import Workshop
from probe.sessions.bound import STOOD_STILL

BREATH = 0.001
PATIENT = 8
"""The longer a search lasts, the more there is to look through: not more often than in this share of its time."""

ROUNDS_OF_BEATS = 3

BEFORE_BEATS = (0.7, 1.5, 3.5, 8.0)
"""Seconds without a certain line before the first beats are opened, then after those of each round; where lines come
more slowly, as long as they take. They grow, for nothing tells that lines do not come more slowly than they did: no
time stamp, whose clock or zone may be another, and no other source."""

FIRST_BEATS_BY = 1 / 3
"""Share of `timeouts.evidence` after which the first beats are opened, however late lines come."""

ROUNDS_TAKE = 20.0
"""Seconds within which rounds, and another session, may begin where `timeouts.evidence` is less."""

TIME_IS_WAITED_FOR = 0.5
"""Share of `timeouts.evidence`, and of the interval, within which a line must be told by time, or beats are opened
meanwhile: the next turn waits for the search."""

SECOND_LOOK = 1.0
"""Seconds after a session for which sources must have been deaf, without a break, to be given up."""

PUT_OFF = "no more beats were opened for a rhythm, for as many as are allowed in a minute were opened already"


@dataclass(frozen=True, slots=True)
class Pursued:
    """A session, with its beats, and what was found of it.

    `undecided`: lines came that may be the session's, and not even a rhythm could tell which, or nothing tells yet by
    which clock they are stamped. Another session may, from `again_at` on. `crowded`: because another line lies too near
    to its own, which is known soon.
    """

    session: Session
    evidence: Evidence
    undecided: bool = False
    crowded: bool = False
    strayed: bool = False
    again_at: float = -inf


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
    mend: tuple[str, ...] = ()
    if not sightings and session.fault is None:
        heard, since = workshop.watch.heard(workshop.learnt.clocks), workshop.watch.since(session.opened)
        told = (*troubles(session, heard, since, endpoint.timeouts.evidence), *told)
        mend = tuple(to_mend(session, heard, since))
    evidence = replace(pursued.evidence, sightings=sightings, reasons=told, to_mend=mend)
    undecided = pursued.undecided and not sightings
    crowded, strayed = undecided and pursued.crowded, undecided and pursued.strayed
    return replace(pursued, evidence=evidence, undecided=undecided, crowded=crowded, strayed=strayed)


class _Pursuit:
    """How far the search is: the session with the beats it has so far, and how long it may still take."""

    def __init__(self, session: Session, endpoint: Endpoint, workshop: Workshop, others: Ours) -> None:
        self._session = session
        self._endpoint = endpoint
        self._workshop = workshop
        self._others = others
        self._deadline = session.closed + _patience(session, endpoint, workshop)
        self._rounds_end = max(self._deadline, session.closed + ROUNDS_TAKE)
        self._deaf = workshop.watch.deaf
        self._all_opened = workshop.kit.clock()
        longest = min(endpoint.timeouts.evidence, endpoint.pace.interval)
        self._time_tells_by = session.closed + TIME_IS_WAITED_FOR * longest
        self._rounds_left = ROUNDS_OF_BEATS if session.service is Service.IMAPS and session.fault is None else 0

    async def run(self, *, once: bool) -> Pursued:
        """Search until it is over; only once where the session is proven already."""
        with self._workshop.watch.on_the_lookout(keys_of_session(self._session)) as told:
            while True:
                told.clear()
                self._deaf = self._deaf and self._workshop.watch.deaf
                now = self._workshop.kit.clock()
                found = search(self._session, self._scene(now))
                if once or self._is_over(found, now):
                    self._workshop.remember(found.clocks)
                    return self._pursued(found, now)
                if self._calls_for_beats(found, now):
                    await self._more_beats(found)
                else:
                    await self._wait(told, found, now)

    def _pursued(self, found: Search, now: float) -> Pursued:
        """A log whose clock is not known yet, as after a start, costs no verdict: another session's lines tell it.

        Not one that would send another message.
        """
        undated = found.dated_from > -inf and self._session.fault is None and self._session.delivery is None
        told = self._told(found, now)
        has_all_rounds = self._is_undecided(found, now)
        return Pursued(
            self._session,
            told,
            undecided=undated or found.crowded or (has_all_rounds and now < self._rounds_end),
            crowded=found.crowded,
            strayed=found.strayed,
            again_at=found.dated_from,
        )

    async def _wait(self, told: asyncio.Event, found: Search, now: float) -> None:
        """Until there is something to look at: a line that bears on the session, or a moment that decides.

        While this process or its machine stood still no line could come: that time is none of the search's
        (sessions/bound.py), and what lies in the log then is looked at first.
        """
        seconds = max(self._decides(found, now) - now, BREATH)
        until = self._passing() + seconds
        if self._session.service is Service.IMAPS:  # every login bears on it
            breath = min(seconds, (now - self._session.closed) / PATIENT)
            await asyncio.sleep(breath)
            seconds -= breath
        await self._workshop.watch.wait(told, seconds)
        late = self._passing() - until
        if late > STOOD_STILL:
            again = self._workshop.kit.clock() + SECOND_LOOK
            self._deadline = max(self._deadline + late, again)
            self._rounds_end = max(self._rounds_end + late, again)

    def _passing(self) -> float:
        """The event loop's time, with what the machine has slept."""
        return asyncio.get_running_loop().time() + slept_of(self._workshop.kit.clock)

    def _decides(self, found: Search, now: float) -> float:
        """The next moment at which time alone may decide. What is known of clocks may change unseen: look at times."""
        if self._is_open(found):
            return found.settles
        if self._session.fault is not None:
            return self._deadline
        again = now + max(SETTLE / 4, (now - self._session.closed) / 2)
        moments = (self._deadline, self._beats_due(found, now), found.tells, again)
        return min(moment for moment in moments if moment > now)

    def _scene(self, now: float) -> Scene:
        workshop = self._workshop
        return workshop.scene(self._session, self._others, now)

    def _is_over(self, found: Search, now: float) -> bool:
        """Each row says whose verdict is lost by ending there."""
        return not self._is_open(found) and (
            (found.settled and self._session.fault is None)  # nobody's: nothing that may come changes it
            or (self._deaf and now >= self._session.closed + SECOND_LOOK)  # nobody's: no source can bring a line
            or (found.crowded and found.tells > self._time_tells_by)  # nobody's: another session tells sooner
            or self._is_undecided(found, now)  # of a line that comes after the last round
            or (now >= self._deadline and not self._awaits_beats(found, now))  # of one later than timeouts.evidence
        )

    def _is_undecided(self, found: Search, now: float) -> bool:
        return bool(self._session.beats) and not self._rounds_left and now >= self._beats_from(found)

    def _is_open(self, found: Search) -> bool:
        """A line fits, and a rival of it may be on its way. Of a failed session only fault lines are waited for."""
        return bool(found.evidence.sightings) and not found.settled and self._session.fault is None

    def _calls_for_beats(self, found: Search, now: float) -> bool:
        return self._awaits_beats(found, now) and not self._is_open(found) and now >= self._beats_due(found, now)

    def _awaits_beats(self, found: Search, now: float) -> bool:
        """Whether a round is due so soon after the time is over that it is worth the wait: a pause costs no verdict."""
        is_wanted = bool(self._rounds_left and found.candidates)
        return is_wanted and self._beats_due(found, now) <= self._rounds_end + 2 * APART

    def _beats_due(self, found: Search, now: float) -> float:
        """When the next round of beats is due, and may be opened; or is there, for others opened it."""
        wished = self._beats_from(found)
        if wished < found.tells <= self._time_tells_by:
            wished = found.tells
        return wished if self._others_beats() else max(wished, self._workshop.beats_at(self._endpoint, now))

    async def _more_beats(self, found: Search) -> None:
        self._rounds_left -= 1
        self._workshop.progress(self._endpoint, "rhythm")
        if not self._others_beats():
            await self._workshop.more_beats(self._endpoint)
        beats, now = self._beats(), self._workshop.kit.clock()
        self._session = replace(self._session, beats=beats)
        self._all_opened = beats[-1].id_moments[IdMoment.NEEDED].end if beats else now
        self._deadline = max(self._deadline, self._beats_from(found) + SETTLE)

    def _beats_from(self, found: Search) -> float:
        """When all lines of what was opened should be there, as sources that bring any were of late; in bounds."""
        lags = self._workshop.learnt.lags
        late = min((max(lags[source]) + SETTLE for source in found.sources if source in lags), default=0.0)
        least = BEFORE_BEATS[0 if found.shown else ROUNDS_OF_BEATS - self._rounds_left]
        share = 1.0 if self._session.beats else FIRST_BEATS_BY
        most = max(BEFORE_BEATS[0], share * self._endpoint.timeouts.evidence)
        return self._all_opened + min(max(late, least), most)

    def _beats(self) -> tuple[Beat, ...]:
        """One round more of the beats on this session's way in, of those after it; few first, as each may fail."""
        beats = self._workshop.learnt.rhythms.since(self._endpoint, self._session.opened)
        return beats[: len(self._session.beats) + BEATS]

    def _others_beats(self) -> bool:
        """Whether there is a whole round more already, for other sessions opened it."""
        return len(self._beats()) == len(self._session.beats) + BEATS

    def _told(self, found: Search, now: float) -> Evidence:
        """What was found, and that a rhythm was put off where nothing was."""
        put_off = self._rounds_left and found.candidates and self._workshop.beats_at(self._endpoint, now) > now
        if not put_off or found.evidence.sightings:
            return found.evidence
        return replace(found.evidence, reasons=(*found.evidence.reasons, PUT_OFF))


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
