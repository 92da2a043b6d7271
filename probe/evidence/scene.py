"""What a search may look at and what it may answer: the common ground of every link.

A link is not certain by itself unless it is a secret (token) or both address and port are our own. Everything else
is weighed: chance = strangers seen × odds that one of them fits by chance; above MAX_CHANCE it proves nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import inf

from probe.evidence.age import UTC, Paces
from probe.evidence.events import Connected, Disconnected, FaultLine, IdSent, LoginEnded, Observed, Rejected
from probe.evidence.ours import Ours
from probe.model import EndpointName, IdMoment, Link, Peer, Sighting

SETTLE = 0.5
"""Seconds in which a rival of a line that fits may still be on its way."""

MAX_CHANCE = 0.005
"""A stranger's line is taken for a lost line of ours at most this often, and only among clients that act as we do."""


@dataclass(frozen=True, slots=True)
class Offset:
    """Server clock minus the probe's clock: somewhere in [low, high] seconds, as so many sightings agree."""

    low: float
    high: float
    sightings: int = 1

    def narrowed(self, other: Offset) -> Offset:
        """What both say; the newer one alone where they contradict each other (a clock was set)."""
        low, high = max(self.low, other.low), min(self.high, other.high)
        return Offset(low, high, self.sightings + other.sightings) if low <= high else other


Clocks = Mapping[tuple[str, IdMoment], Offset]
"""What is known of the clocks behind the sources, on each assumption of when a session id is made."""

AGREED = 2
"""Sightings that must agree before a clock links anything: one alone cannot tell which assumption holds."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Scene:
    """All that a search may look at: lines since before the session, our other sessions, known clocks, the time.

    `forgotten_until`: lines that arrived by then may be missing, for there were too many to keep. `underway`: to which
    endpoints others are being opened now. `paces` tell how old a line is, `zones` by how much stamps without a zone may
    be off: UTC's, and the probe's. `shift`: by how much the probe's wall clock has been set since its own began.
    """

    observed: Sequence[Observed]
    others: Ours = field(default_factory=Ours)
    underway: Sequence[EndpointName] = ()
    forgotten_until: float = -inf
    clocks: Clocks = field(default_factory=dict)
    paces: Paces = field(default_factory=dict)
    zones: Sequence[float] = (UTC,)
    shift: float = 0.0
    now: float


@dataclass(frozen=True, slots=True)
class Finding:
    """A sighting, or the reason why there is none. `clocks`: what it says of its source's clock.

    `tells`: when a line that fits, but may do so by chance, will do no more, if lines go on to come as thickly.
    `crowded`: the session's own line is one of two that lie too near to each other, and no beat tells which.
    `strayed`: beats of the session, or some of them, may have come in under our own address, and it did not.
    """

    sighting: Sighting | None = None
    reason: str = ""
    tells: float = inf
    crowded: bool = False
    strayed: bool = False
    clocks: Clocks = field(default_factory=dict)


def sighting_of(seen: Observed, client: Peer, link: Link) -> Sighting:
    """The sighting that a line gives, with the client it names."""
    return Sighting(
        address=client.address, port=client.port, link=link, source=seen.source, at=seen.arrival, line=seen.raw
    )


def client_of(seen: Observed) -> Peer | None:
    """The client of a line; of a Dovecot line with the port from its session id."""
    match seen.event:
        case LoginEnded(client=client, session=identity) | IdSent(client=client, session=identity):
            return identity.peer if identity is not None and identity.peer.address == client.address else client
        case Connected(client=client) | Disconnected(client=client) | Rejected(client=client):
            return client
        case _:
            return None


def from_dovecot(seen: Observed) -> bool:
    """True for what Dovecot wrote, False for Postfix: by the event, or by the program where both may say the like."""
    match seen.event:
        case FaultLine():
            return "imap" in seen.program or "dovecot" in seen.program
        case event:
            return isinstance(event, LoginEnded | IdSent)
