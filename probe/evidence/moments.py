"""Links by the moments at which Dovecot made its session ids: a rhythm of several, or a single one on a known clock.

A session id says to the microsecond when it was made; address and port in it may be a node's. Which lines may be
ours at all: of our user where the session logged in, else of connections that never tried to.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from math import inf

from probe.evidence.events import LoginEnded, Observed, SessionId
from probe.evidence.rhythm import ANY_SHIFT, LATENESS, WORSE, Mark, Stroke, best_fit
from probe.evidence.scene import AGREED, MAX_CHANCE, Clocks, Finding, Offset, Scene, sighting_of
from probe.model import Address, IdMoment, IdMoments, Link, Session, Span, within

RHYTHM_CHANCE = MAX_CHANCE / 5
"""Stricter than for other links, because the search is made anew each time that more beats were opened."""

STAND_IN = 0.02
"""How likely a line of somebody else behind the same NAT may stand in for a session's that is hidden when its beats are
not: a way that hides a share of connections does so to one session in twelve at most."""

STRAY = 0.1
"""Beyond that the session may as well have been hidden, so what is `preserved` of another one proves nothing."""

A_ROUND = 4
"""Beats by which a rhythm grows."""

NO_LINE = "no line repeats the rhythm"
CROWDED = "another line lies so near to the one that repeats the rhythm of our connections that either may be ours"
FEW = 1_000
"""Lines in which the rhythm of the first beats is looked for as well: of more that takes too long."""

SOMEBODY_ELSES = "the line that fits best may be somebody else's behind the same NAT"

STRAYED = (
    "connections of ours came in under our own address after this one, of which no such line came: the way in has "
    "changed since, or its line was lost"
)

WRITTEN_EARLY = 0.0005
"""Seconds by which a line may seem to come before the command that it tells of: clocks are read in turn."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A line that may be ours, and what its session id says."""

    seen: Observed
    ended: LoginEnded
    identity: SessionId


def by_rhythm(session: Session, since: Sequence[Observed], _: Scene) -> Finding:
    """Session ids whose times repeat the secret spacing of this session and its beats, all with one address.

    Lines of the last beats may be on their way, or lost: the beats before them are a rhythm as well.
    """
    if not session.beats or not session.id_moments:
        return Finding()
    if are_shown(session, since):
        return Finding(reason=STRAYED, strayed=True)
    of_all = _rhythm_of(session, since)
    if not (of_all.crowded or of_all.reason.startswith(NO_LINE)) or len(since) > FEW:
        return of_all
    counts = range(len(session.beats) - A_ROUND, 0, -A_ROUND)
    of_first = (_rhythm_of(replace(session, beats=session.beats[:count]), since) for count in counts)
    return next((found for found in of_first if found.sighting), of_all)


def _rhythm_of(session: Session, since: Sequence[Observed]) -> Finding:
    strayed = _may_have_strayed(session, since)
    repeated = sorted(_fits(session, since), key=lambda fit: fit.chance)
    fits = [fit for fit in repeated if not fit.crowded]
    if repeated and repeated[0].crowded and repeated[0].chance <= RHYTHM_CHANCE:
        return Finding(reason=CROWDED, strayed=_strays(session, repeated[0]), crowded=True)
    if not fits or fits[0].chance > RHYTHM_CHANCE:
        closest = f"; the closest may do so by chance ({fits[0].chance:.3f})" if fits else ""
        reason = f"{NO_LINE} of our {len(session.beats) + 1} connections{closest}"
        return Finding(reason=reason, strayed=strayed)
    as_likely = {fit.candidate.identity.text for fit in fits if fit.chance < fits[0].chance * WORSE}
    if len(as_likely) > 1:
        reason = "two lines repeat the rhythm of our connections: they fit equally well"
        return Finding(reason=reason, strayed=strayed)
    seen, identity = fits[0].candidate.seen, fits[0].candidate.identity
    if fits[0].stand_in > STAND_IN and _by_nat(session, identity.peer.address):
        return Finding(reason=f"{SOMEBODY_ELSES} ({fits[0].stand_in:.2f})", strayed=fits[0].stand_in > STRAY)
    clocks = clocks_by(session, seen, (fits[0].proves,) if fits[0].proves else ())
    return Finding(sighting_of(seen, identity.peer, Link.RHYTHM), clocks=clocks)


