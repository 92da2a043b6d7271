"""What the daemon has learnt while it runs: made once with the process, and worked with by one shift after another.

Rules of this file:
- Whatever a later session, or the next configuration, may need of what was seen before is kept here and nowhere else: a
  workshop has no memory of its own, so a reload has nothing to copy and nothing to forget.
- Everything is kept by what it is about (a source, a way in, an identity), and goes with it when a configuration has it
  no more (`only`); or it is bounded by itself (ports, lookups, fingerprints, our latest sessions).
- None of it is a verdict: what became of endpoints is in the ledger.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from random import Random, SystemRandom
from typing import Any, TypeVar

from probe.evidence.age import Pace, Stamper
from probe.evidence.ours import Ours
from probe.evidence.scene import Offset
from probe.model import Clock, Endpoint, IdMoment
from probe.service.beside import Beside
from probe.service.budget import Budgets
from probe.service.rhythms import Rhythms
from probe.service.schedule import Course
from probe.service.spacing import Spacing
from probe.service.trust_memory import Checks
from probe.sessions.dial import Ports
from probe.sessions.imprint import AT_ONCE, Fingerprints
from probe.sessions.lookup import Lookups
from probe.sessions.refused_logins import RefusedLogins

_Key = TypeVar("_Key")


@dataclass(kw_only=True, slots=True)
class Learnt:
    """Of logs: `clocks` by source and moment, `paces` by source and stamper (evidence/age.py), `lags` by source:
    seconds from the end of our latest sessions to their lines. Of servers: `tells`, whether one told us our address
    when it was asked, by identity; `checks`, what they believed; `refused`, logins that they refused.

    Of ourselves: `budgets`, what was spent; `courses`, how far each endpoint has come, by identity; `ours`, our latest
    sessions, with those that were broken off; `beside`, which ports answered them; `ports`, theirs; `spacing`, when the
    next connection may come in; `left`, how many fingerprints there are.
    """

    clock: Clock
    random: Random = field(default_factory=SystemRandom)
    budgets: Budgets = field(default_factory=Budgets)
    clocks: dict[tuple[str, IdMoment], Offset] = field(default_factory=dict)
    paces: dict[tuple[str, Stamper], Pace] = field(default_factory=dict)
    lags: dict[str, deque[float]] = field(default_factory=dict)
    tells: dict[Endpoint, bool] = field(default_factory=dict)
    checks: Checks = field(default_factory=Checks)
    courses: dict[Endpoint, Course] = field(default_factory=dict)
    ours: Ours = field(default_factory=Ours)
    beside: Beside = field(default_factory=Beside)
    ports: Ports = field(default_factory=Ports)
    lookups: Lookups = field(default_factory=Lookups)
    refused: RefusedLogins = field(default_factory=RefusedLogins)
    spacing: Spacing = field(default_factory=Spacing)
    fingerprints: Fingerprints = field(init=False)
    left: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(AT_ONCE))
    rhythms: Rhythms = field(init=False)

    def __post_init__(self) -> None:
        self.fingerprints = Fingerprints(self.random)
        self.rhythms = Rhythms(self.clock)

    def only(self, endpoints: Sequence[Endpoint], sources: Collection[str]) -> None:
        """From now on there are these endpoints and sources; what was learnt of others goes."""
        known = [*endpoints, *(one.mailbox.reader for one in endpoints if one.mailbox is not None)]
        identities, hosts = {one.identity for one in known}, {one.host for one in known}
        keep(self.clocks, lambda key: key[0] in sources)
        keep(self.paces, lambda key: key[0] in sources)
        keep(self.lags, lambda source: source in sources)
        keep(self.tells, lambda one: one in identities)
        keep(self.courses, lambda one: one in identities)
        self.spacing.only(lambda host: host in hosts)
        self.rhythms.only({one.way_in for one in known})
        self.budgets.only({one.name for one in known}, self.clock())
        self.checks.only(known)
        self.refused.again(known)


def keep(known: dict[_Key, Any], wanted: Callable[[_Key], bool]) -> None:
    """Let go of the others; in place, for whoever ends may hold it yet."""
    for key in [key for key in known if not wanted(key)]:
        del known[key]
