"""Knocks and sessions over time -> the stretches in which an endpoint was out. Pure.

Rule 1: knocks tell whether somebody answers, sessions what the server serves and sees. Neither speaks for the other.
Rule 2: one SYN without an answer may be lost by chance; two in a row are a gap, and so is one that was refused or said
        to be unreachable. One answer in a gap may be a fluke; two in a row end it, and so does a whole handshake.
Rule 3: an edge lies between the last SYN before a change and the first one after it. A knock never sends its SYN
        again, so when it left is what its answer is about: not before the clock was read, and not after it was read
        again, for a busy machine may let time pass between.
Rule 4: a session that failed while nobody answered failed for that; one that saw addresses saw them all the same.
Rule 5: what this machine could not send says nothing, be it a SYN or a session. Where nobody knocked for much longer
        than was meant, that stretch is blind, and a gap may hide in it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from probe.model import Edge, EndpointName, Failure, Gap, GapKind, Judgement, Knock, Sample, Severity, Span

MOST_GAPS = 200
"""Gaps of each kind that are kept for one endpoint; more are counted."""

AHEAD = 1.0
"""Seconds by which a server may end its connections before its listener, as it ends."""

ANSWERS_TURNS = 2
ANSWERS_SECONDS = 1.0
"""A server that is well again answers within so many times what it took before, and so many seconds."""

MOST_BLIND = 100
MOST_ANSWERS = 20
BLIND_TURNS = 3
BLIND_SECONDS = 1.0
"""A pause in the knocks is blind if it is longer than this, and than three times what was meant."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Reach:
    """What knocks say of one endpoint, folded knock by knock in the order in which they were sent."""

    endpoint: EndpointName
    sent: int = 0
    answered: int = 0
    lost: int = 0
    counted: int = 0
    unsent: int = 0
    longest: float = 0.0
    gaps: tuple[Gap, ...] = ()
    untold: int = 0
    blind: tuple[Span, ...] = ()
    since: float | None = None
    at: float | None = None
    up_at: float | None = None
    doubt: Knock | None = None
    back: Knock | None = None
    answers: tuple[float, ...] = ()

    @property
    def gap(self) -> Gap | None:
        """The gap that lasts."""
        return self.gaps[-1] if self.gaps and self.gaps[-1].ended is None else None

    def after(self, knock: Knock) -> Reach:
        """Go on by one knock."""
        if knock.failure is Failure.VANTAGE:
            return replace(self, unsent=self.unsent + 1)
        seen = replace(
            self._with_answers(knock.at),
            sent=self.sent + 1,
            answered=self.answered + (knock.failure is None),
            counted=self.counted + knock.counted,
            longest=max(self.longest, knock.spacing),
            blind=self.blind if self.at is None else self._blind_between(self.at, knock.at, knock.spacing),
            since=knock.at if self.since is None else self.since,
            at=knock.at,
        )
        return seen._answered(knock) if knock.failure is None else seen._failed(knock, knock.failure)

    def silent_at(self, start: float, end: float) -> bool:
        """Whether all of this time lies in a gap, as far as it is certain."""
        return any(gap.began.by <= start and end <= gap.seen for gap in self.gaps)

    def reached(self, at: float) -> Reach:
        """A session's SYN of this moment was answered: where knocks are few it narrows when a gap began.

        Knocks from before that moment may still wait for an answer, so it counts with the first one after it.
        """
        return replace(self, answers=(*self.answers, at)[-MOST_ANSWERS:])

    def _with_answers(self, until: float) -> Reach:
        """What sessions knew up to this moment; amid a gap, or in doubt, it is not for them to say."""
        known = max((at for at in self.answers if at < until), default=None)
        if known is None:
            return self
        later = replace(self, answers=tuple(at for at in self.answers if at >= until))
        settled = self.gap is None and self.doubt is None and (self.up_at is None or known > self.up_at)
        return replace(later, up_at=known) if settled else later

    def moved(self, known: float, at: float) -> Reach:
        """The endpoint has been at another address since some moment after `known`, which came out `at` this one.

        Whether what began between them was of the endpoint, nobody can tell: it is blind, where it was long.
        """
        here = replace(self, at=at, doubt=None, back=None)
        if self.gap is None or self.gap.began.by <= known:
            return here
        return replace(here, gaps=self.gaps[:-1], blind=self._blind_between(self.gap.began.by, at, 0.0))

    def finished(self, until: float, spacing: float = 0.0, since: float | None = None) -> Reach:
        """At the end: a single answer ends a gap after all, for nobody will knock again.

        Every knock that left before `until` is known, and `spacing` seconds were meant to lie between the last one and
        the next; if there was none at all, nobody has knocked `since` then.
        """
        closed = self._closed(self.back.left) if self.gap and self.back else self
        last = since if self.at is None else self.at
        return closed if last is None else replace(closed, blind=self._blind_between(last, until, spacing))

    def amid(self, opened: float, closed: float) -> Gap | None:
        """The gap that a session of this time fell into, if any."""
        for gap in reversed(self.gaps):
            end = gap.ended.by if gap.ended else float("inf")
            since = gap.began.by if gap.began.after is None else gap.began.after - AHEAD
            if opened <= end and closed >= since:
                return gap
        return None

    def unmet(self, closed: float) -> Gap | None:
        """The gap that was there before anybody knocked, for a session that found no way in by then."""
        first = self.gaps[0] if self.gaps else None
        return first if first is not None and first.from_the_start and closed <= first.began.by else None

    def named(self, gap: Gap, judgement: Judgement) -> Reach:
        """A session found what this gap is, and perhaps why."""
        told = replace(gap, judgement=judgement)
        return replace(self, gaps=tuple(told if one is gap else one for one in self.gaps))

    def _answered(self, knock: Knock) -> Reach:
        if self.gap is None:
            lost = self.lost + (self.doubt is not None)
            return replace(self, up_at=knock.at, doubt=None, lost=lost)
        if self.back is None and not knock.counted:
            return replace(self, back=knock)
        return replace(self._closed((self.back or knock).left), up_at=knock.at)

    def _failed(self, knock: Knock, failure: Failure) -> Reach:
        if self.gap is not None:
            return replace(self, gaps=(*self.gaps[:-1], self.gap.also(failure, knock.at)), back=None)
        if failure is Failure.TIMED_OUT and self.doubt is None:
            return replace(self, doubt=knock)
        first = self.doubt or knock
        began = Edge(self.up_at, first.left)
        how = tuple(dict.fromkeys(str(one.failure) for one in (first, knock)))
        gap = Gap(endpoint=self.endpoint, kind=GapKind.UNREACHABLE, began=began, seen=knock.at, how=how)
        kept, untold = _kept((*self.gaps, gap), self.untold)
        return replace(self, gaps=kept, untold=untold, doubt=None, back=None)

    def _closed(self, by: float) -> Reach:
        gap = self.gaps[-1]
        ended = replace(gap, ended=Edge(gap.seen, by))
        return replace(self, gaps=(*self.gaps[:-1], ended), back=None)

    def _blind_between(self, last: float, until: float, spacing: float) -> tuple[Span, ...]:
        if until - last <= max(BLIND_SECONDS, BLIND_TURNS * spacing):
            return self.blind
        return (*self.blind, Span(last, until))[-MOST_BLIND:]


