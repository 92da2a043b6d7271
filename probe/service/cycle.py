"""One round over all endpoints: open, look for, judge. The way of the data, put together once.

    open_session ──▶ Session ──search──▶ Evidence ──judge──▶ Judgement ──cause──▶ Result
         ▲               │                                              ▲
         └── beats ──────┘   only where lines may be ours               └── Surroundings, from the survey and the count
                             but nothing tells which (a rhythm does)        of logins beside it

Endpoints go side by side. The wait for evidence ends when the session is settled, or with timeouts.evidence.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace

from probe.evidence.ours import Ours
from probe.model import Endpoint, Evidence, Networks, Result, Round, Session, Verdict
from probe.service.pursuit import Pursued, pursue
from probe.service.workshop import Workshop
from probe.sessions.lookup import LookedUp
from probe.sessions.open import goes_to_mailbox, open_session, read_back
from probe.verdict.cause import explained
from probe.verdict.judge import foregone, judge

SIDE_BY_SIDE = 64
CROWDED = 3
UNDECIDED = 1
"""More sessions that may be opened for one verdict: where another line came too near to ours, which is known within
seconds; and where lines came but nothing told which was ours, or how old it was."""

SESSIONS = 1 + CROWDED + UNDECIDED
"""For one verdict, at most."""

ONLY_SOME = (
    "of our connections on this turn only some were seen under our own address: part of the way in hides clients, it "
    "changed meanwhile, or a line was lost"
)
"""Why what is `preserved` proves nothing: else a way that masks every second connection would never be told."""


async def run_round(endpoints: Sequence[Endpoint], workshop: Workshop, vantage: str) -> Round:
    """One session to every endpoint, side by side, each judged."""
    started = workshop.kit.clock()
    places = asyncio.Semaphore(SIDE_BY_SIDE)
    of_this_round = Ours()
    workshop.begin(endpoints)

    async def one(endpoint: Endpoint) -> Result:
        async with places:
            return await probe_endpoint(endpoint, workshop, of_this_round)

    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(one(endpoint)) for endpoint in endpoints]
    return Round(
        vantage=vantage,
        started=started,
        seconds=workshop.kit.clock() - started,
        results=tuple(task.result() for task in tasks),
        topology=workshop.survey.topology,
        networks=workshop.networks,
    )


async def probe_endpoint(endpoint: Endpoint, workshop: Workshop, of_this_round: Ours) -> Result:
    """Open, look for, judge; a session that cannot be told from others is given up and another one opened."""
    try:
        return await _probe(endpoint, workshop, of_this_round)
    finally:
        workshop.learnt.budgets.let_go(endpoint.name)
        workshop.closed.pop(endpoint.name, None)


async def _probe(endpoint: Endpoint, workshop: Workshop, of_this_round: Ours) -> Result:
    given_up: list[Pursued] = []
    began = workshop.kit.clock()
    while True:
        looked_up = await workshop.look_up(endpoint)
        there = endpoint.pinned(looked_up.at)
        pursued = await _attempt(there, workshop, of_this_round, looked_up)
        if not (_is_worth_another(pursued, given_up) and workshop.take(endpoint)):
            break
        given_up.append(pursued)
        await asyncio.sleep(pursued.again_at - workshop.kit.clock())
    evidence = pursued.evidence
    strayed = any(one.strayed for one in given_up)
    if strayed and judge(pursued.session, evidence, workshop.networks).verdict is Verdict.PRESERVED:
        evidence = replace(evidence, sightings=(), reasons=(ONLY_SOME,))
    if workshop.trust is not None:
        forged = await workshop.trust.after(pursued.session, there, workshop, of_this_round)
        evidence = replace(evidence, forged=forged)
    judgement = judge(pursued.session, evidence, workshop.networks)
    known, counted = await asyncio.gather(
        workshop.survey.around(pursued.session, judgement), workshop.logins.around(pursued.session, judgement)
    )
    # The cluster's own networks may be known only now: they name whose an address is.
    judgement = judge(pursued.session, evidence, workshop.survey.networks(workshop.networks))
    known = replace(
        known,
        logins=counted,
        answered=workshop.learnt.beside.answered(pursued.session),
        login_refused=workshop.kit.refused.refused_at(there, pursued.session.opened),
    )
    judgement = explained(pursued.session, judgement, known)
    workshop.progress(endpoint, judgement.verdict)
    return Result(
        session=pursued.session,
        evidence=evidence,
        judgement=judgement,
        given_up=sum(one.session.connections for one in given_up),
        beats=workshop.learnt.budgets.beats_since(endpoint.name, began),
    )


def _is_worth_another(pursued: Pursued, given_up: Sequence[Pursued]) -> bool:
    """Whether another session may tell, after those that were given up for this verdict."""
    of_its_kind = sum(one.crowded is pursued.crowded for one in given_up)
    return pursued.undecided and of_its_kind < (CROWDED if pursued.crowded else UNDECIDED)


def so_far(session: Session, networks: Networks, why: str) -> Result | None:
    """What a closed session proves to somebody who cannot wait for its evidence, and `why` no more; None: nothing."""
    evidence = Evidence(reasons=(why,))
    judgement = foregone(session, networks) if session.fault else judge(session, evidence, networks)
    return Result(session=session, evidence=evidence, judgement=judgement) if judgement else None


async def _attempt(endpoint: Endpoint, workshop: Workshop, of_this_round: Ours, looked_up: LookedUp) -> Pursued:
    async with workshop.fingerprint() as verbs, workshop.place(looked_up.seconds) as leave:
        workshop.progress(endpoint, "session")
        session = await _opened(endpoint, workshop, of_this_round, verbs, looked_up)
        leave()
        workshop.progress(endpoint, "evidence")
        pursued = await pursue(session, endpoint, workshop, of_this_round)
        workshop.learn(endpoint, session, pursued.evidence)
        return pursued


async def _opened(
    endpoint: Endpoint, workshop: Workshop, of_this_round: Ours, verbs: Sequence[str], looked_up: LookedUp
) -> Session:
    await workshop.own_moment(endpoint)
    workshop.spend(endpoint)
    with workshop.logins.expecting(endpoint) as opened:
        with workshop.opening(endpoint):
            asking = [*verbs, *workshop.questions(endpoint)]
            session = await open_session(endpoint, workshop.kit, asking, looked_up, of_this_round.append)
        for _ in session.controls:
            workshop.spend(endpoint)
        opened.append(session)
        of_this_round.append(session)
        workshop.learnt.beside.note(session)
        workshop.closed[endpoint.name] = session
        return await _read_back(session, endpoint, workshop)


async def _read_back(session: Session, endpoint: Endpoint, workshop: Workshop) -> Session:
    """Fetch the message of a `deliver` imprint, if there may be one; sweep the mailbox where it was refused."""
    if endpoint.mailbox is None or not goes_to_mailbox(session):
        return session
    workshop.progress(endpoint, "delivery")
    await workshop.own_moment(endpoint.mailbox.reader)
    workshop.spend(endpoint.mailbox.reader, by=endpoint)
    return await read_back(session, endpoint.mailbox, workshop.kit)
