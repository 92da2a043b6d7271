"""Find a session again in what the server logged. Pure: a session and observed lines in, evidence out.

Rule 1: a line counts only if it is beyond doubt this session's. Two lines that fit equally well prove nothing.
Rule 2: a line that fits alone may still be a stranger's, with ours lost on the way. So each link that is not
        unique by itself is weighed: chance = strangers seen × odds that one of them fits; above MAX_CHANCE it
        proves nothing.
Rule 3: a rival may be on its way. A link that is not unique by itself settles SETTLE seconds after it was found,
        or twice as long as our own line took.
Rule 4: every search that finds nothing says why, in words.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from probe.evidence.events import Connected, Disconnected, FaultLine, IdSent, LoginEnded, Observed, Rejected
from probe.evidence.rhythm import best_fit
from probe.model import Evidence, Failure, Link, Naming, Peer, Phase, Session, Sighting, Sign, Span

MAX_CHANCE = 0.005
SETTLE = 0.5
EPHEMERAL_PORTS = 28_232
"""Linux's default net.ipv4.ip_local_port_range: how many ports a stranger's may be drawn from."""

DRAWN = {"noop", "rset", "helo"}
"""Verbs that a fingerprint draws and that ordinary clients hardly send: who sends some looks like one of us."""

CERTAIN = {Link.TOKEN, Link.SESSION_ID, Link.REPLY, Link.MESSAGE}


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


Clocks = Mapping[tuple[str, Naming], Offset]
"""What is known of the clocks behind the sources, on each assumption of when a session id is made."""

AGREED = 2
"""Sightings that must agree before a clock links anything: one alone cannot tell which assumption holds."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Scene:
    """All that a search may look at: lines since before the session, our other sessions, known clocks, the time."""

    observed: Sequence[Observed]
    others: Sequence[Session] = ()
    clocks: Clocks = field(default_factory=dict)
    now: float


@dataclass(frozen=True, slots=True)
class Finding:
    """A sighting, or the reason why there is none. `clocks`: what it says of its source's clock."""

    sighting: Sighting | None = None
    reason: str = ""
    clocks: Clocks = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True, slots=True)
class Search:
    """Where the search for one session stands.

    `settled`: nothing that may still come can change it. `candidates`: lines that may be ours but are not certain;
    a rhythm would tell. `clocks`: what the sightings say of their sources' clocks.
    """

    evidence: Evidence
    settled: bool
    candidates: int = 0
    clocks: Clocks = field(default_factory=dict)


def search(session: Session, scene: Scene) -> Search:
    """Look for one session by every link its service knows."""
    since = [seen for seen in scene.observed if seen.arrival >= session.opened]
    findings = [find(session, since, scene) for find in FINDERS[session.service.speaks_smtp]]
    sightings = _without_repeats(finding.sighting for finding in findings if finding.sighting)
    evidence = Evidence(
        sightings=sightings,
        signs=_signs(session, since),
        reasons=() if sightings else tuple(finding.reason for finding in findings if finding.reason),
    )
    return Search(
        evidence=evidence,
        settled=any(_is_settled(session, sighting, scene.now) for sighting in sightings),
        candidates=0 if session.service.speaks_smtp else len(_first_candidates(session, since)),
        clocks={key: offset for finding in findings for key, offset in finding.clocks.items()},
    )


def _is_settled(session: Session, sighting: Sighting, now: float) -> bool:
    if sighting.link in CERTAIN or _is_own(session, sighting):
        return True
    lag = max(0.0, sighting.at - session.closed)
    return now >= sighting.at + max(SETTLE, 2 * lag)


def _is_own(session: Session, sighting: Sighting) -> bool:
    """Our own address and port: no stranger can have both."""
    return session.client == Peer(sighting.address, sighting.port)


def _sighting(seen: Observed, client: Peer, link: Link) -> Sighting:
    return Sighting(
        address=client.address, port=client.port, link=link, source=seen.source, at=seen.arrival, line=seen.raw
    )


def _without_repeats(sightings: Iterable[Sighting]) -> tuple[Sighting, ...]:
    """One sighting per link and address: the same line from two sources is one."""
    kept = {(sighting.link, sighting.address): sighting for sighting in sightings}
    return tuple(kept.values())


# -- by token ---------------------------------------------------------------------------------------------------


def by_token(session: Session, since: Sequence[Observed], _: Scene) -> Finding:
    """A line that carries the session's token: nobody else knows it."""
    token = session.imprint.token
    if token is None:
        return Finding()
    found = [(seen, client) for seen in since if (client := _client(seen)) and token in _free_text(seen)]
    if len({client.address for _, client in found}) > 1:
        return Finding(reason=f"token {token} was logged with several addresses")
    if not found:
        return Finding(reason=f"no line carries the token {token}")
    return Finding(_sighting(*found[-1], Link.TOKEN))


def _free_text(seen: Observed) -> str:
    match seen.event:
        case Rejected(helo=helo, sender=sender):
            return f"{helo} {sender}"
        case IdSent(fields=fields):
            return " ".join(fields.values())
        case _:
            return ""


