"""Trust checks: does a listener believe a PROXY header that claims to come from somebody else? Only with checks.spoof.

    session, judged as ever ──▶ forged session, at most once in an interval ──▶ Evidence.forged ──▶ `spoofable`

Rule 1: what is claimed is nobody's: a documentation address (RFC 5737, RFC 3849), fresh for each check, with a port.
Rule 2: believed is what the server itself wrote down or replied: its sighting of the forged session, by the links of
        any other session, with the claimed address. A header that it only swallowed proves nothing.
Rule 3: the forged session is none of the probe's sessions: it logs in nowhere, nothing is judged by how it ended, and
        no report counts it.
Rule 4: what was found holds until the next check, or an alert would come and go with the checks.
Rule 5: at most once in an interval, whoever calls how often: a check is written down before it is made. Where nothing
        outlives the process, none is made in its first interval, for who ran before it may just have made one.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from ipaddress import IPv4Address, IPv6Address
from pathlib import Path
from random import Random
from typing import TypeVar

from probe.aside import FILES, within
from probe.evidence.correlate import search
from probe.evidence.ours import Ours
from probe.evidence.scene import SETTLE
from probe.model import Endpoint, Peer, Session, Sighting
from probe.notices import warn
from probe.service.clock import shift_of
from probe.service.learnt import Learnt
from probe.service.pursuit import from_replies
from probe.service.trust_memory import NAME, Checked, TrustMemory
from probe.service.workshop import Workshop
from probe.sessions.open import open_claiming
from probe.settings import Settings

TEST_NET = int(IPv4Address("192.0.2.0"))
T = TypeVar("T")

DOCUMENTATION = int(IPv6Address("2001:db8::"))


@dataclass(slots=True)
class TrustChecks:
    """Whether a listener is due to be checked, and what the last check found."""

    interval: float
    memory: TrustMemory
    _writing: asyncio.Lock = field(default_factory=asyncio.Lock, init=False)

    async def after(self, session: Session, endpoint: Endpoint, workshop: Workshop, others: Ours) -> Sighting | None:
        """What the server believed of a forged header, after a session that reached it; checked anew where due."""
        if session.address is None or session.connected is None:
            return None
        now = workshop.kit.clock()
        last = self.memory.last(endpoint)
        due = last is None or not 0 <= now - last.at < self.interval
        if due and workshop.take(endpoint):
            if not await self._may_check(endpoint, now):
                return None
            claim = fresh_claim(session.address.version, workshop.random)
            last = Checked(at=now, believed=await self._check(endpoint, claim, workshop, others))
            await self._aside(partial(self.memory.remember, endpoint, last))
            self._say(endpoint, claim, last)
        return last.believed if last else None

    async def _may_check(self, endpoint: Endpoint, now: float) -> bool:
        """Whether the next process will know of this check, or this one has been alone for an interval."""
        checks = self.memory.checks
        checks.began = began = now if checks.began is None else checks.began
        if await self._aside(partial(self.memory.announce, endpoint, now)) or now - began >= self.interval:
            return True
        self._say_that_it_waits()
        return False

    async def _aside(self, work: Callable[[], T]) -> T:
        """What touches the file, one after the other. A file system that hangs is asked no more."""
        async with self._writing:
            if self.memory.lasts:
                try:
                    return await within(FILES, work)
                except OSError:
                    self.memory.lasts = False
            return work()

    def _say_that_it_waits(self) -> None:
        if self.memory.checks.has_said:
            return
        self.memory.checks.has_said = True
        directory = self.memory.place.parent
        warn(
            f"trust check: not made, for nothing remembers when the last one was; make {directory} writable: "
            f"install -d -o {os.geteuid()} {directory}",
            not_before=f"this process is {self.interval:g} s old",
        )

    async def _check(self, endpoint: Endpoint, claim: Peer, workshop: Workshop, others: Ours) -> Sighting | None:
        async with workshop.fingerprint() as verbs, workshop.place() as leave:
            workshop.progress(endpoint, "trust check")
            await workshop.own_moment(endpoint)
            workshop.spend(endpoint)
            asking = [*verbs, *workshop.questions(endpoint)] if endpoint.service.speaks_smtp else []
            with workshop.opening(endpoint):
                session = await open_claiming(endpoint, claim, workshop.kit, asking)
            leave()
            others.append(session)
            return await _believed(session, endpoint, workshop, others)

    def _say(self, endpoint: Endpoint, claim: Peer, checked: Checked) -> None:
        warn(
            "trust check: sent a forged PROXY header, as checks.spoof asks",
            endpoint=str(endpoint),
            to=f"{endpoint.host} port {endpoint.port}",
            claimed=str(claim),
            believed="yes" if checked.believed else "not seen to be",
            not_again_for=f"{self.interval:g} s",
            remembered=f"in {self.memory.place}" if self.memory.lasts else "by this process only",
        )


async def trust_checks(settings: Settings, learnt: Learnt) -> TrustChecks:
    """The trust checks of a configuration that asks for them, going on from what is known of earlier ones."""
    place, clock = Path(settings.history.file).with_name(NAME), learnt.clock
    remembering = partial(TrustMemory, place, lambda: shift_of(clock), learnt.checks)
    try:
        memory = await within(FILES, remembering)
    except OSError:
        memory = remembering(reachable=False)
    return TrustChecks(interval=settings.checks.spoof_interval, memory=memory)


def fresh_claim(version: int, random: Random) -> Peer:
    """An address of nobody's and a port, drawn at random."""
    port = random.randrange(1024, 65536)
    if version == 4:
        return Peer(IPv4Address(TEST_NET + random.randrange(1, 255)), port)
    return Peer(IPv6Address(DOCUMENTATION + random.randrange(1, 1 << 96)), port)


async def _believed(session: Session, endpoint: Endpoint, workshop: Workshop, others: Ours) -> Sighting | None:
    """The sighting with the claimed address, as soon as there is one; a failed session hardly leaves any."""
    patience = endpoint.timeouts.evidence if session.fault is None else SETTLE
    deadline = session.closed + (patience if workshop.watch.sources else 0.0)
    replies = from_replies(session) if workshop.read_replies else ()
    while True:
        now = workshop.kit.clock()
        scene = workshop.scene(session, others, now)
        found = search(session, scene)
        seen = (*replies, *found.evidence.sightings)
        believed = next((one for one in seen if _is_claimed(one, session)), None)
        if believed or found.settled or now >= deadline:
            return believed
        await workshop.watch.news(SETTLE / 4)


def _is_claimed(sighting: Sighting, session: Session) -> bool:
    return session.client is not None and sighting.address == session.client.address
