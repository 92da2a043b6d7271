"""Find a session again in what the server logged. Pure: a session and observed lines in, evidence out.

Rule 1: a line counts only if it is beyond doubt this session's. Two lines that fit equally well prove nothing.
Rule 2: a line that fits alone may still be a stranger's, with ours lost on the way: scene.py weighs that.
Rule 3: a rival may be on its way. A link that is not certain by itself settles SETTLE seconds after it was found,
        or twice as long as our own line took.
Rule 4: every search that finds nothing says why, in words.
Rule 5: a line that was written before the session opened is an old one that came late (age.py): no proof, no rival.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from math import inf

from probe.evidence.age import Written
from probe.evidence.events import FaultLine, Observed
from probe.evidence.links import by_fingerprint, by_message, by_port, by_token
from probe.evidence.moments import are_shown, by_rhythm, by_time, candidates
from probe.evidence.scene import SETTLE, Clocks, Finding, Scene, from_dovecot
from probe.model import Evidence, Failure, Link, Peer, Service, Session, Sighting, Sign

CERTAIN = {Link.TOKEN, Link.MESSAGE}
"""Links by a secret of ours, which no stranger's line holds; our own address and port are as good."""

Finder = Callable[[Session, Sequence[Observed], Scene], Finding]

ON_SMTP: tuple[Finder, ...] = (by_message, by_token, by_port, by_fingerprint)

FINDERS: dict[Service, tuple[Finder, ...]] = {
    Service.SMTP: ON_SMTP,
    Service.SUBMISSION: ON_SMTP,
    Service.SUBMISSIONS: ON_SMTP,
    Service.IMAPS: (by_token, by_port, by_rhythm, by_time),
}
"""In the order of the reasons that a person reads."""

WEIGHED: tuple[Finder, ...] = (by_fingerprint, by_rhythm, by_time)
"""Those that count rivals and look-alikes."""

TOO_MANY = "more lines came than can be kept, so a line that fits may have had rivals"


@dataclass(frozen=True, kw_only=True, slots=True)
class Search:
    """Where the search for one session stands.

    `settled`: nothing that may still come can change it; `settles`: when that will be, unless something comes, -inf if
    it always was. `candidates`: lines that may be ours but are not certain, by `sources`; a rhythm would tell, and time
    alone from `tells` on. `dated_from`: when one line more would tell that lines which do not count yet are of now
    (age.py, rule 3), -inf if there are none. `shown`: lines of its beats came, under our own address and their ports;
    `crowded` and `strayed`: as a finding says.
    `clocks`: what the sightings say of their sources' clocks.
    """

    evidence: Evidence
    settled: bool
    settles: float = inf
    candidates: int = 0
    sources: frozenset[str] = frozenset()
    tells: float = inf
    dated_from: float = -inf
    shown: bool = False
    crowded: bool = False
    strayed: bool = False
    clocks: Clocks = field(default_factory=dict)


def search(session: Session, scene: Scene) -> Search:
    """Look for one session by every link its service knows."""
    arrived = [seen for seen in scene.observed if seen.arrival >= session.opened]
    written = Written(session.opened, scene.paces, scene.zones, scene.shift)
    since: list[Observed] = []
    older: list[Observed] = []
    for seen in arrived:
        (since if written.may_be_since(seen) else older).append(seen)
    findings = [_finding(find, session, since, scene) for find in FINDERS[session.service]]
    lines = () if session.service.speaks_smtp else candidates(session, since)
    sightings = _without_repeats(finding.sighting for finding in findings if finding.sighting)
    settles = min((_settles(session, sighting) for sighting in sightings), default=inf)
    evidence = Evidence(
        sightings=sightings,
        signs=_signs(session, since, scene),
        reasons=() if sightings else (*_reasons(findings), *_too_old(len(older))),
    )
    return Search(
        evidence=evidence,
        settled=settles <= scene.now,
        settles=settles,
        candidates=len(lines),
        sources=frozenset(line.seen.source for line in lines),
        tells=min(finding.tells for finding in findings),
        dated_from=max((written.dated_from(seen) for seen in older), default=-inf),
        shown=are_shown(session, since),
        crowded=not sightings and any(finding.crowded for finding in findings),
        strayed=not sightings and any(finding.strayed for finding in findings),
        clocks={key: offset for finding in findings for key, offset in finding.clocks.items()},
    )


def _finding(find: Finder, session: Session, since: Sequence[Observed], scene: Scene) -> Finding:
    if find in WEIGHED and session.opened <= scene.forgotten_until:
        return Finding(reason=TOO_MANY)
    return find(session, since, scene)


def _reasons(findings: Sequence[Finding]) -> Iterator[str]:
    return iter(dict.fromkeys(finding.reason for finding in findings if finding.reason))


def _too_old(lines: int) -> Iterator[str]:
    if lines:
        yield (
            f"{lines} of the lines that came since are older than the session by their time stamps: a log that is read "
            "anew, a clock that is wrong by more than 15 minutes, or one that is behind another host's in the same log"
        )


def _settles(session: Session, sighting: Sighting) -> float:
    if sighting.link in CERTAIN or _is_own(session, sighting):
        return -inf
    lag = max(0.0, sighting.at - session.closed)
    return sighting.at + max(SETTLE, 2 * lag)


def _is_own(session: Session, sighting: Sighting) -> bool:
    """Our own address and port: no stranger can have both."""
    return session.client == Peer(sighting.address, sighting.port)


def _without_repeats(sightings: Iterable[Sighting]) -> tuple[Sighting, ...]:
    """One sighting per link and address: the same line from two sources is one."""
    kept = {(sighting.link, sighting.address): sighting for sighting in sightings}
    return tuple(kept.values())


def _signs(session: Session, since: Sequence[Observed], scene: Scene) -> tuple[Sign, ...]:
    """Fault lines of this session's kind of server; they are never an address's proof, so they need no link."""
    if session.fault is None or session.fault.failure in (Failure.NAME_UNKNOWN, Failure.VANTAGE):
        return ()
    disputed = _is_disputed(session, scene)
    return tuple(
        Sign(
            sign=seen.event.sign,
            client=seen.event.client.address if seen.event.client else None,
            source=seen.source,
            at=seen.arrival,
            line=seen.raw,
            disputed=disputed,
        )
        for seen in since
        if isinstance(seen.event, FaultLine) and from_dovecot(seen) is not session.service.speaks_smtp
    )


def _is_disputed(session: Session, scene: Scene) -> bool:
    """Whether a fault line may be about a session of ours on another path to the same kind of server.

    Those on this path go the same way in: what is wrong with it is wrong for all of them.
    """
    kind = session.service.speaks_smtp
    elsewhere = (one for one in scene.underway if one.path != session.path)
    return any(one.service.speaks_smtp is kind for one in elsewhere) or scene.others.another_fell(session)