def _client(seen: Observed) -> Peer | None:
    """The client of a line; of a Dovecot line with the port from its session id."""
    match seen.event:
        case LoginEnded(client=client, session=identity) | IdSent(client=client, session=identity):
            return identity.peer if identity is not None and identity.peer.address == client.address else client
        case Connected(client=client) | Disconnected(client=client) | Rejected(client=client):
            return client
        case _:
            return None


# -- by address and port ----------------------------------------------------------------------------------------


def by_port(session: Session, since: Sequence[Observed], scene: Scene) -> Finding:
    """A line with our own port: certain with our own address too, else weighed against the ports of strangers."""
    if session.client is None or any(other.client == session.client for other in _rivals(session, scene)):
        return Finding(reason="another session of ours has the same address and port")
    link = Link.PORT if session.service.speaks_smtp else Link.SESSION_ID
    with_port = [(seen, client) for seen in since if (client := _of_service(session, seen)) and client.port]
    own = [pair for pair in with_port if pair[1] == session.client]
    if own:
        return Finding(_sighting(*own[-1], link), clocks=_clocks(session, own[-1][0], tuple(session.named)))
    if not with_port:
        return Finding(reason="no line of this service names a client's port")
    return _by_port_alone(session, with_port)


def _by_port_alone(session: Session, with_port: list[tuple[Observed, Peer]]) -> Finding:
    assert session.client is not None  # noqa: S101 - by_port has looked
    clients = {client for _, client in with_port}
    fitting = {client for client in clients if client.port == session.client.port}
    chance = len(clients) / EPHEMERAL_PORTS
    if not fitting:
        return Finding(reason=f"none of {len(clients)} clients seen has port {session.client.port}")
    if len(fitting) > 1 or chance > MAX_CHANCE:
        return Finding(reason=f"{len(fitting)} of {len(clients)} clients fit by port alone: not enough to tell")
    seen, client = next(pair for pair in reversed(with_port) if pair[1] in fitting)
    return Finding(_sighting(seen, client, Link.PORT))


def _rivals(session: Session, scene: Scene) -> list[Session]:
    return [other for other in scene.others if other.id != session.id]


def _of_service(session: Session, seen: Observed) -> Peer | None:
    """The client of a line that this session's kind of server wrote."""
    from_dovecot = isinstance(seen.event, LoginEnded | IdSent)
    return _client(seen) if from_dovecot is not session.service.speaks_smtp else None


# -- by fingerprint ---------------------------------------------------------------------------------------------


def by_fingerprint(session: Session, since: Sequence[Observed], _: Scene) -> Finding:
    """A `disconnect` line that counts exactly the commands we sent, written after we said QUIT."""
    if not session.imprint.tally:
        return Finding()
    quitting = session.closed - sum(timing.seconds for timing in session.phases if timing.phase is Phase.QUIT)
    ended = [seen for seen in since if isinstance(seen.event, Disconnected) and seen.arrival >= quitting - 0.05]
    fitting = [(seen, client) for seen in ended if (client := _client(seen)) and _fits(session, seen, client)]
    strangers = sum(_is_look_alike(seen, session) for seen in ended)
    counts = " ".join(f"{verb}={count.total}" for verb, count in sorted(session.imprint.tally.items()))
    if not fitting:
        return Finding(reason=f"none of {len(ended)} disconnect lines counts our commands ({counts})")
    if _are_several([seen for seen, _ in fitting]):
        return Finding(reason=f"{len(fitting)} disconnect lines count our commands ({counts}): they fit equally well")
    if strangers * session.imprint.odds > MAX_CHANCE:
        return Finding(reason=f"{strangers} sessions like ours ended in this time: one may fit by chance")
    return Finding(_sighting(*fitting[0], Link.FINGERPRINT))


def _fits(session: Session, seen: Observed, client: Peer) -> bool:
    assert isinstance(seen.event, Disconnected)  # noqa: S101 - by_fingerprint has looked
    ours = session.client
    contradicts = ours is not None and client.address == ours.address and client.port not in (None, ours.port)
    return not contradicts and dict(seen.event.tally) == dict(session.imprint.tally)


def _are_several(fitting: list[Observed]) -> bool:
    """True unless all are one line; two sources of the same log tell it once each."""
    sources = [seen.source for seen in fitting]
    said = {(seen.line.program, seen.line.pid, seen.line.message) for seen in fitting}
    return len(sources) > len(set(sources)) or len(said) > 1


def _is_look_alike(seen: Observed, session: Session) -> bool:
    assert isinstance(seen.event, Disconnected)  # noqa: S101 - by_fingerprint has looked
    verbs = set(seen.event.tally)
    return bool(verbs & DRAWN) and verbs <= {*session.imprint.tally, *DRAWN}


# -- by rhythm and time -----------------------------------------------------------------------------------------


