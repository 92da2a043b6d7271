"""What `probe watch` saw: knocks and sessions over some minutes, and the stretches in which something was wrong.

- A knock is one SYN and what came back. It tells whether somebody answers, and never whose address the server sees.
- An edge is when something changed: after one moment at which it was still so, by another at which it was not. The
  moment between is told, with what it may be off by.
- Times are when SYNs left and sessions were opened, on the probe's own clock.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum

from probe.model.address import Address
from probe.model.endpoint import EndpointName
from probe.model.judgement import Judgement
from probe.model.session import Span
from probe.model.words import Failure, Severity, Verdict


@dataclass(frozen=True, kw_only=True, slots=True)
class Knock:
    """One SYN, which left between `at` and `left`. `failure` None: a SYN-ACK answered it, `seconds` later.

    `counted`: the handshake was completed, so the server's program saw a connection. `spacing`: seconds that were
    meant to lie between this one and the one before.
    """

    at: float
    left: float
    seconds: float
    failure: Failure | None = None
    counted: bool = False
    spacing: float = 0.2


@dataclass(frozen=True, slots=True)
class Edge:
    """Something changed after `after` (None: before anybody looked), and by `by`."""

    after: float | None
    by: float

    @property
    def moment(self) -> float:
        """The moment that is told: in the middle, so that it is off by the bound at most."""
        return self.by if self.after is None else (self.after + self.by) / 2

    @property
    def earliest(self) -> float:
        """The first moment at which it may have changed; of what was before anybody looked, the only one known."""
        return self.by if self.after is None else self.after

    @property
    def bound(self) -> float:
        """Seconds by which the moment may be off; 0 where it was before anybody looked, and nothing bounds it."""
        return 0.0 if self.after is None else (self.by - self.after) / 2


class GapKind(StrEnum):
    """What was wrong: nobody answered SYNs, or sessions were critical although somebody did.

    Or they were served late, or turned away with a verdict that is a warning: no outage by that alone.
    """

    UNREACHABLE = "unreachable"
    CRITICAL = "critical"
    WAITED = "waited"
    TURNED_AWAY = "turned_away"


@dataclass(frozen=True, kw_only=True, slots=True)
class Gap:
    """A stretch in which an endpoint was out. `seen`: when it last certainly was. `ended` None: it lasts.

    `how`: every failure of its knocks, or every verdict of its sessions, in order, each once. `judgement`: that of a
    session in it, which names it and knows the cause. `unseen`: stretches amid it in which nobody looked, in order: it
    may have been well then, and have been two outages or more. So only the longest stretch without one is certain.
    `perhaps_from`: when what was before it was last seen, where it may go on from that, and nobody knows: None where
    it is certain that it does, or that it does not.
    """

    endpoint: EndpointName
    kind: GapKind
    began: Edge
    seen: float
    ended: Edge | None = None
    how: tuple[str, ...] = ()
    judgement: Judgement | None = None
    unseen: tuple[Span, ...] = ()
    perhaps_from: float | None = None

    @property
    def from_the_start(self) -> bool:
        """Whether it was there before anybody looked."""
        return self.began.after is None

    @property
    def told(self) -> Span:
        """From when to when it is told: of one that lasts, or was there from the start, only what is certain of it.

        So it is with when a session began to wait: whether the server hung before is not known.
        """
        if self.ended is None or self.from_the_start:
            return Span(self.began.by, self.seen)
        return Span(self.began.by if self.is_at_least else self.began.moment, self.ended.moment)

    @property
    def is_at_least(self) -> bool:
        """Whether it may well have been longer than is told."""
        return self.kind is GapKind.WAITED or self.ended is None or self.from_the_start

    @property
    def seconds(self) -> float:
        """How long it was; of one that lasts, or was there from the start, how long it certainly was."""
        return max(0.0, self.told.seconds - self._left_out)

    @property
    def certain(self) -> float:
        """How long it was at least."""
        return self.seconds if self.is_at_least else max(0.0, self.seconds - self.bound)

    @property
    def most(self) -> float:
        """How long it was at most; of what may have been longer than is told, the same."""
        return self.seconds if self.is_at_least else self.seconds + self.bound

    @property
    def stretches(self) -> tuple[Span, ...]:
        """When it certainly was, between the stretches in which nobody looked."""
        starts = (self.began.by, *(span.end for span in self.unseen))
        ends = (*(span.start for span in self.unseen), self.seen)
        return tuple(Span(start, max(start, end)) for start, end in zip(starts, ends, strict=True))

    @property
    def _uncertain(self) -> float:
        """Seconds that are no part of the longest stretch."""
        if not self.unseen:
            return 0.0
        return self.seen - self.began.by - max(span.seconds for span in self.stretches)

    @property
    def _left_out(self) -> float:
        """What is left out of its length for nobody looked: all that is not certain, or half, in the middle."""
        return self._uncertain if self.is_at_least else self._uncertain / 2

    @property
    def bound(self) -> float:
        """Seconds by which the length may be off."""
        before = self.began.bound * (2 if self.kind is GapKind.WAITED else 1)
        return before + (self.ended.bound if self.ended else 0.0) + self._left_out

    def also(self, how: str, at: float) -> Gap:
        """The same gap, seen once more."""
        return replace(self, seen=at, how=self.how if how in self.how else (*self.how, how))


@dataclass(frozen=True, kw_only=True, slots=True)
class Sample:
    """One judged session in brief: opened `at`, `closed` when its talk was over, `judged` when its evidence was there,
    or not waited for any more. `answered`: when the server's first octet came, or where none did, when it connected.

    `aside`: it failed in a stretch without answers, and that is why.

    `took_place`: False if the vantage itself could not open it, or held its login back: it does not tell. `failed`: it
    came to nothing, until it closed. `broke`: the other side ended it. `waited`: seconds from connect to the first
    octet, if one came.
    """

    at: float
    closed: float
    judged: float
    answered: float | None = None
    waited: float | None = None
    session: str
    judgement: Judgement
    seen: tuple[Address, ...] = ()
    aside: bool = False
    took_place: bool = True
    failed: bool = False
    broke: bool = False

    @property
    def verdict(self) -> Verdict:
        """What it proves."""
        return self.judgement.verdict

    @property
    def shown(self) -> float:
        """When the server was seen to be there: it may serve what waited for it, and a SYN may be sent again."""
        return self.at if self.answered is None else self.answered

    @property
    def out_by(self) -> float:
        """By when the server certainly was as it found it: a connection may have been well until it broke."""
        return self.closed if self.failed and self.broke else self.at

    @property
    def seen_until(self) -> float:
        """Until when it is certain that the server was as it found it: one that failed has waited until it closed."""
        return self.closed if self.failed else self.at


@dataclass(frozen=True, kw_only=True, slots=True)
class UnderWay:
    """A session that is not written down yet. `closed`: when its talk was over; None: it goes on.

    `failed`: what one that came to nothing proves without its evidence. `begun`: False while the name of its host is
    looked up, or it waits for its place.
    """

    opened: float
    begun: bool = True
    closed: float | None = None
    failed: Verdict | None = None


class Lack(StrEnum):
    """What there has been none of for longer than it should be.

    A session's beginning, the server's next word in it, the evidence of one that worked, a verdict on one that failed,
    a session.
    """

    OPENING = "opening"
    SERVER = "server"
    EVIDENCE = "evidence"
    VERDICT = "verdict"
    SESSION = "session"


@dataclass(frozen=True, slots=True)
class Wait:
    """For how many seconds an endpoint has not shown how it serves, and for want of what."""

    seconds: float
    lack: Lack


@dataclass(frozen=True, kw_only=True, slots=True)
class Cadence:
    """How often an endpoint was knocked at. `asked` and `longest`: seconds that were meant to lie between two knocks.

    `why`: why it was slower than asked for, where it was.
    """

    asked: float
    longest: float = 0.0
    sent: int = 0
    answered: int = 0
    lost: int = 0
    counted: int = 0
    why: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class WatchedEndpoint:
    """One endpoint over the watch. `untold`: gaps beyond the most that are kept. `blind`: when nobody knocked.

    `knocked_since`: when the first knock left; before it nothing is known. `good_since`: since when every session was
    as good as it must be; None while the latest was not. `in_doubt`: its last SYN was not answered, perhaps by chance.

    `under_way`: its session that is not judged yet; `feared`: all gaps, if that has failed and is as critical as it
    seems. `next_session`: when the next one is due; `pace`: seconds between two of them.
    """

    name: EndpointName
    host: str
    address: Address | None = None
    cadence: Cadence
    gaps: tuple[Gap, ...] = ()
    untold: int = 0
    samples: tuple[Sample, ...] = ()
    blind: tuple[Span, ...] = ()
    knocked_since: float | None = None
    good_since: float | None = None
    in_doubt: bool = False
    baseline: Sample | None = None
    under_way: UnderWay | None = None
    feared: tuple[Gap, ...] | None = None
    next_session: float | None = None
    pace: float = 0.0

    @property
    def lasting(self) -> Gap | None:
        """The gap that lasts; that nobody answers says more than what sessions found."""
        lasting = [gap for gap in self.gaps if gap.ended is None]
        return min(lasting, key=lambda gap: gap.kind is not GapKind.UNREACHABLE, default=None)

    @property
    def latest(self) -> Sample | None:
        """The latest session that says something about the endpoint by itself."""
        return next((sample for sample in reversed(self.samples) if not sample.aside), None)

    @property
    def last_back(self) -> float | None:
        """When it last came back."""
        return max((gap.ended.moment for gap in self.gaps if gap.ended is not None), default=None)

    @property
    def awaits_session(self) -> bool:
        """Whether no session has shown yet how it serves, or none since it last came back."""
        latest, back = self.latest, self.last_back
        return latest is None or (back is not None and latest.shown < back)


@dataclass(frozen=True, kw_only=True, slots=True)
class Standing:
    """What was known of the cluster from `edge` on: who announces `address`, or how many endpoints `node` has."""

    edge: Edge
    value: str
    address: Address | None = None
    node: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Moved:
    """A host's name came to mean another address; `before` None: it had not resolved yet."""

    host: str
    edge: Edge
    before: Address | None
    after: Address


