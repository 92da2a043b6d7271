"""One round over all endpoints: open, look for, judge. The way of the data, put together once.

    open_session ──▶ Session ──search──▶ Evidence ──judge──▶ Result
         ▲               │
         └── beats ──────┘   only where lines may be ours but nothing tells which (a rhythm does)

Endpoints go side by side. The wait for evidence ends when the session is settled, or with timeouts.evidence.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from random import Random

from probe.evidence.correlate import Search, search
from probe.evidence.reply import client_in_reply
from probe.evidence.scene import SETTLE, Offset, Scene
from probe.model import (
    Beat,
    Endpoint,
    Evidence,
    Failure,
    ImprintKind,
    Link,
    Naming,
    Networks,
    Phase,
    Result,
    Round,
    Service,
    Session,
    Sighting,
)
from probe.service.watch import Watch
from probe.sessions.imprint import Fingerprints
from probe.sessions.open import Kit, open_beat, open_session
from probe.verdict.judge import judge

SIDE_BY_SIDE = 64
BEATS_AT_ONCE = 4
ROUNDS_OF_BEATS = 3
ATTEMPTS = 3
"""Sessions that may be opened for one verdict, where lines came but not even their rhythm told which was ours."""

SPACING = (0.06, 0.25)
"""Seconds between two beats: wider than the jitter of a busy server, short enough to be done in a second."""

HURRY = 0.5
"""Seconds for which the sources hurry after an IMAPS connection is opened: longer than most of them last."""

PATIENCE = 0.7
"""Seconds without a certain line before a rhythm is opened, and after the last beat before the next one is."""

Progress = Callable[[Endpoint, str], None]


def quiet(_: Endpoint, __: str) -> None:
    """A progress display that shows nothing."""


@dataclass(kw_only=True)
class Workshop:
    """Everything a round works with; it lives longer than one round, so clocks and fingerprints are remembered."""

    kit: Kit
    watch: Watch
    random: Random
    networks: Networks
    read_replies: bool = True
    progress: Progress = quiet
    clocks: dict[tuple[str, Naming], Offset] = field(default_factory=dict)
    in_flight: dict[str, Session] = field(default_factory=dict)
    next_moments: dict[str, float] = field(default_factory=dict)
    fingerprints: Fingerprints = field(init=False)

    def __post_init__(self) -> None:
        self.fingerprints = Fingerprints(self.random)


async def run_round(endpoints: Sequence[Endpoint], workshop: Workshop, vantage: str) -> Round:
    """One session to every endpoint, side by side, each judged."""
    started = workshop.kit.clock()
    places = asyncio.Semaphore(SIDE_BY_SIDE)

    async def one(endpoint: Endpoint) -> Result:
        async with places:
            return await probe_endpoint(endpoint, workshop)

    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(one(endpoint)) for endpoint in endpoints]
    workshop.in_flight.clear()
    return Round(
        vantage=vantage,
        started=started,
        seconds=workshop.kit.clock() - started,
        results=tuple(task.result() for task in tasks),
    )


async def probe_endpoint(endpoint: Endpoint, workshop: Workshop) -> Result:
    """Open, look for, judge; a session that cannot be told from others is given up and another one opened."""
    attempts = ATTEMPTS
    while True:
        attempts -= 1
        session, evidence, undecided = await _attempt(endpoint, workshop)
        if not undecided or not attempts:
            judgement = judge(session, evidence, workshop.networks)
            workshop.progress(endpoint, judgement.verdict)
            return Result(session=session, evidence=evidence, judgement=judgement)


async def _attempt(endpoint: Endpoint, workshop: Workshop) -> tuple[Session, Evidence, bool]:
    workshop.progress(endpoint, "session")
    with workshop.fingerprints.draw() as verbs:
        await _own_moment(endpoint, workshop)
        session = await open_session(endpoint, workshop.kit, verbs)
        workshop.in_flight[session.id] = session
        workshop.progress(endpoint, "evidence")
        return await look_for(session, endpoint, workshop)


async def look_for(session: Session, endpoint: Endpoint, workshop: Workshop) -> tuple[Session, Evidence, bool]:
    """Search until settled or out of time; open beats where they would tell.

    The third value: lines came that may be the session's, and not even a rhythm could tell which.
    """
    replies = _from_replies(session) if workshop.read_replies else ()
    if endpoint.imprint is ImprintKind.NONE and session.fault is None:
        reasons = ("`imprint: none` leaves nothing to look for",)
        return session, Evidence(sightings=replies, reasons=reasons), False
    if not workshop.watch.sources and not replies and session.fault is None:
        return session, Evidence(reasons=("no evidence source is configured",)), False
    deadline = session.closed + _patience(session, endpoint, workshop)
    patient_until = workshop.kit.clock() + PATIENCE
    rounds_left = ROUNDS_OF_BEATS if session.service is Service.IMAPS and session.fault is None else 0
    while True:
        now = workshop.kit.clock()
        found = search(session, _scene(workshop, now))
        undecided = bool(session.beats) and not rounds_left and now >= patient_until
        # A line that fits is worth nothing while a rival may be on its way, not even at the deadline.
        pending = bool(found.evidence.sightings) and not found.settled and session.fault is None
        over = (now >= deadline or undecided) and not pending
        if replies or (found.settled and session.fault is None) or over:
            _remember_clocks(found, workshop)
            sightings = (*replies, *found.evidence.sightings)
            return session, replace(found.evidence, sightings=sightings), undecided and not sightings
        if rounds_left and found.candidates and now >= patient_until and not pending:
            rounds_left -= 1
            session = await _with_beats(session, endpoint, workshop)
            workshop.in_flight[session.id] = session
            patient_until = workshop.kit.clock() + PATIENCE
            deadline = max(deadline, patient_until + SETTLE)
            continue
        await workshop.watch.news(SETTLE / 4)


def _patience(session: Session, endpoint: Endpoint, workshop: Workshop) -> float:
    """How long to wait: a failed session only for fault lines, one without sources not at all."""
    fault = session.fault
    if not workshop.watch.sources:
        return 0.0
    if fault is None:
        return endpoint.timeouts.evidence
    reached = fault.phase not in (Phase.RESOLVE, Phase.CONNECT) and fault.failure is not Failure.VANTAGE
    return SETTLE if reached else 0.0


def _scene(workshop: Workshop, now: float) -> Scene:
    return Scene(
        observed=workshop.watch.observed,
        others=tuple(workshop.in_flight.values()),
        clocks=workshop.clocks,
        now=now,
    )


def _remember_clocks(found: Search, workshop: Workshop) -> None:
    for key, offset in found.clocks.items():
        known = workshop.clocks.get(key)
        workshop.clocks[key] = known.narrowed(offset) if known else offset


async def _with_beats(session: Session, endpoint: Endpoint, workshop: Workshop) -> Session:
    workshop.progress(endpoint, "rhythm")
    beats = await asyncio.gather(*(_beat(endpoint, workshop) for _ in range(BEATS_AT_ONCE)))
    return replace(session, beats=(*session.beats, *(beat for beat in beats if beat is not None)))


async def _beat(endpoint: Endpoint, workshop: Workshop) -> Beat | None:
    await _own_moment(endpoint, workshop)
    return await open_beat(endpoint, workshop.kit)


async def _own_moment(endpoint: Endpoint, workshop: Workshop) -> None:
    """Wait until this connection can be told from all others of ours to this host by when it comes in.

    The spacing is drawn at random and nobody else knows it: it is the rhythm. SMTP has its fingerprints instead.
    """
    if endpoint.service is not Service.IMAPS:
        return
    now = workshop.kit.clock()
    due = max(now, workshop.next_moments.get(endpoint.host, now))
    workshop.next_moments[endpoint.host] = due + workshop.random.uniform(*SPACING)
    await asyncio.sleep(due - now)
    workshop.watch.hurry(HURRY)


def _from_replies(session: Session) -> tuple[Sighting, ...]:
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