def by_rhythm(session: Session, since: Sequence[Observed], _: Scene) -> Finding:
    """Session ids whose times repeat the secret spacing of this session and its beats."""
    if not session.beats or not session.named:
        return Finding()
    firsts = _first_candidates(session, since)
    others = sorted({opened for seen in since if (opened := _anonymous(seen)) is not None})
    fits = []
    for naming, span in session.named.items():
        spans = [span, *(beat.named[naming] for beat in session.beats)]
        if fit := best_fit(spans, [opened for _, opened in firsts], others):
            fits.append((fit.chance * len(session.named), naming, firsts[fit.index][0]))
    likely = [fit for fit in fits if fit[0] <= MAX_CHANCE]
    if not likely:
        closest = f"; the closest may fit by chance ({min(fits)[0]:.3f})" if fits else ""
        return Finding(
            reason=f"no line of {len(firsts)} repeats the rhythm of {len(session.beats) + 1} connections{closest}"
        )
    if len({seen.raw for _, _, seen in likely}) > 1:
        return Finding(reason="two lines repeat the rhythm of our connections equally well")
    _, naming, seen = min(likely, key=lambda fit: fit[0])
    client = _client(seen)
    return (
        Finding(_sighting(seen, client, Link.RHYTHM), clocks=_clocks(session, seen, (naming,))) if client else Finding()
    )


def by_time(session: Session, since: Sequence[Observed], scene: Scene) -> Finding:
    """The only session id made when ours must have been, on a server whose clock we know."""
    firsts = _first_candidates(session, since)
    known = {
        (seen.source, naming): scene.clocks[seen.source, naming]
        for seen, _ in firsts
        for naming in session.named
        if (seen.source, naming) in scene.clocks and scene.clocks[seen.source, naming].sightings >= AGREED
    }
    if not known:
        return Finding(reason="the server's clock is not known well enough to tie a line by time")
    fitting = {
        seen.raw: (seen, session.named[naming].seconds + offset.high - offset.low)
        for seen, opened in firsts
        for (source, naming), offset in known.items()
        if source == seen.source and _in_time(session.named[naming], opened, offset)
    }
    if len(fitting) != 1:
        return Finding(reason=f"{len(fitting)} of {len(firsts)} lines fit by time")
    ((seen, width),) = fitting.values()
    chance = (len(firsts) + 1) * width / max(scene.now - session.opened, 1.0)
    client = _client(seen)
    if chance > MAX_CHANCE or client is None:
        return Finding(reason=f"one line fits by time, but may do so by chance ({chance:.3f})")
    return Finding(_sighting(seen, client, Link.TIME))


def _in_time(span: Span, opened: float, offset: Offset) -> bool:
    return span.start + offset.low <= opened <= span.end + offset.high


def _clocks(session: Session, seen: Observed, namings: Sequence[Naming]) -> Clocks:
    """What an unambiguous sighting says of the server's clock, from the microseconds in its session id."""
    if not isinstance(seen.event, LoginEnded) or seen.event.session is None:
        return {}
    opened = seen.event.session.opened
    spans = [(naming, session.named[naming]) for naming in namings]
    return {(seen.source, naming): Offset(opened - span.end, opened - span.start) for naming, span in spans}


def _first_candidates(session: Session, since: Sequence[Observed]) -> list[tuple[Observed, float]]:
    """Lines with a session id that may be this session's: of its user where it logged in, else of nobody."""
    user = session.imprint.user
    found = {
        seen.event.session.text: (seen, seen.event.session.opened)
        for seen in since
        if isinstance(seen.event, LoginEnded)
        and seen.event.session is not None
        and seen.event.logged_in is (user is not None)
        and (user is None or seen.event.user.casefold() == user.casefold())
    }
    return list(found.values())


def _anonymous(seen: Observed) -> float | None:
    event = seen.event
    if isinstance(event, LoginEnded) and event.session is not None and not event.logged_in and not event.attempts:
        return event.session.opened
    return None


# -- fault signs ------------------------------------------------------------------------------------------------


def _signs(session: Session, since: Sequence[Observed]) -> tuple[Sign, ...]:
    """Fault lines of this session's kind of server; they are never an address's proof, so they need no link."""
    if session.fault is None or session.fault.failure in (Failure.NAME_UNKNOWN, Failure.VANTAGE):
        return ()
    return tuple(
        Sign(
            sign=seen.event.sign,
            client=seen.event.client.address if seen.event.client else None,
            source=seen.source,
            at=seen.arrival,
            line=seen.raw,
        )
        for seen in since
        if isinstance(seen.event, FaultLine) and _from_dovecot(seen) is not session.service.speaks_smtp
    )


def _from_dovecot(seen: Observed) -> bool:
    return "imap" in seen.line.program or "dovecot" in seen.line.program


Finder = Callable[[Session, Sequence[Observed], Scene], Finding]

FINDERS: dict[bool, tuple[Finder, ...]] = {
    True: (by_token, by_port, by_fingerprint),
    False: (by_token, by_port, by_rhythm, by_time),
}
"""By whether the session speaks SMTP; the order is that of the reasons a person reads."""