class Ending(StrEnum):
    """Why a watch ended."""

    STABLE = "stable"
    INTERRUPTED = "interrupted"
    UNPROVEN = "unproven"
    MAX_OUTAGE = "max_outage"
    BASELINE = "baseline"


@dataclass(frozen=True, kw_only=True, slots=True)
class Wanted:
    """What the user asked for: seconds between knocks, of ok until the end, of the longest outage that is tolerated.

    `process`: the number of the one that makes the change; what is ok counts for the end only once it has ended.
    """

    interval: float = 0.2
    until_stable: float | None = None
    max_outage: float | None = None
    from_broken: bool = False
    no_limit: bool = False
    process: int | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Watched:
    """A watch as a whole, from `started` to `until`. `began`: when the baseline was there. `ending` None: it goes on.

    `change_over`: when the process that makes the change had ended, where one was named.
    `clients`: everybody who came in meanwhile by the servers' logs, by whose network they come from.
    """

    vantage: str
    wanted: Wanted
    started: float
    until: float
    began: float | None = None
    change_over: float | None = None
    ending: Ending | None = None
    endpoints: tuple[WatchedEndpoint, ...] = ()
    announcers: tuple[Standing, ...] = ()
    nodes: tuple[Standing, ...] = ()
    moves: tuple[Moved, ...] = ()
    clients: Mapping[str, int] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class Conclusion:
    """What a watch comes to: its severity, by which rule, in one sentence."""

    severity: Severity
    rule: str
    sentence: str