@dataclass(frozen=True, kw_only=True, slots=True)
class Findings:
    """What sessions say of one endpoint, folded one by one. `fine_at`: when the last that was fine was answered.

    A server that hung may serve what waited for it: until it answered, that session shows no end of an outage, but that
    it lasted. `usual`: the most seconds that one that was fine waited for its answer, amid no outage.
    """

    endpoint: EndpointName
    gaps: tuple[Gap, ...] = ()
    untold: int = 0
    fine_at: float | None = None
    usual: float = 0.0

    @property
    def gap(self) -> Gap | None:
        """The gap that lasts."""
        return self.gaps[-1] if self.gaps and self.gaps[-1].ended is None else None

    def after(self, sample: Sample) -> Findings:
        """Go on by one session; one that is set aside, or did not take place, changes nothing."""
        if sample.aside or not sample.took_place:
            return self
        gap = self.gap
        if sample.verdict.severity is not Severity.CRITICAL:
            return self._fine(sample)
        if gap is not None:
            longer = replace(gap.also(sample.verdict, sample.seen_until), judgement=sample.judgement)
            return replace(self, gaps=(*self.gaps[:-1], longer))
        new = Gap(
            endpoint=self.endpoint,
            kind=GapKind.CRITICAL,
            began=Edge(self.fine_at, sample.at),
            seen=sample.seen_until,
            how=(sample.verdict,),
            judgement=sample.judgement,
        )
        kept, untold = _kept((*self.gaps, new), self.untold)
        return replace(self, gaps=kept, untold=untold)

    def _fine(self, sample: Sample) -> Findings:
        gap = self.gap
        if gap is None:
            return replace(self, fine_at=sample.shown, usual=max(self.usual, sample.waited))
        hung_until = sample.shown - ANSWERS_TURNS * self.usual - ANSWERS_SECONDS
        seen = max(gap.seen, hung_until) if hung_until > sample.at else gap.seen
        ended = replace(gap, seen=seen, ended=Edge(seen, max(sample.shown, seen)))
        return replace(self, gaps=(*self.gaps[:-1], ended), fine_at=sample.shown)


def after_one_another(gaps: Sequence[Gap]) -> tuple[Gap, ...]:
    """The same, in their order; what sessions found after a gap of knocks began where that ended, if nobody was served.

    Who was refused and is then not greeted is out all the time.
    """
    told: list[Gap] = []
    for gap in sorted(gaps, key=lambda one: one.began.by):
        before = next((one.ended for one in reversed(told) if _goes_on(one, gap)), None)
        told.append(gap if before is None else replace(gap, began=before))
    return tuple(told)


def _goes_on(before: Gap, gap: Gap) -> bool:
    if before.kind is not GapKind.UNREACHABLE or gap.kind is not GapKind.CRITICAL or before.ended is None:
        return False
    served_before = gap.began.after is None or gap.began.after <= before.seen
    return served_before and before.ended.by <= gap.began.by


def outages(gaps: Sequence[Gap]) -> tuple[tuple[Gap, ...], ...]:
    """Gaps of one endpoint that are one outage are together: no session between them was fine, whatever they were."""
    told: list[tuple[Gap, ...]] = []
    for gap in gaps:
        if told and any(_is_same(before, gap) for before in told[-1]):
            told[-1] = (*told[-1], gap)
        else:
            told.append((gap,))
    return tuple(told)


def _is_same(before: Gap, gap: Gap) -> bool:
    match before.kind, gap.kind:
        case GapKind.UNREACHABLE, GapKind.CRITICAL:
            return gap.began.after is None or gap.began.after <= before.seen
        case GapKind.CRITICAL, GapKind.UNREACHABLE:
            return before.ended is None or before.ended.by >= gap.began.by
    return False


def _kept(gaps: tuple[Gap, ...], untold: int) -> tuple[tuple[Gap, ...], int]:
    """The latest of so many gaps, and how many were let go of."""
    over = max(0, len(gaps) - MOST_GAPS)
    return gaps[over:], untold + over