def _strays(session: Session, crowded: _Fit) -> bool:
    """Whether a rhythm with a neighbour says that part of the way in hides us: its address is the session's, whichever
    of the lines is, unless both are of strangers.
    """
    return not within(crowded.candidate.identity.peer.address, session.expected) or crowded.stand_in > STRAY


def _may_have_strayed(session: Session, since: Sequence[Observed]) -> bool:
    """Whether beats of a session that is not found may have come in under our own address. Behind a NAT their ports are
    others, and others have our address: there any line that has it may be a beat's.
    """
    shown = [one for one in anonymous(since) if within(one.identity.peer.address, session.expected)]
    by_nat = any(_by_nat(session, one.identity.peer.address) for one in shown)
    return by_nat or 0 < _count(shown) <= len(session.beats)


def _by_nat(session: Session, address: Address) -> bool:
    """Whether an address is ours, and not that of our socket."""
    own = session.client
    return within(address, session.expected) and (own is None or own.address != address)


def are_shown(session: Session, since: Sequence[Observed]) -> bool:
    """Whether a beat's line has its own address and port: whoever hid those of the session does so no more."""
    clients = {beat.client for beat in session.beats if beat.client is not None}
    return bool(clients) and any(one.identity.peer in clients for one in anonymous(since))


@dataclass(frozen=True, slots=True)
class _Fit:
    chance: float
    stand_in: float
    crowded: bool
    proves: IdMoment | None
    candidate: Candidate


def _fits(session: Session, since: Sequence[Observed]) -> Iterator[_Fit]:
    """The best fit among the lines of each source and address, in each series of times.

    Our beats take the session's own way in, so their lines name the address that the session's line names: were
    that line lost, a stranger's in its place would need the same address, and the address is all we conclude. Where
    the way in hides some connections, the session's line may be one under our own address that lies where the
    stranger's does, or, on another server's clock, that came when it did; `by_port` knows it, but behind a NAT nobody.
    """
    found = candidates(session, since)
    others = _grouped(anonymous(since))
    ours = (session.id_moments, *(beat.id_moments for beat in session.beats))
    count = _count(found)
    shown = [one for one in found if _by_nat(session, one.identity.peer.address)]
    for group, firsts in _grouped(found).items():
        rivals = [] if within(group[1], session.expected) else shown
        of_this_clock = [one for one in rivals if one.seen.source == group[0]]
        of_others = [one.seen.arrival for one in rivals if one.seen.source != group[0]]
        trials = len(SERIES) * count / len(firsts)
        for series in SERIES:
            marks = [series.mark(first) for first in firsts]
            strokes = [series.stroke(moments) for moments in ours]
            rest = [series.mark(other) for other in others.get(group, ())]
            fit = best_fit(strokes, marks, rest, series.shifts, [series.mark(rival) for rival in of_this_clock])
            if fit is not None:
                first = firsts[fit.index]
                crowded = fit.crowded or any(abs(one - first.seen.arrival) <= LATENESS for one in of_others)
                yield _Fit(min(1.0, fit.chance * trials), fit.stand_in, crowded, series.proves, first)


def _grouped(found: Sequence[Candidate]) -> dict[tuple[str, Address], list[Candidate]]:
    """By source and address."""
    groups: dict[tuple[str, Address], list[Candidate]] = {}
    for one in found:
        groups.setdefault((one.seen.source, one.identity.peer.address), []).append(one)
    return groups


@dataclass(frozen=True, kw_only=True, slots=True)
class Series:
    """One way in which a rhythm may show: which of our moments it repeats, and which time of a line does so.

    `proves`: when this server makes its session ids, if the series fits; None where that stays open.
    """

    moment: IdMoment
    time: Callable[[Candidate], float]
    proves: IdMoment | None
    shifts: Span = ANY_SHIFT

    def stroke(self, moments: IdMoments) -> Stroke:
        """A connection of ours; its line is written as LOGIN or LOGOUT is answered, so not before one was sent."""
        sluggishness = max(span.seconds for span in moments.values())
        return Stroke(moments[self.moment], moments[IdMoment.NEEDED].start - WRITTEN_EARLY, sluggishness)

    def mark(self, line: Candidate) -> Mark:
        """What a line shows in this series."""
        return Mark(self.time(line), line.seen.arrival)


SERIES = (
    Series(moment=IdMoment.ACCEPTED, time=lambda line: line.identity.opened, proves=IdMoment.ACCEPTED),
    Series(moment=IdMoment.NEEDED, time=lambda line: line.identity.opened, proves=IdMoment.NEEDED),
    # The line itself is written at that moment, and a local file brings it within milliseconds.
    Series(moment=IdMoment.NEEDED, time=lambda line: line.seen.arrival, proves=None, shifts=Span(-WRITTEN_EARLY, 1.0)),
)


def by_time(session: Session, since: Sequence[Observed], scene: Scene) -> Finding:
    """The only session id made when ours must have been, on a server whose clock we know."""
    known = {key: offset for key, offset in scene.clocks.items() if offset.sightings >= AGREED}
    if not known or not session.id_moments:
        return Finding(reason="the server's clock is not known well enough to tie a line by time")
    found = candidates(session, since)
    fitting = {
        candidate.identity.text: (candidate, session.id_moments[moment].seconds + offset.high - offset.low)
        for candidate in found
        for (source, moment), offset in known.items()
        if source == candidate.seen.source and _in_time(session.id_moments[moment], candidate.identity.opened, offset)
    }
    if len(fitting) != 1:
        return Finding(reason=f"{len(fitting)} of {_count(found)} lines fit by time")
    ((candidate, width),) = fitting.values()
    elapsed = max(scene.now - session.opened, 1.0)
    chance = (_count(found) + 1) * width / elapsed
    if chance > MAX_CHANCE:
        reason = f"one line fits by time, but may do so by chance ({chance:.3f})"
        return Finding(reason=reason, tells=session.opened + _telling_after(_count(found), width, elapsed))
    return Finding(sighting_of(candidate.seen, candidate.identity.peer, Link.TIME))


def _telling_after(count: int, width: float, elapsed: float) -> float:
    """Seconds after which so wide a moment is told by one line, where strangers came as thickly as they do; inf: never.

    With `count` lines of which one is ours: (strangers · t / elapsed + 2) · width / t = MAX_CHANCE, solved for t.
    """
    spare = MAX_CHANCE - (count - 1) / elapsed * width
    return 2 * width / spare if spare > 0 else inf


def _in_time(span: Span, opened: float, offset: Offset) -> bool:
    return span.start + offset.low <= opened <= span.end + offset.high


def clocks_by(session: Session, seen: Observed, moments: Sequence[IdMoment]) -> Clocks:
    """What an unambiguous sighting says of the server's clock, from the microseconds in its session id."""
    if not isinstance(seen.event, LoginEnded) or seen.event.session is None:
        return {}
    opened = seen.event.session.opened
    spans = [(moment, session.id_moments[moment]) for moment in moments]
    return {(seen.source, moment): Offset(opened - span.end, opened - span.start) for moment, span in spans}


def candidates(session: Session, since: Sequence[Observed]) -> list[Candidate]:
    """Lines with a session id that may be this session's: of its user where it logged in, else of nobody.

    A line that several sources tell is there once for each; a session id whose address is not the line's is no
    evidence at all.
    """
    user = session.imprint.user
    if user is None:
        return anonymous(since)
    return [
        candidate
        for candidate in _with_session_id(since)
        if candidate.ended.logged_in and candidate.ended.user.casefold() == user.casefold()
    ]


def anonymous(since: Sequence[Observed]) -> list[Candidate]:
    """Lines of connections without a login attempt: all our beats are such."""
    return [one for one in _with_session_id(since) if not one.ended.logged_in and not one.ended.attempts]


def _count(found: Sequence[Candidate]) -> int:
    """How many connections: a line that several sources tell is one."""
    return len({candidate.identity.text for candidate in found})


def _with_session_id(since: Sequence[Observed]) -> list[Candidate]:
    found: dict[tuple[str, str], Candidate] = {}
    for seen in since:
        match seen.event:
            case LoginEnded(session=SessionId() as identity) as ended if identity.peer.address == ended.client.address:
                found.setdefault((seen.source, identity.text), Candidate(seen, ended, identity))
    return list(found.values())
